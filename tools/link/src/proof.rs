//! That faults cost nothing but time: commands through a [`Faulty`] line, and the same on a session of the host's without one.
//!
//! Most commands are samples. Between them come profiles, resets, states that are saved and restored, samples that must be refused,
//! and, if there is one, an update in pieces. Every answer is compared, and at the end what host, line and board have counted.

use crate::device::{Device, message, pieces};
use crate::error::LinkError;
use crate::faulty::{Faults, Faulty};
use crate::local::{Local, Micros, Wanted};
use crate::pipeline::Settings;
use crate::pipeline::Traffic;
use crate::port::Port;
use cellstate::{Model, Session, State};
use cellstate_app::device::{Device as Board, Memory};
use cellstate_app::protocol::{Counts, PIECE, Prediction, Reason, Request, Response};
use cellstate_app::server::Stack;
use fastrand::Rng;
use std::collections::VecDeque;
use std::time::Duration;

/// Bytes of state that there is room for.
pub const STATE_BYTES: usize = 1 << 16;
/// How long the line must be quiet at the end.
const QUIET: Duration = Duration::from_millis(500);

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Samples that must be predicted.
    pub steps: u64,
    /// What the samples and the other commands follow from.
    pub seed: u64,
    /// Sent piece by piece meanwhile, and again from the beginning when it is there; empty for none.
    pub update: Vec<u8>,
}

/// What was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Samples that were predicted, each of which equals the host's in outputs, decision and digest of the state.
    pub predicted: u64,
    /// Of these, profiled.
    pub profiled: u64,
    /// Samples that were refused, as they should be.
    pub refused: u64,
    /// New sequences.
    pub resets: u64,
    /// States that were saved, each equal to the host's.
    pub saved: u64,
    /// States that were restored.
    pub restored: u64,
    /// Updates that were sent and activated.
    pub updates: u64,
    /// What the host sent and received.
    pub traffic: Traffic,
    /// What became of the frames to the board.
    pub to_board: Faults,
    /// What became of the frames from the board.
    pub from_board: Faults,
    /// What the board has counted.
    pub counts: Counts,
}

/// Why it is not so.
#[derive(Debug, thiserror::Error)]
pub enum ProofError {
    /// The board was not reached, or did not do what it was asked.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The board has another model, or one that needs more state than there is room for.
    #[error("the board's model is {board:08x} and the host's {host:08x}; give the host the blob that is on the board")]
    OtherModel {
        /// The board's.
        board: u32,
        /// The host's.
        host: u32,
    },
    /// An answer is not the host's own.
    #[error("command {index}, {what}: the board answers {answer:?}, and the host has {expected}")]
    Differs {
        /// Of all commands.
        index: u64,
        /// The kind of command.
        what: &'static str,
        /// The board's answer.
        answer: Box<Response>,
        /// What it should be.
        expected: String,
    },
    /// Host and board have counted differently.
    #[error("{what}: host and line have counted {host}, the board {board}")]
    Counts {
        /// What was counted.
        what: &'static str,
        /// By the host or the line.
        host: u64,
        /// By the board.
        board: u64,
    },
}

/// A command that was sent, and what its answer must be.
enum Asked {
    Sample { counts: Vec<i16>, profiled: bool },
    Refused(Reason),
    Reset,
    Save,
    Read(u32),
    Load(u32),
    Restore(Vec<u8>),
    Received(u32),
    Updated,
}

/// The commands, one after the other.
struct Commands {
    rng: Rng,
    inputs: usize,
    left: u64,
    update: Vec<u8>,
    /// Bytes of the update that were sent; none if it is not begun.
    sent: Option<usize>,
    /// What is to be sent before anything else.
    queue: VecDeque<(Request, Asked)>,
}

impl Commands {
    fn sample(&mut self, inputs: usize) -> Vec<i16> {
        let rng = &mut self.rng;
        // Small values as of a sensor at rest, and any.
        let shift = rng.u32(0..16);
        (0..inputs).map(|_| rng.i16(..) >> shift).collect()
    }

