//! What is known after each event.

use super::event::{Board, Event, Shot, Told};
use super::meter::{Rate, Span};
use crate::board::cores::Counter;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long a column of the history is.
pub const COLUMN: Duration = Duration::from_millis(100);
/// Columns that are kept: more than any terminal is wide.
const COLUMNS: usize = 512;

/// What the board's counter advances by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unit {
    /// Nobody knows.
    #[default]
    Ticks,
    /// An emulated core's.
    Instructions(Counter),
    /// So many ticks a second.
    Hertz(u32),
}

impl Unit {
    /// What ticks are in this unit.
    pub fn of(self, ticks: f64) -> f64 {
        match self {
            Unit::Ticks => ticks,
            Unit::Instructions(counter) => counter.instructions(ticks.round() as u64) as f64,
            Unit::Hertz(hertz) => ticks * 1e6 / f64::from(hertz.max(1)),
        }
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Ticks => "ticks",
            Unit::Instructions(_) => "instructions",
            Unit::Hertz(_) => "µs",
        }
    }
}

/// What it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// Samples are sent.
    #[default]
    Streaming,
    /// None is, until the key is pressed again.
    Paused,
    /// The line is broken, for this reason.
    Lost(String),
    /// All samples were sent.
    Ended,
}

/// A tenth of a second of the past.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Column {
    /// The mean of each output.
    pub values: Vec<f32>,
    /// The latest decision.
    pub argmax: u16,
    count: u32,
}

/// All that there is to show.
#[derive(Clone, Debug)]
pub struct Seen {
    /// As the command line has it.
    pub port: String,
    /// Who answers.
    pub board: Board,
    /// The model's name, where the host has it.
    pub model: Option<String>,
    /// The kinds of its layers, where the host has it.
    pub layers: Vec<String>,
    /// Of ticks and latency.
    pub unit: Unit,
    /// What it is doing.
    pub status: Status,
    /// The latest thing that was done by hand or broke.
    pub message: String,
    /// The latest prediction.
    pub latest: Option<Shot>,
    /// Samples that were sent.
    pub sent: u64,
    /// Samples that were predicted.
    pub predicted: u64,
    /// Samples that were stepped, and whose predictions were lost with a connection.
    pub unheard: u64,
    /// Sent and predicted in a second, of late.
    pub rates: [f64; 2],
    /// Predictions that were compared with the host's own, and those that are equal.
    pub compared: [u64; 2],
    /// Predictions with a label, and those that are right.
    pub labelled: [u64; 2],
    /// Ticks of a step.
    pub ticks: Span,
    /// Ticks from a sample's last byte to its decision.
    pub latency: Span,
    /// What was counted.
    pub told: Told,
    /// Whether layers are looked at.
    pub profiling: bool,
    /// Ticks of each layer, of a step just now.
    pub profile: Vec<u32>,
    /// Connections that broke, and boards that began anew.
    pub breaks: [u64; 2],
    /// The largest magnitude of any output so far.
    pub largest: f32,
    /// The past, the oldest first; the last one is not whole yet.
    pub columns: VecDeque<Column>,
    column_since: Option<Instant>,
    meters: [Rate; 2],
}

impl Seen {
    /// Nothing yet, of this board.
    pub fn new(port: String, board: Board, unit: Unit) -> Self {
        Self {
            port,
            board,
            model: None,
            layers: Vec::new(),
            unit,
            status: Status::default(),
            message: String::new(),
            latest: None,
            sent: 0,
            predicted: 0,
            unheard: 0,
            rates: [0.0; 2],
            compared: [0; 2],
            labelled: [0; 2],
            ticks: Span::default(),
            latency: Span::default(),
            told: Told::default(),
            profiling: false,
            profile: Vec::new(),
            breaks: [0; 2],
            largest: 0.0,
            columns: VecDeque::new(),
            column_since: None,
            meters: Default::default(),
        }
    }

    /// Takes what happened at this time.
    pub fn apply(&mut self, event: &Event, now: Instant) {
        match event {
            Event::Sent(sent) => self.sent = *sent,
            Event::Predicted(shot) => self.predicted(shot, now),
            Event::Told(told) => self.told = *told,
            Event::Layers(ticks) => self.profile.clone_from(ticks),
            Event::Profiling(on) => self.profiling = *on,
            Event::Paused(true) => self.status = Status::Paused,
            Event::Paused(false) => self.status = Status::Streaming,
            Event::Reset => "the state was reset".clone_into(&mut self.message),
            Event::Saved(path) => self.message = format!("the state is in {}", path.display()),
            Event::Failed(why) => self.message.clone_from(why),
            Event::Lost(why) => {
                self.status = Status::Lost(why.clone());
                self.breaks[0] += 1;
            }
            Event::Back { restarted, unheard } => {
                self.status = Status::Streaming;
                self.breaks[1] += u64::from(*restarted);
                self.unheard += unheard;
                self.message = back(*restarted, *unheard);
            }
            Event::Ended => self.status = Status::Ended,
        }
    }

    /// Takes the time: rates fall while nothing happens.
    pub fn tick(&mut self, now: Instant) {
        for ((rate, meter), count) in
            self.rates.iter_mut().zip(&mut self.meters).zip([self.sent, self.predicted + self.unheard])
        {
            *rate = meter.observe(now, count);
        }
    }

    fn predicted(&mut self, shot: &Shot, now: Instant) {
        self.predicted += 1;
        if let Some(equal) = shot.equal {
            self.compared[0] += 1;
            self.compared[1] += u64::from(equal);
        }
        if let Some(label) = shot.label {
            self.labelled[0] += 1;
            self.labelled[1] += u64::from(label == i64::from(shot.prediction.argmax));
        }
        self.ticks.observe(shot.prediction.ticks);
        self.latency.observe(shot.prediction.latency);
        let values = values(shot);
        self.largest = values.iter().fold(self.largest, |most, v| most.max(v.abs()));
        if self.column_since.is_none_or(|since| now.saturating_duration_since(since) >= COLUMN) {
            self.column_since = Some(now);
            self.columns.push_back(Column { values: vec![0.0; values.len()], ..Column::default() });
            if self.columns.len() > COLUMNS {
                self.columns.pop_front();
            }
        }
        if let Some(column) = self.columns.back_mut() {
            column.count += 1;
            column.argmax = shot.prediction.argmax;
            let share = 1.0 / column.count as f32;
            column.values.iter_mut().zip(&values).for_each(|(mean, v)| *mean += (v - *mean) * share);
        }
        self.latest = Some(shot.clone());
    }

    /// The value of a bar's full length: 1 where there are probabilities, else the largest magnitude so far.
    pub fn full(&self) -> f32 {
        let scored = self.latest.as_ref().is_some_and(|shot| shot.scores.is_some());
        self.largest.max(if scored { 1.0 } else { f32::MIN_POSITIVE })
    }
}

/// The outputs as they are shown: scores where there are some, else integers.
pub fn values(shot: &Shot) -> Vec<f32> {
    let integers = || shot.prediction.outputs.iter().map(|&v| v as f32).collect();
    shot.scores.clone().unwrap_or_else(integers)
}

/// In words, what a new connection found.
pub fn back(restarted: bool, unheard: u64) -> String {
    if restarted {
        return "connected again; the board has restarted, and its state with it".to_owned();
    }
    match unheard {
        0 => "connected again; the state went on, and no sample was lost".to_owned(),
        n => format!("connected again; the state went on, and {n} predictions were not heard"),
    }
}
