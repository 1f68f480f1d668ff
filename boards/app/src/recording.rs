//! A recording in the place of a sensor, and what is told of a run that no host steps: a timer takes the samples, whatever the
//! processor does.

use crate::predictor::{Predicted, Rules};
use crate::sampler::Sampled;
use crate::sensor::{Fault, Sensor};
use crate::server::Stack;
use serde::{Deserialize, Serialize};

/// As the boards with a motion sensor have them.
pub const RULES: Rules = Rules { bridge: 5, debounce: 13 };
/// In place of a recorded count: a sample that begins with it has no reading.
pub const FAILED: i16 = i16::MIN;
/// Bytes before the first sample: the number of bytes, all of them, and the microseconds from one sample to the next.
pub const PREFIX: usize = 8;

/// What the board tells by itself, when the recording is at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The debounced decision changed.
    Decided {
        /// The sample's index.
        index: u32,
        /// The class.
        class: u16,
    },
    /// That was all.
    Ended(Summary),
}

/// What became of a whole recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// By the sampler.
    pub sampled: Sampled,
    /// By the predictor.
    pub predicted: Predicted,
    /// Samples that were taken while another was being computed.
    pub meanwhile: u32,
    /// The most samples that waited in the queue.
    pub waiting: u32,
    /// The [`Checksum`](cellstate::session::Checksum) of what the session gave on each sample with a reading.
    pub checksum: u32,
    /// What the interrupt took of it, too.
    pub stack: Stack,
}

/// A sensor that reads what was recorded: samples of `N` counts of 16 bits, little-endian, the first feature first.
#[derive(Clone, Debug)]
pub struct Recording<'a, const N: usize> {
    period: u32,
    samples: &'a [[u8; 2]],
}

impl<'a, const N: usize> Recording<'a, N> {
    /// Of a [`PREFIX`] and what is behind it; what is not a whole sample at the end is left out.
    pub fn new(bytes: &'a [u8]) -> Self {
        let (period, samples) = match bytes.split_first_chunk::<PREFIX>() {
            Some((&[_, _, _, _, period @ ..], rest)) => (u32::from_le_bytes(period), rest.as_chunks().0),
            None => (0, &[][..]),
        };
        Self { period: period.max(1), samples }
    }

    /// Microseconds from one sample to the next, at least 1.
    pub fn period(&self) -> u32 {
        self.period
    }

    /// Samples that were not read yet.
    pub fn left(&self) -> u32 {
        self.samples.len().checked_div(N).unwrap_or(0) as u32
    }
}

impl<const N: usize> Sensor<N> for Recording<'_, N> {
    fn read(&mut self) -> Result<[i16; N], Fault> {
        let (sample, rest) = self.samples.split_first_chunk::<N>().ok_or(Fault::NoAcknowledge)?;
        self.samples = rest;
        let sample = sample.map(i16::from_le_bytes);
        if sample.first() == Some(&FAILED) { Err(Fault::NoAcknowledge) } else { Ok(sample) }
    }
}
