//! The board's side of the protocol: a session whose samples come over the link, its state, its profile, and updates of its model.
//!
//! The host numbers its commands. The next in turn is executed and its outcome kept; one that comes again is answered as before; one
//! before its turn, and a damaged frame, are answered with the number that is waited for. So each command is executed once, whatever
//! the line does to frames.

use crate::link::{Body, FrameError, MAX_OUTPUTS, Message, encode};
use crate::outcomes::{Outcomes, Turn};
use crate::profile::Ticks;
use crate::protocol::{
    Counts, LAYERS, NAME, Named, OUTCOMES, Prediction, Ready, Reason, Request, Response, VERSION, greeting,
};
use crate::server::{Counter, Service, Stack};
use crate::staging::Staging;
use cellstate::Session;
use cellstate::model::header::MAX_LAYERS;
use cellstate_store::update::Updates;
use heapless::{String, Vec};

/// What a device remembers; `N` bytes are for a saved state, which has 8 more than the model's state.
#[derive(Debug, Default)]
pub struct Memory<const N: usize> {
    outcomes: Outcomes,
    staging: Staging<N>,
}

impl<const N: usize> Memory<N> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { outcomes: Outcomes::new(), staging: Staging::new() }
    }
}

/// A session, a counter that times it, a stack that can be looked at, and what takes updates; `()` takes none.
#[derive(Debug)]
pub struct Device<'a, C, S, U, const N: usize> {
    session: Session<'a>,
    counter: C,
    stack: S,
    updates: U,
    memory: &'a mut Memory<N>,
    window: u8,
    connection: Option<u32>,
    counts: Counts,
    /// The count when the latest byte was here.
    arrived: u32,
    /// Ticks of the latest profiled step.
    layers: [u32; MAX_LAYERS],
    restarts: bool,
}

impl<'a, C: Counter, S: FnMut() -> Stack, U: Updates, const N: usize> Device<'a, C, S, U, N> {
    /// Begins with the session as it is.
    pub fn new(session: Session<'a>, memory: &'a mut Memory<N>, counter: C, stack: S, updates: U) -> Self {
        let mut device = Self {
            session,
            counter,
            stack,
            updates,
            memory,
            window: OUTCOMES as u8,
            connection: None,
            counts: Counts::default(),
            arrived: 0,
            layers: [0; MAX_LAYERS],
            restarts: false,
        };
        device.disconnect();
        device
    }

    /// Tells hosts to have no more than so many commands on their way: as many as the port takes while the device computes, from 1 to
    /// [`OUTCOMES`].
    #[must_use]
    pub fn with_window(self, window: u8) -> Self {
        Self { window: window.clamp(1, OUTCOMES as u8), ..self }
    }

