//! The sampler's half of an application whose samples a timer's interrupt takes, whatever is being computed.
//!
//! The other half is [`Inference`](crate::app::Inference) behind the queue, and sleep while that is empty.

use crate::clock::Clock;
use crate::sampler::{Sample, Sampled, Sampler};
use crate::sensor::Sensor;
use heapless::spsc::Producer;

/// What the interrupt has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// By the sampler.
    pub sampled: Sampled,
    /// Samples that were taken while another was being computed.
    pub meanwhile: u32,
}

impl Tally {
    /// Of nothing yet.
    pub const fn new() -> Self {
        Self { sampled: Sampled { read: 0, failed: 0, missed: 0, dropped: 0 }, meanwhile: 0 }
    }
}

/// A sampler, its end of the queue, and a clock of its own.
pub struct Sampling<'q, S, C, const N: usize> {
    /// The sampler.
    pub sampler: Sampler<S, N>,
    /// The queue's end.
    pub queue: Producer<'q, Sample<N>>,
    /// The time that the other half has, too.
    pub clock: C,
    /// What was counted.
    pub tally: Tally,
}

impl<S: Sensor<N>, C: Clock, const N: usize> Sampling<'_, S, C, N> {
    /// The interrupt came; `computing` says whether the other half is at a sample. Returns the microseconds until it should come
    /// again.
    pub fn interrupt(&mut self, computing: bool) -> u32 {
        if self.sampler.poll(self.clock.micros(), &mut self.queue) {
            self.tally.sampled = self.sampler.counts();
            self.tally.meanwhile += u32::from(computing);
        }
        self.sampler.until_next(self.clock.micros())
    }
}
