//! Readings at a fixed rate, from the sensor into a queue: the part that runs in an interrupt, or in a loop between steps.

use crate::sensor::{Fault, Sensor};
use heapless::spsc::Producer;
use serde::{Deserialize, Serialize};

/// One reading in its place in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sample<const N: usize> {
    /// The periods since the start, this one not counted. Numbers that are left out are samples that were lost.
    pub index: u32,
    /// When it was due, in microseconds.
    pub due: u32,
    /// Its counts, or why there are none.
    pub reading: Result<[i16; N], Fault>,
}

/// What became of all periods: they are as many as all of these together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Sampled {
    /// Read, and put into the queue.
    pub read: u32,
    /// Failed; the fault was put into the queue.
    pub failed: u32,
    /// Not tried, for the sampler was called more than a period late.
    pub missed: u32,
    /// Read or failed, and dropped, for the queue was full.
    pub dropped: u32,
}

/// A sensor with its rate.
#[derive(Debug)]
pub struct Sampler<S, const N: usize> {
    sensor: S,
    period: u32,
    /// When the next sample is due, and its index.
    next: u32,
    index: u32,
    counts: Sampled,
}

impl<S: Sensor<N>, const N: usize> Sampler<S, N> {
    /// A sample every `period` microseconds, at least 1, the first of them now.
    pub fn new(sensor: S, period: u32, now: u32) -> Self {
        Self { sensor, period: period.max(1), next: now, index: 0, counts: Sampled::default() }
    }

    /// Microseconds until the next sample is due, 0 if it is: how long the processor may sleep.
    pub fn until_next(&self, now: u32) -> u32 {
        let left = self.next.wrapping_sub(now);
        // What lies in the past is half the clock's range away and more.
        if left > u32::MAX / 2 { 0 } else { left }
    }

    /// Takes the sample that is due, if one is, and puts it into the queue; says whether one was due.
    pub fn poll(&mut self, now: u32, queue: &mut Producer<Sample<N>>) -> bool {
        if self.until_next(now) > 0 {
            return false;
        }
        // The latest period that has begun; those before it are lost.
        while now.wrapping_sub(self.next) >= self.period {
            self.next = self.next.wrapping_add(self.period);
            self.index = self.index.wrapping_add(1);
            self.counts.missed += 1;
        }
        let reading = self.sensor.read();
        let count = if reading.is_ok() { &mut self.counts.read } else { &mut self.counts.failed };
        let sample = Sample { index: self.index, due: self.next, reading };
        // No queue is without a slot. Where the compiler cannot see that, in an interrupt, `enqueue` would bring in a panic.
        let queued = queue.capacity() != usize::MAX && queue.enqueue(sample).is_ok();
        *(if queued { count } else { &mut self.counts.dropped }) += 1;
        self.next = self.next.wrapping_add(self.period);
        self.index = self.index.wrapping_add(1);
        true
    }

    /// What became of all periods so far.
    pub fn counts(&self) -> Sampled {
        self.counts
    }

    /// The sensor, to set it up again.
    pub fn sensor(&mut self) -> &mut S {
        &mut self.sensor
    }
}
