//! Sends samples at their rate, takes the predictions, and connects again where the line breaks.
//!
//! The board counts the samples that it stepped. After a break that count tells which samples arrived, so none is sent twice and none
//! is left out; a board that began anew is told by a count that does not fit.

use super::event::{Board, Event, Shot, Told};
use super::samples::Samples;
use cellstate::Session;
use cellstate_app::protocol::{Prediction, Reason, Request, Response, Sample as Counts};
use cellstate_link::{Device, LinkError, Port, Settings, Traffic};
use std::collections::VecDeque;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often host and board are asked for their counts, and a step is profiled.
const EVERY: Duration = Duration::from_secs(1);
/// The longest wait for anything before it is looked whether to stop.
const BLINK: Duration = Duration::from_millis(50);
/// The longest time behind schedule that is caught up with.
const BEHIND: Duration = Duration::from_secs(1);

/// What is to be streamed.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What the port is called.
    pub port: String,
    /// The samples.
    pub samples: &'a Samples,
    /// Samples a second; none for as many as the board predicts.
    pub rate: Option<f64>,
    /// The number of samples after which it ends; none for never. The data begin again after their last.
    pub steps: Option<u64>,
    /// How patient the link is.
    pub settings: Settings,
    /// How long a board that is lost is waited for.
    pub patience: Duration,
    /// Where saved states go.
    pub folder: PathBuf,
}

/// What a user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Rest, or go on.
    Pause,
    /// Reset the state.
    Reset,
    /// Save the state to a file.
    Save,
    /// Look at layers, or no longer.
    Profile,
}

/// How a stream is told what to do.
#[derive(Debug)]
pub struct Control {
    /// What the user asks for.
    pub commands: Receiver<Command>,
    /// Whether it shall end.
    pub stop: Arc<AtomicBool>,
}

impl Control {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A port whose waits end soon after it is told to stop.
#[derive(Debug)]
pub struct Interruptible<P> {
    port: P,
    stop: Arc<AtomicBool>,
}

impl<P> Interruptible<P> {
    /// Until this is true.
    pub fn new(port: P, stop: Arc<AtomicBool>) -> Self {
        Self { port, stop }
    }
}

impl<P: Port> Port for Interruptible<P> {
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.port.send(frame)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> std::io::Result<usize> {
        let begun = Instant::now();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Interrupted, "it was told to stop"));
            }
            let left = limit.saturating_sub(begun.elapsed());
            let count = self.port.receive(bytes, left.min(BLINK))?;
            if count > 0 || left <= BLINK {
                return Ok(count);
            }
        }
    }
}

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
            self.layers(each)?;
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
        let traffic = sum(traffic, device.traffic());
        each(Event::Told(Told { counts, stack, traffic }));
        Ok(())
    }

    fn layers(&mut self, each: &mut dyn FnMut(Event)) -> Result<(), LinkError> {
        let layers = usize::from(self.board.ready.layers);
        let mut ticks = Vec::new();
        while ticks.len() < layers {
            match self.device()?.pipeline().ask(&Request::Layers { first: ticks.len() as u16 })? {
                Response::Layers(more) if !more.is_empty() => ticks.extend(more),
                other => return Err(LinkError::Unexpected(format!("{other:?}"))),
            }
        }
        each(Event::Layers(ticks));
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

    /// Connects again, if that is what helps.
    fn recover(&mut self, error: &LinkError, each: &mut dyn FnMut(Event)) -> Result<(), String> {
        let restarted = matches!(error, LinkError::Restarted);
        match error {
            LinkError::Port(_) | LinkError::NoAnswer(_) | LinkError::Restarted | LinkError::Refused(Reason::Old) => {}
            _ => return Err(error.to_string()),
        }
        let since = *self.broke.get_or_insert_with(Instant::now);
        each(Event::Lost(error.to_string()));
        // Of a board that has restarted the line is whole.
        let mut kept = self.device.take();
        if !restarted && let Some(device) = kept.take() {
            self.closed(&device);
        }
        loop {
            if self.control.stopped() {
                return Ok(());
            }
            let why = match self.again(kept.take(), each) {
                Ok(()) => return Ok(()),
                Err(Again::Never(sentence)) => return Err(sentence),
                Err(Again::Later(sentence)) => sentence,
            };
            if since.elapsed() >= self.plan.patience {
                return Err(format!("{why}; it was lost, and not back within {} s", self.plan.patience.as_secs()));
            }
            std::thread::sleep(BLINK * 4);
        }
    }

    /// What went over a line stays counted.
    fn closed(&mut self, device: &Device<P>) {
        self.traffic = sum(self.traffic, device.traffic());
    }

    /// Tries to connect again.
    fn again(&mut self, kept: Option<Device<P>>, each: &mut dyn FnMut(Event)) -> Result<(), Again> {
        // The deadline is the caller's; each attempt is a short one.
        let settings = Settings { attempts: self.plan.settings.attempts.min(3), ..self.plan.settings };
        let mut device = match kept {
            Some(device) => device,
            None => Device::connect((self.open)().map_err(Again::Later)?, settings)?,
        };
        // Of a line that was kept it says hello again; of a new one that costs little.
        let counted = device.reconnect().and_then(|()| device.counts());
        let accepted = match counted {
            Ok(counts) => counts.accepted,
            Err(error) => {
                self.closed(&device);
                return Err(error.into());
            }
        };
        let ready = *device.board();
        if ready.model != self.board.ready.model {
            let (now, before) = (ready.model, self.board.ready.model);
            return Err(Again::Never(format!(
                "the board came back with the model {now:08x} instead of {before:08x}; start again"
            )));
        }
        device.pipeline().settings().attempts = self.plan.settings.attempts;
        // Answers on their way are lost; what was executed of them, the board has counted.
        let stepped = u64::from(accepted.wrapping_sub(self.base).wrapping_sub(self.settled as u32));
        let restarted = stepped > self.next - self.settled;
        let unheard = if restarted { 0 } else { stepped };
        for index in self.settled..self.settled + unheard {
            let sample = self.plan.samples.at(index);
            if let Some(host) = &mut self.host {
                step(host, sample.step, sample.counts);
            }
        }
        self.settled += unheard;
        self.next = self.settled;
        self.asked.clear();
        if restarted {
            self.base = accepted.wrapping_sub(self.settled as u32);
            if let Some(host) = &mut self.host {
                host.reset();
            }
        }
        self.device = Some(device);
        self.rest();
        each(Event::Back { restarted, unheard });
        each(Event::Sent(self.next));
        Ok(())
    }
}

