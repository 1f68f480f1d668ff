//! Serves requests over a serial port.

use crate::link::{FrameError, MAX_FRAME, Reason, Receiver, Request, Response, encode};
use cellstate::Session;
use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

/// A free-running counter of 24 bits or more: cycles, instructions or microseconds.
pub trait Counter {
    /// The present count.
    fn now(&mut self) -> u32;
    /// What passed between two counts, wrap-around included.
    fn between(&self, start: u32, end: u32) -> u32;
}

/// What answers requests.
pub trait Service {
    /// What it is asked.
    type Request: for<'de> Deserialize<'de>;
    /// What it answers.
    type Response: Serialize;

    /// A byte is here, perhaps the last of a request.
    fn arrived(&mut self) {}

    /// Answers one request, or a frame that is none.
    fn answer(&mut self, request: Result<Self::Request, FrameError>) -> Self::Response;
}

/// Serves until the port closes or fails.
///
/// # Errors
/// The port's own.
pub fn serve<P: Read + Write>(port: &mut P, service: &mut impl Service) -> Result<(), P::Error> {
    let mut receiver = Receiver::new();
    loop {
        let mut byte = [0];
        if port.read(&mut byte)? == 0 {
            return Ok(());
        }
        service.arrived();
        let [byte] = byte;
        if let Some(request) = receiver.push(byte) {
            send(port, &service.answer(request))?;
        }
    }
}

/// Sends one message. One that is too large for a frame is left out.
///
/// # Errors
/// The port's own.
pub fn send<P: Write>(port: &mut P, message: &impl Serialize) -> Result<(), P::Error> {
    let mut frame = [0; MAX_FRAME];
    if let Ok(len) = encode(message, &mut frame) {
        port.write_all(frame.get(..len).unwrap_or_default())?;
        port.flush()?;
    }
    Ok(())
}

/// The stack of a program, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The most that was in use at any time since the start.
    pub used: u32,
    /// All that there is.
    pub size: u32,
}

/// A session whose samples come over the link, a counter that times it, and a stack that can be looked at.
#[derive(Debug)]
pub struct Server<'a, C, S> {
    session: Session<'a>,
    counter: C,
    stack: S,
    /// The count when the latest byte was here.
    arrived: u32,
}

impl<'a, C: Counter, S: FnMut() -> Stack> Server<'a, C, S> {
    /// Begins with the session as it is.
    pub fn new(session: Session<'a>, counter: C, stack: S) -> Self {
        Self { session, counter, stack, arrived: 0 }
    }

    fn sample(&mut self, sample: &[i16]) -> Response {
        let Self { session, counter, arrived, .. } = self;
        let start = counter.now();
        let stepped = session.step_i16(sample).is_ok();
        let end = counter.now();
        let output = session.output();
        if !stepped || output.len() > crate::link::MAX_OUTPUTS {
            return Response::Rejected(Reason::Shape);
        }
        let argmax = output.argmax() as u16;
        let decided = counter.now();
        // Room was checked above; `collect` would bring in a panic.
        let mut outputs = heapless::Vec::new();
        output.iter().all(|v| outputs.push(v).is_ok());
        let (ticks, latency) = (counter.between(start, end), counter.between(*arrived, decided));
        Response::Prediction { argmax, outputs, digest: session.digest(), ticks, latency }
    }
}

impl<C: Counter, S: FnMut() -> Stack> Service for Server<'_, C, S> {
    type Request = Request;
    type Response = Response;

    #[inline]
    fn arrived(&mut self) {
        self.arrived = self.counter.now();
    }

    fn answer(&mut self, request: Result<Request, FrameError>) -> Response {
        let model = self.session.model();
        match request {
            Ok(Request::Hello) => Response::Ready {
                model: model.id(),
                inputs: model.inputs() as u16,
                state_bytes: model.state_bytes() as u32,
            },
            Ok(Request::Reset) => {
                self.session.reset();
                Response::Done
            }
            Ok(Request::Sample(sample)) => self.sample(&sample),
            Ok(Request::Stack) => Response::Stack((self.stack)()),
            Err(e) => Response::Rejected(Reason::Frame(e)),
        }
    }
}