    /// The next command; `saved` is a state that was saved before, if there is one.
    fn next(&mut self, saved: &[u8]) -> Result<Option<(Request, Asked)>, LinkError> {
        if let Some(next) = self.queue.pop_front() {
            return Ok(Some(next));
        }
        if self.left == 0 {
            return Ok(None);
        }
        match self.rng.u32(0..2000) {
            0..5 => Ok(Some((Request::Reset, Asked::Reset))),
            5..10 => {
                let wrong = self.sample(self.inputs + 1);
                Ok(Some((Request::Sample(message(&wrong)?), Asked::Refused(Reason::Shape))))
            }
            10 => Ok(Some((Request::Save, Asked::Save))),
            11 if !saved.is_empty() => {
                let loads = pieces(saved, 0).map(|(offset, bytes)| {
                    let there = offset + bytes.len() as u32;
                    (Request::Load { offset, bytes }, Asked::Load(there))
                });
                self.queue.extend(loads);
                self.queue.push_back((Request::Restore, Asked::Restore(saved.to_vec())));
                Ok(self.queue.pop_front())
            }
            12..32 if !self.update.is_empty() => Ok(Some(self.update())),
            kind => {
                self.left -= 1;
                let counts = self.sample(self.inputs);
                let (sample, profiled) = (message(&counts)?, kind < 60);
                let request = if profiled { Request::Profile(sample) } else { Request::Sample(sample) };
                Ok(Some((request, Asked::Sample { counts, profiled })))
            }
        }
    }

    /// The next piece of the update, or its end.
    fn update(&mut self) -> (Request, Asked) {
        let Some(sent) = self.sent else {
            self.sent = Some(0);
            let bytes = self.update.len() as u32;
            return (Request::UpdateBegin { bytes }, Asked::Received(0));
        };
        let rest = &self.update[sent..];
        if rest.is_empty() {
            self.sent = None;
            return (Request::UpdateFinish, Asked::Updated);
        }
        let bytes: heapless::Vec<u8, PIECE> = rest.iter().copied().take(PIECE).collect();
        let there = sent + bytes.len();
        self.sent = Some(there);
        (Request::UpdateWrite { offset: sent as u32, bytes }, Asked::Received(there as u32))
    }
}

/// The host's side of the comparison.
struct Replay<'a> {
    session: Session<'a>,
    /// The latest state that was saved.
    saved: Vec<u8>,
    index: u64,
    report: Report,
}

impl Replay<'_> {
    /// Does what the board did, and compares.
    fn judge(&mut self, asked: &Asked, answer: Response) -> Result<(), ProofError> {
        self.index += 1;
        let report = &mut self.report;
        let (what, right, expected) = match (asked, &answer) {
            (Asked::Sample { counts, profiled }, Response::Prediction(prediction)) => {
                let stepped = self.session.step_i16(counts).is_ok();
                report.predicted += 1;
                report.profiled += u64::from(*profiled);
                let same = stepped && same(&self.session, prediction);
                ("sample", same, format!("the digest {:08x}", self.session.digest()))
            }
            (Asked::Refused(reason), Response::Refused(found)) => {
                report.refused += 1;
                ("sample of another length", reason == found, format!("{reason:?}"))
            }
            (Asked::Reset, Response::Done) => {
                report.resets += 1;
                self.session.reset();
                ("reset", true, String::new())
            }
            (Asked::Save, Response::Saved(bytes)) => {
                report.saved += 1;
                self.saved = vec![0; self.session.model().saved_bytes()];
                let whole = self.session.save(&mut self.saved).is_ok();
                ("save", whole && *bytes as usize == self.saved.len(), format!("{} bytes", self.saved.len()))
            }
            (Asked::Read(offset), Response::Piece(piece)) => {
                let rest = self.saved.get(*offset as usize..).unwrap_or_default();
                ("read", rest.get(..PIECE).unwrap_or(rest) == &piece[..], "its own state".to_owned())
            }
            (Asked::Load(there) | Asked::Received(there), Response::Received(bytes)) => {
                ("piece", there == bytes, format!("{there} bytes"))
            }
            (Asked::Restore(saved), Response::Done) => {
                report.restored += 1;
                ("restore", self.session.restore(saved).is_ok(), "a state".to_owned())
            }
            (Asked::Updated, Response::Updated(_)) => {
                report.updates += 1;
                ("update", true, String::new())
            }
            _ => ("any", false, "another kind of answer".to_owned()),
        };
        if right {
            return Ok(());
        }
        Err(ProofError::Differs { index: self.index, what, answer: Box::new(answer), expected })
    }
}

/// Runs the plan with a board in this process, which wants the plan's update.
///
/// # Errors
/// [`ProofError`] says what is not as it should be.
pub fn on_host(
    model: &Model,
    plan: &Plan,
    rate: f64,
    settings: Settings,
    progress: impl FnMut(u64),
) -> Result<Report, ProofError> {
    let (mut state, mut memory) = (Box::new(State::<STATE_BYTES>::new()), Box::new(Memory::<STATE_BYTES>::new()));
    let needed = ProofError::OtherModel { board: model.id(), host: model.id() };
    let session = Session::new(model, &mut state).map_err(|_| needed)?;
    let stack = || Stack { used: 0, size: 0 };
    let board = Board::new(session, &mut memory, Micros::start(), stack, Wanted::new(plan.update.clone()));
    let line = Faulty::new(Local::new(board), rate, plan.seed);
    run(&mut Device::connect(line, settings)?, model, plan, progress)
}