    /// The session, as the host's commands left it.
    pub fn session(&self) -> &Session<'a> {
        &self.session
    }

    /// What became of all frames.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    fn disconnect(&mut self) {
        self.connection = None;
        self.memory.outcomes.clear();
        self.memory.staging.clear();
    }

    fn hello(&mut self, connection: u32) -> Response {
        if self.connection != Some(connection) {
            self.disconnect();
            self.connection = Some(connection);
        }
        let model = self.session.model();
        Response::Ready(Ready {
            version: VERSION,
            connection,
            model: model.id(),
            inputs: model.inputs() as u16,
            outputs: self.outputs() as u16,
            heads: model.header().heads.len() as u8,
            layers: model.header().nodes.len() as u16,
            state_bytes: model.state_bytes() as u32,
            saved_bytes: model.saved_bytes() as u32,
            window: self.window,
        })
    }

    /// Outputs of all heads.
    fn outputs(&self) -> usize {
        let model = self.session.model();
        (0..model.header().heads.len()).map(|head| model.head_width(head)).sum()
    }

    fn execute(&mut self, request: Request) -> Result<Response, Reason> {
        let received = |bytes| Response::Received(bytes);
        let Memory { staging, .. } = &mut *self.memory;
        match request {
            Request::Hello { .. } => Err(Reason::Unknown),
            Request::Sample(sample) => self.step(&sample, false),
            Request::Profile(sample) => self.step(&sample, true),
            Request::Reset => {
                self.session.reset();
                Ok(Response::Done)
            }
            Request::Save => staging.save(&self.session).map(Response::Saved).map_err(Reason::State),
            Request::Read { offset } => staging.read(offset).map(Response::Piece).map_err(Reason::State),
            Request::Load { offset, bytes } => staging.load(offset, &bytes).map(received).map_err(Reason::State),
            Request::Restore => staging.restore(&mut self.session).map(|()| Response::Done).map_err(Reason::State),
            Request::Layers { first } => Ok(Response::Layers(self.ticks(first.into()))),
            Request::Counts => Ok(Response::Counts(self.counts)),
            Request::Stack => Ok(Response::Stack((self.stack)())),
            Request::Name(named) => Ok(Response::Name(self.name(named))),
            Request::UpdateBegin { bytes } => self.updates.begin(bytes).map(|()| received(0)).map_err(Reason::Update),
            Request::UpdateWrite { offset, bytes } => {
                let written = self.updates.write(offset, &bytes).map_err(Reason::Update);
                written.map(|()| received(self.updates.received()))
            }
            Request::UpdateReceived => Ok(received(self.updates.received())),
            Request::UpdateFinish => self.updates.finish().map(Response::Updated).map_err(Reason::Update),
            Request::Restart => {
                self.restarts = true;
                Ok(Response::Done)
            }
        }
    }

    fn step(&mut self, sample: &[i16], profiled: bool) -> Result<Response, Reason> {
        if self.outputs() > MAX_OUTPUTS {
            return Err(Reason::Shape);
        }
        let Self { session, counter, arrived, layers, counts, .. } = self;
        let start = counter.now();
        let stepped = if profiled {
            session.step_profiled(sample, &mut Ticks::new(counter, layers)).is_ok()
        } else {
            session.step_i16(sample).is_ok()
        };
        let end = counter.now();
        let output = session.output();
        let (argmax, new) = (output.argmax() as u16, output.is_new());
        let decided = counter.now();
        if !stepped {
            return Err(Reason::Shape);
        }
        counts.accepted = counts.accepted.wrapping_add(1);
        // Room was checked above; `collect` would bring in a panic.
        let mut outputs = Vec::new();
        for head in 0..session.model().header().heads.len() {
            session.head(head).iter().all(|v| outputs.push(v).is_ok());
        }
        let (ticks, latency) = (counter.between(start, end), counter.between(*arrived, decided));
        Ok(Response::Prediction(Prediction { argmax, new, outputs, digest: session.digest(), ticks, latency }))
    }

    fn ticks(&self, first: usize) -> Vec<u32, LAYERS> {
        let mut ticks = Vec::new();
        let count = self.session.model().header().nodes.len();
        let told = self.layers.iter().take(count).skip(first).take(LAYERS);
        told.for_each(|&t| _ = ticks.push(t));
        ticks
    }

    fn name(&self, named: Named) -> String<NAME> {
        let model = self.session.model();
        let name = match named {
            Named::Output { head, index } => model.head_label(head.into(), index.into()),
            Named::Feature(index) => model.feature_name(index.into()),
        };
        let mut cut = String::new();
        name.unwrap_or_default().chars().all(|c| cut.push(c).is_ok());
        cut
    }
}

impl<C: Counter, S: FnMut() -> Stack, U: Updates, const N: usize> Service for Device<'_, C, S, U, N> {
    #[inline]
    fn arrived(&mut self) {
        self.arrived = self.counter.now();
    }

    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, room: &'s mut Body) -> Option<Message<'s>> {
        let count = |counter: &mut u32| *counter = counter.wrapping_add(1);
        count(&mut self.counts.frames);
        let (number, response) = match received {
            Err(error) => {
                self.counts.damaged(error);
                // Noise before a host is there is nobody's command.
                self.connection?;
                (self.memory.outcomes.next(), Response::Missing)
            }
            Ok(message) => {
                let number = message.number;
                if let Some((_, connection)) = greeting(message.body) {
                    count(&mut self.counts.hellos);
                    (number, self.hello(connection))
                } else if self.connection.is_none() {
                    count(&mut self.counts.unconnected);
                    (number, Response::Refused(Reason::Unconnected))
                } else {
                    match self.memory.outcomes.turn(number) {
                        Turn::Next => {
                            count(&mut self.counts.commands);
                            let request = message.decode().map_err(|_| Reason::Unknown);
                            let response = request.and_then(|request| self.execute(request)).unwrap_or_else(|reason| {
                                count(&mut self.counts.refused);
                                Response::Refused(reason)
                            });
                            let body = self.memory.outcomes.executed();
                            encode(&response, body).ok()?;
                            return Some(Message { number, body });
                        }
                        Turn::Again => {
                            count(&mut self.counts.repeated);
                            return Some(Message { number, body: self.memory.outcomes.outcome(number) });
                        }
                        Turn::Early => {
                            count(&mut self.counts.early);
                            (self.memory.outcomes.next(), Response::Missing)
                        }
                        Turn::Old => {
                            count(&mut self.counts.old);
                            (number, Response::Refused(Reason::Old))
                        }
                    }
                }
            }
        };
        encode(&response, room).ok()?;
        Some(Message { number, body: room })
    }

    fn restarts(&self) -> bool {
        self.restarts
    }

    fn restart(&mut self) {
        self.session.reset();
        self.disconnect();
        (self.counts, self.layers, self.restarts) = (Counts::default(), [0; MAX_LAYERS], false);
    }
}
