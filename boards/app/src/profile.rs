//! Where a step's time goes, layer by layer, for a host that asks.

use crate::link::{FrameError, MAX_FEATURES, Reason};
use crate::server::{Counter, Service};
use cellstate::Session;
use cellstate::model::header::MAX_LAYERS;
use serde::{Deserialize, Serialize};

/// What the host asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Step on a sample of raw sensor counts.
    Sample(heapless::Vec<i16, MAX_FEATURES>),
}

/// What the board answers.
#[allow(clippy::large_enum_variant, reason = "there is no heap to box counts on")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Sample`.
    Stepped {
        /// CRC-32 of all hidden and cell states.
        digest: u32,
        /// What the counter advanced during the whole step, the layers' readings of it included.
        ticks: u32,
        /// What it advanced during each layer.
        layers: heapless::Vec<u32, MAX_LAYERS>,
    },
    /// The sample could not be stepped; the state is as it was.
    Rejected(Reason),
}

/// Ticks of each layer in one step.
struct Layers<'a, C> {
    counter: &'a mut C,
    begun: u32,
    ticks: [u32; MAX_LAYERS],
}

impl<C: Counter> cellstate::Profile for Layers<'_, C> {
    #[inline]
    fn begin(&mut self, _: usize) {
        self.begun = self.counter.now();
    }

    #[inline]
    fn end(&mut self, layer: usize) {
        let now = self.counter.now();
        if let Some(ticks) = self.ticks.get_mut(layer) {
            *ticks = ticks.wrapping_add(self.counter.between(self.begun, now));
        }
    }
}

/// A session that is profiled at every step.
#[derive(Debug)]
pub struct Profiler<'a, C> {
    session: Session<'a>,
    counter: C,
}

impl<'a, C: Counter> Profiler<'a, C> {
    /// Begins with the session as it is.
    pub fn new(session: Session<'a>, counter: C) -> Self {
        Self { session, counter }
    }
}

impl<C: Counter> Service for Profiler<'_, C> {
    type Request = Request;
    type Response = Response;

    fn answer(&mut self, request: Result<Request, FrameError>) -> Response {
        let sample = match request {
            Ok(Request::Sample(sample)) => sample,
            Err(e) => return Response::Rejected(Reason::Frame(e)),
        };
        let Self { session, counter } = self;
        let start = counter.now();
        let mut profile = Layers { counter: &mut *counter, begun: 0, ticks: [0; MAX_LAYERS] };
        let stepped = session.step_profiled(&sample, &mut profile).is_ok();
        let ticks = profile.ticks;
        let end = counter.now();
        if !stepped {
            return Response::Rejected(Reason::Shape);
        }
        // No model has more layers; `collect` would bring in a panic.
        let mut layers = heapless::Vec::new();
        ticks.iter().take(session.model().header().nodes.len()).all(|&t| layers.push(t).is_ok());
        Response::Stepped { digest: session.digest(), ticks: counter.between(start, end), layers }
    }
}