fn same(session: &Session, prediction: &Prediction) -> bool {
    let heads = 0..session.model().header().heads.len();
    let output = session.output();
    prediction.argmax == output.argmax() as u16
        && prediction.new == output.is_new()
        && heads.flat_map(|head| session.head(head).iter().collect::<Vec<_>>()).eq(prediction.outputs.iter().copied())
        && prediction.digest == session.digest()
}

/// Runs the plan; `progress` is told how many samples were predicted. Begins with a reset.
///
/// # Errors
/// [`ProofError`] says what is not as it should be.
pub fn run<P: Port>(
    device: &mut Device<Faulty<P>>,
    model: &Model,
    plan: &Plan,
    mut progress: impl FnMut(u64),
) -> Result<Report, ProofError> {
    let (board, host) = (device.board().model, model.id());
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let session = Session::new(model, &mut state).ok().filter(|_| board == host);
    let session = session.ok_or(ProofError::OtherModel { board, host })?;
    device.reset()?;
    let mut replay = Replay { session, saved: Vec::new(), index: 0, report: Report::default() };
    let mut commands = Commands {
        rng: Rng::with_seed(plan.seed),
        inputs: model.inputs(),
        left: plan.steps,
        update: plan.update.clone(),
        sent: None,
        queue: VecDeque::new(),
    };
    let before = quiet_counts(device)?;
    let mut asked = VecDeque::new();
    let window = device.pipeline().settings().window;
    loop {
        let next = commands.next(&replay.saved)?;
        let ended = next.is_none();
        if let Some((request, expected)) = next {
            device.pipeline().send(&request)?;
            // A state that is saved is read at once, and no other is saved or restored before that.
            if matches!(expected, Asked::Save) {
                let offsets = (0..model.saved_bytes() as u32).step_by(PIECE);
                commands.queue.extend(offsets.map(|offset| (Request::Read { offset }, Asked::Read(offset))));
            }
            asked.push_back(expected);
        }
        while asked.len() >= window || (ended && !asked.is_empty()) {
            let answer = device.pipeline().take()?;
            if let Some(asked) = asked.pop_front() {
                replay.judge(&asked, answer)?;
            }
            progress(replay.report.predicted);
        }
        if ended {
            break;
        }
    }
    let report = Report { traffic: device.traffic(), ..replay.report };
    settle(device, report, before)
}

/// Asks for the board's counts while no frame is damaged or on its way, with what the line has carried to the board before it.
fn quiet_counts<P: Port>(device: &mut Device<Faulty<P>>) -> Result<(Counts, u64, u64), LinkError> {
    let pipeline = device.pipeline();
    let patience = std::mem::replace(&mut pipeline.settings().patience, Duration::from_secs(10));
    let rate = pipeline.port().set_rate(0.0);
    pipeline.quiet(QUIET)?;
    // What a fault left on the line ends here.
    let counts = device.counts()?;
    let pipeline = device.pipeline();
    pipeline.port().set_rate(rate);
    pipeline.settings().patience = patience;
    let (commands, whole) = (pipeline.traffic().commands, pipeline.port().to_board().whole);
    Ok((counts, commands, whole))
}

/// Compares what host, line and board have counted.
fn settle<P: Port>(
    device: &mut Device<Faulty<P>>,
    mut report: Report,
    before: (Counts, u64, u64),
) -> Result<Report, ProofError> {
    let (first, commands_before, whole_before) = before;
    let (counts, commands, whole) = quiet_counts(device)?;
    report.counts = counts;
    report.traffic = device.traffic();
    report.to_board = device.pipeline().port().to_board();
    report.from_board = device.pipeline().port().from_board();
    let since = |of: fn(&Counts) -> u32| u64::from(of(&counts).wrapping_sub(of(&first)));
    let good = |c: &Counts| c.frames.wrapping_sub(c.too_long).wrapping_sub(c.framing).wrapping_sub(c.checksum);
    for (what, host, board) in [
        ("samples that were predicted", report.predicted, since(|c| c.accepted)),
        ("commands that were refused", report.refused, since(|c| c.refused)),
        ("commands that were executed", commands - commands_before, since(|c| c.commands)),
        ("frames that arrived whole", whole - whole_before, since(good)),
        ("frames, by what became of them", since(Counts::sum), since(|c| c.frames)),
        ("whole frames from the board", report.from_board.whole, report.traffic.received),
    ] {
        if host != board {
            return Err(ProofError::Counts { what, host, board });
        }
    }
    Ok(report)
}
