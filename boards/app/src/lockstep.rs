//! Sampler and predictor in lock step with a host that sets up the world before each sample, to see every value on its way.
//!
//! Time stands still while the host works, so each sample is due when it would be on a desk of its own.

use crate::clock::Clock;
use crate::link::{Body, FrameError, MAX_FEATURES, MAX_OUTPUTS, Message};
use crate::predictor::{Decision, Predicted, Predictor};
use crate::sampler::{Sample, Sampled, Sampler};
use crate::sensor::{Fault, Sensor};
use crate::server::{Service, answered};
use core::cell::Cell;
use embedded_hal::delay::DelayNs;
use heapless::Vec;
use heapless::spsc::Queue;
use serde::{Deserialize, Serialize};

/// What the host asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// The world is set up: sleep until the next sample is due, take it, and step.
    Next {
        /// Whether the sensor can be reached.
        plugged: bool,
    },
    /// What became of all samples?
    Counts,
}

/// What the board answers.
#[allow(clippy::large_enum_variant, reason = "there is no heap to box a sample on")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Next`.
    Taken(Taken),
    /// To `Counts`.
    Counts {
        /// By the sampler.
        sampled: Sampled,
        /// By the predictor.
        predicted: Predicted,
    },
    /// The frame was damaged; nothing was done.
    Rejected(FrameError),
}

/// A sample, and what it came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The sample's index.
    pub index: u32,
    /// Its counts, or why there are none.
    pub reading: Result<Vec<i16, MAX_FEATURES>, Fault>,
    /// None if there was no reading.
    pub decision: Option<Decision>,
    /// All outputs of all heads, one after the other.
    pub outputs: Vec<i32, MAX_OUTPUTS>,
    /// CRC-32 of the whole state.
    pub digest: u32,
}

/// A clock that can be held.
pub trait Holdable: Clock {
    /// Makes time stand still, or go on.
    fn hold(&mut self, held: bool);
}

/// Sampler and predictor as a service. `time` is held but for the samples; `plugged` is what the host says.
#[derive(Debug)]
pub struct Lockstep<'a, 'm, S, T, const N: usize> {
    /// Takes the samples.
    pub sampler: Sampler<S, N>,
    /// Steps on them.
    pub predictor: Predictor<'m, N>,
    /// Goes on while the processor sleeps.
    pub time: &'a mut T,
    /// Whether the sensor can be reached.
    pub plugged: &'a Cell<bool>,
}

impl<S: Sensor<N>, T: Holdable + DelayNs, const N: usize> Service for Lockstep<'_, '_, S, T, N> {
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, room: &'s mut Body) -> Option<Message<'s>> {
        let Self { sampler, predictor, time, plugged } = self;
        answered(received, room, |request| match request {
            Ok(Request::Next { plugged: reachable }) => {
                plugged.set(reachable);
                time.hold(false);
                let taken = next(sampler, predictor, *time);
                time.hold(true);
                Response::Taken(taken)
            }
            Ok(Request::Counts) => Response::Counts { sampled: sampler.counts(), predicted: predictor.counts() },
            Err(e) => Response::Rejected(e),
        })
    }
}

/// The next sample on its way from the sensor through the queue into the session.
fn next<S, T, const N: usize>(sampler: &mut Sampler<S, N>, predictor: &mut Predictor<N>, time: &mut T) -> Taken
where
    S: Sensor<N>,
    T: Clock + DelayNs,
{
    let mut queue = Queue::<Sample<N>, 2>::new();
    let (mut producer, mut consumer) = queue.split();
    let sample = loop {
        let wait = sampler.until_next(time.micros());
        time.delay_us(wait);
        sampler.poll(time.micros(), &mut producer);
        if let Some(sample) = consumer.dequeue() {
            break sample;
        }
    };
    let decision = predictor.take(sample, time);
    let session = predictor.session();
    // `collect` would bring in a panic; what does not fit is left out.
    let (mut reading, mut outputs) = (Vec::new(), Vec::new());
    sample.reading.iter().flatten().all(|&v| reading.push(v).is_ok());
    for head in 0..session.model().header().heads.len() {
        session.head(head).iter().all(|v| outputs.push(v).is_ok());
    }
    Taken { index: sample.index, reading: sample.reading.map(|_| reading), decision, outputs, digest: session.digest() }
}