/// Why it is not connected again.
enum Again {
    /// Try later.
    Later(String),
    /// Trying does not help.
    Never(String),
}

impl From<LinkError> for Again {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Version(_) => Self::Never(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}

/// A sample of this step of its sequence, as the board takes it.
fn step(host: &mut Session, step: usize, counts: &[i16]) -> bool {
    if step == 0 {
        host.reset();
    }
    host.step_i16(counts).is_ok()
}

fn same(host: &Session, prediction: &Prediction) -> bool {
    let heads = 0..host.model().header().heads.len();
    let output = host.output();
    prediction.argmax == output.argmax() as u16
        && prediction.new == output.is_new()
        && heads.flat_map(|head| host.head(head).iter().collect::<Vec<_>>()).eq(prediction.outputs.iter().copied())
        && prediction.digest == host.digest()
}

/// Of all outputs, head by head.
fn scores(host: &Session) -> Vec<f32> {
    let mut scores = Vec::new();
    for head in 0..host.model().header().heads.len() {
        let mut own = vec![0.0; host.model().head_width(head)];
        host.head(head).probabilities(&mut own);
        scores.extend(own);
    }
    scores
}

/// Asks for the names of all outputs. The protocol tells how many there are, and not how many each head has.
fn introduce<P: Port>(device: &mut Device<P>, host: Option<&Session>) -> Result<Board, LinkError> {
    let ready = *device.board();
    let outputs = usize::from(ready.outputs);
    let mut widths: Vec<usize> = match host {
        Some(host) => (0..host.model().header().heads.len()).map(|head| host.model().head_width(head)).collect(),
        None if ready.heads == 1 => vec![outputs],
        None => Vec::new(),
    };
    let mut names: Vec<String> = Vec::new();
    for head in 0..ready.heads {
        let known = widths.get(usize::from(head)).copied();
        let mut own = 0;
        while names.len() < outputs && known.is_none_or(|width| own < width) {
            let plain = || if ready.heads == 1 { format!("output{own}") } else { format!("output{head}_{own}") };
            match (device.label(head, own as u16)?, known) {
                (Some(label), _) => names.push(label),
                (None, Some(_)) => names.push(plain()),
                // No head has outputs with names behind one without.
                (None, None) => break,
            }
            own += 1;
        }
        if known.is_none() {
            widths.push(own);
        }
    }
    if names.len() != outputs {
        widths = vec![outputs];
        names = (0..outputs).map(|k| format!("output{k}")).collect();
    }
    Ok(Board { ready, names, widths })
}

/// A sentence about this port, which may name it already.
fn named(port: &str, sentence: &str) -> String {
    if sentence.starts_with(port) { sentence.to_owned() } else { format!("{port}: {sentence}") }
}

fn sum(a: Traffic, b: Traffic) -> Traffic {
    Traffic {
        commands: a.commands + b.commands,
        again: a.again + b.again,
        late: a.late + b.late,
        received: a.received + b.received,
        repeated: a.repeated + b.repeated,
        missing: a.missing + b.missing,
        damaged: a.damaged + b.damaged,
    }
}
