//! Sends samples at their rate, takes the predictions, and connects again where the line breaks.
//!
//! The board counts the samples that it stepped. After a break that count tells which samples arrived, so none is sent twice and none
//! is left out; a board that began anew is told by a count that does not fit.
//!
//! * [`control`]: what is to be streamed, and how it is told to rest or to stop.
//! * `introduce`: what the board's outputs are called; `beside`: the host's own session beside the board's.
//! * `recover`: connects again, and goes on where the board is.

mod beside;
pub mod control;
mod introduce;
mod recover;

use self::beside::{same, scores, step};
use self::control::{Command, Control, Plan};
use self::introduce::introduce;
use super::event::{Board, Event, Shot, Told};
use cellstate::Session;
use cellstate_app::protocol::{Prediction, Reason, Request, Response, Sample as Counts};
use cellstate_link::{Device, LinkError, Port, Traffic};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// How often host and board are asked for their counts, and a step is profiled.
const EVERY: Duration = Duration::from_secs(1);
/// The longest wait for anything before it is looked whether to stop.
const BLINK: Duration = Duration::from_millis(50);
/// The longest time behind schedule that is caught up with.
const BEHIND: Duration = Duration::from_secs(1);

/// What was sent, and is not answered.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Reset,
    Sample(u64),
}

/// One stream to a board.
pub struct Driver<'a, P> {
    plan: Plan<'a>,
    open: Box<dyn FnMut() -> Result<P, String> + Send + 'a>,
    control: Control,
    device: Option<Device<P>>,
    board: Board,
    /// The host's own, to compare with.
    host: Option<Session<'a>>,
    /// The next sample to be sent.
    next: u64,
    /// The next sample to be answered.
    settled: u64,
    asked: VecDeque<Asked>,
    /// What the board had counted before the first sample.
    base: u32,
    /// Over connections before this one.
    traffic: Traffic,
    paused: bool,
    profiling: bool,
    /// Whether a reset by hand is not done yet.
    reset_due: bool,
    /// When the pace began, and the samples that were sent before.
    pace: (Instant, u64),
    /// When the counts are due, and a profile is.
    told: Option<Instant>,
    profiled: Option<Instant>,
    /// When the line broke without a prediction since.
    broke: Option<Instant>,
}

impl<'a, P: Port> Driver<'a, P> {
    /// Connects, and learns the board's names. `host` is a session of the model that the board must have, if the host has it.
    ///
    /// # Errors
    /// A sentence if the port does not open, nobody answers there, or model and samples do not fit.
    pub fn connect(
        plan: Plan<'a>,
        host: Option<Session<'a>>,
        mut open: impl FnMut() -> Result<P, String> + Send + 'a,
        control: Control,
    ) -> Result<Self, String> {
        let port = open()?;
        let failed = |e: LinkError| named(&plan.port, &e.to_string());
        let mut device = Device::connect(port, plan.settings).map_err(failed)?;
        let board = introduce(&mut device, host.as_ref()).map_err(failed)?;
        let base = device.counts().map_err(failed)?.accepted;
        let ready = board.ready;
        if let Some(own) = host.as_ref().map(|host| host.model().id()).filter(|&own| own != ready.model) {
            return Err(format!(
                "{}: the board has the model {:08x}, and the blob is {own:08x}; give the blob that is on the board, or none",
                plan.port, ready.model
            ));
        }
        if plan.samples.features() != usize::from(ready.inputs) {
            return Err(format!(
                "{}: the samples have {} features and the board's model takes {}; give data with the columns that it was trained on",
                plan.port,
                plan.samples.features(),
                ready.inputs
            ));
        }
        Ok(Self {
            plan,
            open: Box::new(open),
            control,
            device: Some(device),
            board,
            host,
            next: 0,
            settled: 0,
            asked: VecDeque::new(),
            base,
            traffic: Traffic::default(),
            paused: false,
            profiling: false,
            reset_due: false,
            pace: (Instant::now(), 0),
            told: None,
            profiled: None,
            broke: None,
        })
    }

    /// The board.
    pub fn board(&self) -> &Board {
        &self.board
    }

    /// Streams until all was sent, or it is told to stop; says what happens.
    ///
    /// # Errors
    /// A sentence if the board refuses a sample, or stays away.
    pub fn run(mut self, mut each: impl FnMut(Event)) -> Result<(), String> {
        self.rest();
        let each: &mut dyn FnMut(Event) = &mut each;
        loop {
            match self.turn(each) {
                _ if self.control.stopped() => return Ok(()),
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => self.recover(&error, each).map_err(|why| named(&self.plan.port, &why))?,
            }
        }
    }

    /// One thing that is due; whether there is more to do.
    fn turn(&mut self, each: &mut dyn FnMut(Event)) -> Result<bool, LinkError> {
        let now = Instant::now();
        if self.told.is_none_or(|last| now.saturating_duration_since(last) >= EVERY) {
            self.told = Some(now);
            self.tell(each)?;
        }
        if self.reset_due {
            self.reset(each)?;
        }
        while let Ok(command) = self.control.commands.try_recv() {
            self.obey(command, each)?;
        }
        if self.paused {
            self.drain(each)?;
            return self.wait(BLINK, each);
        }
        if self.plan.steps.is_some_and(|steps| self.next >= steps) {
            self.tell(each)?;
            each(Event::Ended);
            return Ok(false);
        }
        let now = Instant::now();
        let due = self.due();
        if now < due {
            self.drain(each)?;
            return self.wait(due.saturating_duration_since(Instant::now()).min(BLINK), each);
        }
        if now.saturating_duration_since(due) > BEHIND {
            self.rest();
        }
        self.send(each)?;
        Ok(true)
    }

