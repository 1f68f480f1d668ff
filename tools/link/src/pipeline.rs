//! Numbered commands, several of them on their way, and the answers in the commands' order.
//!
//! What was lost is noticed by a later answer, by the board's `Missing`, or else by time, and sent again. The board executes each
//! command once, however often it comes.

use crate::error::LinkError;
use crate::port::Port;
use cellstate_app::link::{Body, MAX_FRAME, Message, Receiver, encode, frame};
use cellstate_app::protocol::{OUTCOMES, Ready, Reason, Request, Response, VERSION, greeting};
use std::collections::VecDeque;
use std::ops::Add;
use std::time::{Duration, Instant};

/// How patient the host is, and how far ahead.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// After so long without an answer what is not answered is sent again.
    pub patience: Duration,
    /// After so many times in a row the board is given up.
    pub attempts: u32,
    /// The most commands on their way, if the board takes as many.
    pub window: usize,
}

impl Default for Settings {
    /// A quarter of a second, 20 times, 4 commands.
    fn default() -> Self {
        Self { patience: Duration::from_millis(250), attempts: 20, window: 4 }
    }
}

/// What went over the line, in frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands, each once.
    pub commands: u64,
    /// Commands that were sent again.
    pub again: u64,
    /// Of these, because nothing came in time.
    pub late: u64,
    /// Frames that came whole.
    pub received: u64,
    /// Of these, answers that had come before.
    pub repeated: u64,
    /// Of these, `Missing`.
    pub missing: u64,
    /// Frames that came damaged.
    pub damaged: u64,
}

/// Over one line and the next.
impl Add for Traffic {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            commands: self.commands + other.commands,
            again: self.again + other.again,
            late: self.late + other.late,
            received: self.received + other.received,
            repeated: self.repeated + other.repeated,
            missing: self.missing + other.missing,
            damaged: self.damaged + other.damaged,
        }
    }
}

/// A command on its way.
#[derive(Debug)]
struct Pending {
    number: u16,
    frame: Vec<u8>,
    /// Whether it was sent again for a reason other than time.
    again: bool,
    answer: Option<Response>,
}

/// One connection.
#[derive(Debug)]
pub struct Pipeline<P> {
    port: P,
    receiver: Receiver,
    settings: Settings,
    /// The number of the next command.
    next: u16,
    /// Sent and not taken, the oldest first.
    pending: VecDeque<Pending>,
    traffic: Traffic,
    /// When something was sent that is not answered, or last answered.
    since: Instant,
}

impl<P: Port> Pipeline<P> {
    /// Says hello, and what the board said.
    ///
    /// # Errors
    /// [`LinkError::NoAnswer`], [`LinkError::Version`], or the port's.
    pub fn connect(port: P, settings: Settings) -> Result<(Self, Ready), LinkError> {
        let mut pipeline = Self {
            port,
            receiver: Receiver::new(),
            settings,
            next: 0,
            pending: VecDeque::new(),
            traffic: Traffic::default(),
            since: Instant::now(),
        };
        let ready = pipeline.reconnect()?;
        Ok((pipeline, ready))
    }

    /// Says hello again, as a new connection; commands that are on their way are forgotten.
    ///
    /// # Errors
    /// As of [`connect`](Self::connect).
    pub fn reconnect(&mut self) -> Result<Ready, LinkError> {
        self.pending.clear();
        self.next = 0;
        let connection = fastrand::u32(..);
        let hello = framed(0, &Request::Hello { version: VERSION, connection })?;
        let mut waited = Duration::ZERO;
        for _ in 0..=self.settings.attempts {
            self.port.send(&hello)?;
            let begun = Instant::now();
            while let Some(left) = self.settings.patience.checked_sub(begun.elapsed()) {
                let mut bytes = [0; MAX_FRAME];
                let count = self.port.receive(&mut bytes, left)?;
                if count == 0 {
                    break;
                }
                let mut ready = None;
                for &byte in &bytes[..count] {
                    let Some(Ok(message)) = self.receiver.push(byte) else { continue };
                    self.traffic.received += 1;
                    let Some((version, whose)) = greeting(message.body) else { continue };
                    if whose == connection {
                        if version.major != VERSION.major {
                            return Err(LinkError::Version(version));
                        }
                        ready = message.decode().ok();
                    }
                }
                if let Some(Response::Ready(ready)) = ready {
                    self.settings.window = self.settings.window.clamp(1, OUTCOMES).min(ready.window.max(1).into());
                    return Ok(ready);
                }
            }
            waited += self.settings.patience;
        }
        Err(LinkError::NoAnswer(waited))
    }

    /// The port.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    /// What went over the line.
    pub fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// How it goes about it; the window is what the board allows.
    pub fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Commands whose answers were not taken.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Sends a command, as soon as there is room in the window. [`take`](Self::take) gives its answer.
    ///
    /// # Errors
    /// As of [`take`](Self::take).
    pub fn send(&mut self, request: &Request) -> Result<(), LinkError> {
        while self.on_their_way() >= self.settings.window {
            self.wait(|pipeline| pipeline.on_their_way() < pipeline.settings.window)?;
        }
        let frame = framed(self.next, request)?;
        if self.on_their_way() == 0 {
            self.since = Instant::now();
        }
        self.port.send(&frame)?;
        self.traffic.commands += 1;
        self.pending.push_back(Pending { number: self.next, frame, again: false, answer: None });
        self.next = self.next.wrapping_add(1);
        Ok(())
    }

