//! From samples to decisions: a session, what is done about samples that are not there, and what it took.
//!
//! The model counts time in steps, so a lost sample must not shorten it. When the next good reading comes after a gap of up to
//! [`Rules::bridge`] samples, the last good reading is stepped in their place and the state goes on; after a longer gap what the
//! state remembers is no longer what just happened, and it is reset. So it is when there is no reading yet to bridge with.

use crate::clock::Clock;
use crate::debounce::Debounce;
use crate::sampler::Sample;
use cellstate::{Output, Session};
use serde::{Deserialize, Serialize};

/// What is done about gaps and flicker.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The longest gap, in samples, over which the state is carried on.
    pub bridge: u32,
    /// Equal classes in a row that make a decision.
    pub debounce: u16,
}

/// What became of all samples that were taken from the queue: they are `accepted + faults + stale`, and the model's steps are
/// `accepted + bridged`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Predicted {
    /// Good readings, each stepped.
    pub accepted: u32,
    /// Samples without a reading.
    pub faults: u32,
    /// Samples that came again, or too late.
    pub stale: u32,
    /// Steps in the place of samples that were not there.
    pub bridged: u32,
    /// Gaps that were too long.
    pub resets: u32,
    /// Of all latencies, from when a sample was due until its step was done, the longest, in microseconds.
    pub latest: u32,
}

/// What a sample came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Decision {
    /// The sample's index.
    pub index: u32,
    /// The [`class`] of this step.
    pub class: u16,
    /// The debounced decision, if there is one yet.
    pub decided: Option<u16>,
    /// Whether this sample changed it.
    pub changed: bool,
    /// Microseconds from when the sample was due.
    pub latency: u32,
}

/// The class that an output stands for: the largest of several; 1 for a single one above a half, a probability, else 0.
pub fn class(output: &Output) -> u16 {
    match output.len() {
        1 => u16::from(output.value(0).is_some_and(|p| p > 0.5)),
        _ => output.argmax() as u16,
    }
}

/// A session that takes samples of `N` features.
#[derive(Debug)]
pub struct Predictor<'a, const N: usize> {
    session: Session<'a>,
    rules: Rules,
    debounce: Debounce,
    /// The index that comes next.
    expected: u32,
    last: Option<[i16; N]>,
    counts: Predicted,
}

impl<'a, const N: usize> Predictor<'a, N> {
    /// Begins with the session as it is. None if its model has other inputs than `N`.
    pub fn new(session: Session<'a>, rules: Rules) -> Option<Self> {
        let fits = session.model().inputs() == N;
        let debounce = Debounce::new(rules.debounce);
        fits.then_some(Self { session, rules, debounce, expected: 0, last: None, counts: Predicted::default() })
    }

    /// Takes a sample; gives a decision, unless the sample has no reading or came again.
    pub fn take(&mut self, sample: Sample<N>, clock: &mut impl Clock) -> Option<Decision> {
        let gap = sample.index.wrapping_sub(self.expected);
        if gap > u32::MAX / 2 {
            self.counts.stale += 1;
            return None;
        }
        let Ok(reading) = sample.reading else {
            // It is a gap like any other, and is seen when the next reading comes.
            self.counts.faults += 1;
            return None;
        };
        match self.last {
            _ if gap == 0 => {}
            Some(last) if gap <= self.rules.bridge => {
                for _ in 0..gap {
                    self.step(&last);
                }
                self.counts.bridged += gap;
            }
            Some(_) => self.restart(),
            // Nothing was stepped yet.
            None => {}
        }
        self.step(&reading);
        self.counts.accepted += 1;
        self.expected = sample.index.wrapping_add(1);
        self.last = Some(reading);
        let class = class(&self.session.output());
        let changed = self.debounce.step(class);
        let latency = clock.micros().wrapping_sub(sample.due);
        self.counts.latest = self.counts.latest.max(latency);
        Some(Decision { index: sample.index, class, decided: self.debounce.decided(), changed, latency })
    }

    fn step(&mut self, reading: &[i16; N]) {
        // The length was checked when this was made.
        let _ = self.session.step_i16(reading);
    }

    fn restart(&mut self) {
        self.session.reset();
        self.debounce.reset();
        self.counts.resets += 1;
    }

    /// The session, to look at its outputs or to save its state.
    pub fn session(&self) -> &Session<'a> {
        &self.session
    }

    /// What became of all samples so far.
    pub fn counts(&self) -> Predicted {
        self.counts
    }
}