    /// When the next sample is to be sent.
    fn due(&self) -> Instant {
        let (since, before) = self.pace;
        let seconds = self.plan.rate.map_or(0.0, |rate| (self.next - before) as f64 / rate);
        since + Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// The pace begins here.
    fn rest(&mut self) {
        self.pace = (Instant::now(), self.next);
    }

    fn wait(&mut self, limit: Duration, each: &mut dyn FnMut(Event)) -> Result<bool, LinkError> {
        match self.control.commands.recv_timeout(limit) {
            Ok(command) => self.obey(command, each)?,
            Err(RecvTimeoutError::Timeout) => {}
            // Nobody is there to ask for anything.
            Err(RecvTimeoutError::Disconnected) => std::thread::sleep(limit),
        }
        Ok(true)
    }

    fn device(&mut self) -> Result<&mut Device<P>, LinkError> {
        self.device.as_mut().ok_or_else(|| Error::new(ErrorKind::NotConnected, "it is not connected").into())
    }

    /// Sends the next sample, and the reset before a sequence.
    fn send(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        let samples = self.plan.samples;
        let index = self.next;
        let sample = samples.at(index);
        if sample.step == 0 {
            self.request(&Request::Reset, Asked::Reset, each)?;
        }
        let now = Instant::now();
        let profiled = self.profiling && self.profiled.is_none_or(|last| now.saturating_duration_since(last) >= EVERY);
        let counts = Counts::from_slice(sample.counts).map_err(|_| LinkError::TooLong(self.plan.samples.features()))?;
        let request = if profiled { Request::Profile(counts) } else { Request::Sample(counts) };
        // It may arrive even if the line breaks meanwhile.
        self.next += 1;
        self.request(&request, Asked::Sample(index), each)?;
        each(Event::Sent(self.next));
        if profiled {
            self.profiled = Some(now);
            self.drain(each)?;
            let ticks = self.device()?.layers()?;
            each(Event::Layers(ticks));
        }
        Ok(())
    }

    fn request(&mut self, request: &Request, asked: Asked, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        while self.asked.len() >= self.device()?.pipeline().settings().window {
            self.take(each)?;
        }
        self.asked.push_back(asked);
        self.device()?.pipeline().send(request)
    }

    /// Takes all answers that are due.
    fn drain(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        while !self.asked.is_empty() {
            self.take(each)?;
        }
        Ok(())
    }

    /// Takes the next answer.
    fn take(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        let answer = self.device()?.pipeline().take()?;
        match (self.asked.pop_front(), answer) {
            (Some(Asked::Sample(index)), Response::Prediction(prediction)) => {
                self.broke = None;
                let shot = self.settle(index, prediction);
                each(Event::Predicted(shot));
                Ok(())
            }
            (Some(Asked::Reset), Response::Done) => Ok(()),
            (_, Response::Refused(reason)) => Err(LinkError::Refused(reason)),
            (_, other) => Err(LinkError::Unexpected(format!("{other:?}"))),
        }
    }

    /// The host does what the board did.
    fn settle(&mut self, index: u64, prediction: Prediction) -> Shot {
        let samples = self.plan.samples;
        let sample = samples.at(index);
        self.settled = index + 1;
        let counts = samples.has_step_labels() && prediction.new || !samples.has_step_labels() && sample.last;
        let label = sample.label.filter(|_| counts);
        let (equal, scores) = match &mut self.host {
            None => (None, None),
            Some(host) => {
                let stepped = step(host, sample.step, sample.counts);
                (Some(stepped && same(host, &prediction)), Some(scores(host)))
            }
        };
        Shot { sample: index, sequence: sample.sequence, step: sample.step, label, prediction, scores, equal }
    }

    /// Asks for counts and stack.
    fn tell(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        self.drain(each)?;
        let traffic = self.traffic;
        let device = self.device()?;
        let counts = device.counts()?;
        let stack = Some(device.stack()?).filter(|stack| stack.size > 0);
        let traffic = traffic + device.traffic();
        each(Event::Told(Told { counts, stack, traffic }));
        Ok(())
    }

    /// Again after a break, for nobody knows whether it was done.
    fn reset(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        self.device()?.reset()?;
        self.reset_due = false;
        if let Some(host) = &mut self.host {
            host.reset();
        }
        each(Event::Reset);
        Ok(())
    }

    fn obey(&mut self, command: Command, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        self.drain(each)?;
        match command {
            Command::Pause => {
                self.paused = !self.paused;
                self.rest();
                each(Event::Paused(self.paused));
            }
            Command::Profile => {
                self.profiling = !self.profiling;
                self.profiled = None;
                each(Event::Profiling(self.profiling));
            }
            Command::Reset => {
                self.reset_due = true;
                self.reset(each)?;
            }
            Command::Save => {
                let saved = match self.device()?.save() {
                    Err(e @ LinkError::Refused(Reason::State(_))) => {
                        each(Event::Failed(e.to_string()));
                        return Ok(());
                    }
                    saved => saved?,
                };
                let name = format!("{:08x}-{}.state", self.board.ready.model, self.settled);
                let path = self.plan.folder.join(name);
                each(match std::fs::write(&path, saved) {
                    Ok(()) => Event::Saved(path),
                    Err(e) => Event::Failed(format!("{}: {e}; the state is not saved", path.display())),
                });
            }
        }
        Ok(())
    }
}

/// A sentence about this port, which may name it already.
fn named(port: &str, sentence: &str) -> String {
    if sentence.starts_with(port) { sentence.to_owned() } else { format!("{port}: {sentence}") }
}