    /// Waits for the answer to the oldest command whose answer was not taken.
    ///
    /// # Errors
    /// [`LinkError::NoAnswer`], [`LinkError::Restarted`], or the port's. What the board refuses is an answer.
    pub fn take(&mut self) -> Result<Response, LinkError> {
        if self.pending.is_empty() {
            return Err(LinkError::Unexpected("nothing was asked".to_owned()));
        }
        self.wait(|pipeline| pipeline.pending.front().is_none_or(|p| p.answer.is_some()))?;
        let answer = self.pending.pop_front().and_then(|pending| pending.answer);
        answer.ok_or_else(|| LinkError::Unexpected("no answer".to_owned()))
    }

    /// Sends a command, and waits for its answer; those of commands before it must have been taken.
    ///
    /// # Errors
    /// As of [`take`](Self::take); a refusal is [`LinkError::Refused`].
    pub fn ask(&mut self, request: &Request) -> Result<Response, LinkError> {
        if !self.pending.is_empty() {
            return Err(LinkError::Unexpected("answers of commands before this one were not taken".to_owned()));
        }
        self.send(request)?;
        match self.take()? {
            Response::Refused(reason) => Err(LinkError::Refused(reason)),
            answer => Ok(answer),
        }
    }

    /// Waits until nothing comes any more for as long.
    ///
    /// # Errors
    /// The port's.
    pub fn quiet(&mut self, limit: Duration) -> Result<(), LinkError> {
        let mut bytes = [0; MAX_FRAME];
        loop {
            let count = self.port.receive(&mut bytes, limit)?;
            if count == 0 {
                return Ok(());
            }
            self.hear(&bytes[..count])?;
        }
    }

    /// From the oldest that is not answered to the latest.
    fn on_their_way(&self) -> usize {
        let answered = self.pending.iter().take_while(|pending| pending.answer.is_some()).count();
        self.pending.len() - answered
    }

    /// Listens until something is so.
    fn wait(&mut self, until: impl Fn(&Self) -> bool) -> Result<(), LinkError> {
        let (mut bytes, mut attempts) = ([0; 4 * MAX_FRAME], 0);
        while !until(self) {
            let left = self.settings.patience.saturating_sub(self.since.elapsed());
            let count = self.port.receive(&mut bytes, left)?;
            if self.hear(&bytes[..count])? {
                attempts = 0;
                self.since = Instant::now();
            } else if count == 0 || self.since.elapsed() >= self.settings.patience {
                attempts += 1;
                if attempts > self.settings.attempts {
                    return Err(LinkError::NoAnswer(self.settings.patience * attempts));
                }
                let before = self.traffic.again;
                self.again(|_| true)?;
                self.traffic.late += self.traffic.again - before;
                self.since = Instant::now();
            }
        }
        Ok(())
    }

    /// Takes bytes of the line; whether a command was answered by them.
    fn hear(&mut self, bytes: &[u8]) -> Result<bool, LinkError> {
        let mut answered = false;
        for &byte in bytes {
            let (number, response) = match self.receiver.push(byte) {
                None => continue,
                Some(Err(_)) => {
                    self.traffic.damaged += 1;
                    continue;
                }
                Some(Ok(message)) => (message.number, message.decode::<Response>()),
            };
            self.traffic.received += 1;
            let response = response
                .map_err(|_| LinkError::Unexpected(format!("command {number} has an answer that is no message")))?;
            answered |= self.answer(number, response)?;
        }
        Ok(answered)
    }

    fn answer(&mut self, number: u16, response: Response) -> Result<bool, LinkError> {
        match response {
            Response::Missing => {
                self.traffic.missing += 1;
                // All that the board executed before this was answered before this: what is not answered was lost.
                self.again(|pending| !pending.again)?;
                return Ok(false);
            }
            // To a hello that came twice.
            Response::Ready(_) => return Ok(false),
            _ => {}
        }
        let first = self.pending.front().map_or(self.next, |pending| pending.number);
        let index = usize::from(number.wrapping_sub(first));
        let Some(pending) = self.pending.get_mut(index).filter(|pending| pending.answer.is_none()) else {
            self.traffic.repeated += 1;
            return Ok(false);
        };
        match response {
            Response::Refused(Reason::Unconnected) => return Err(LinkError::Restarted),
            Response::Refused(reason @ Reason::Old) => return Err(LinkError::Refused(reason)),
            response => pending.answer = Some(response),
        }
        // Answers come in order: those that are missing before this one were lost.
        self.again(|pending| !pending.again && number.wrapping_sub(pending.number) < OUTCOMES as u16)?;
        Ok(true)
    }

    /// Sends those again that are not answered and of which this holds.
    fn again(&mut self, which: impl Fn(&Pending) -> bool) -> Result<(), LinkError> {
        let Self { pending, port, traffic, .. } = self;
        for pending in pending.iter_mut().filter(|pending| pending.answer.is_none() && which(pending)) {
            port.send(&pending.frame)?;
            pending.again = true;
            traffic.again += 1;
        }
        Ok(())
    }
}

fn framed(number: u16, request: &Request) -> Result<Vec<u8>, LinkError> {
    let (mut body, mut out) = (Body::new(), [0; MAX_FRAME]);
    let too_long = |_| LinkError::Unexpected("the command is longer than a frame".to_owned());
    encode(request, &mut body).map_err(too_long)?;
    let len = frame(Message { number, body: &body }, &mut out).map_err(too_long)?;
    Ok(out[..len].to_vec())
}
