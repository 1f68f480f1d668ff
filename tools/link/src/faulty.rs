//! A line that damages frames, both ways: each follows from a seed.

use crate::port::Port;
use fastrand::Rng;
use std::collections::VecDeque;
use std::io::Result;
use std::time::{Duration, Instant};

/// What became of the frames one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Frames that were to be carried.
    pub frames: u64,
    /// Frames that arrived whole, those that arrived twice counted twice.
    pub whole: u64,
    /// Frames of which up to three bits were flipped.
    pub flipped: u64,
    /// Frames that did not arrive.
    pub dropped: u64,
    /// Frames that arrived twice.
    pub duplicated: u64,
    /// Frames of which the end did not arrive.
    pub truncated: u64,
    /// Frames with noise before them.
    pub noise: u64,
}

impl Faults {
    /// Frames to which anything happened.
    pub fn all(&self) -> u64 {
        self.flipped + self.dropped + self.duplicated + self.truncated + self.noise
    }
}

/// One way.
#[derive(Debug)]
struct Way {
    rng: Rng,
    faults: Faults,
}

impl Way {
    /// Carries a frame, or what a fault leaves of it.
    fn carry(&mut self, frame: &[u8], rate: f64, out: &mut Vec<u8>) {
        let Self { rng, faults } = self;
        faults.frames += 1;
        if rng.f64() >= rate {
            faults.whole += 1;
            out.extend(frame);
            return;
        }
        match rng.u8(0..5) {
            0 => {
                faults.flipped += 1;
                let begin = out.len();
                out.extend(frame);
                // Up to three bits, all of them different.
                let (bits, first, apart) = (frame.len() * 8, rng.usize(..), rng.usize(1..frame.len()));
                for k in 0..rng.usize(1..=3) {
                    let bit = first.wrapping_add(k * apart) % bits;
                    if let Some(byte) = out.get_mut(begin + bit / 8) {
                        *byte ^= 1 << (bit % 8);
                    }
                }
            }
            1 => faults.dropped += 1,
            2 => {
                faults.duplicated += 1;
                faults.whole += 2;
                out.extend(frame);
                out.extend(frame);
            }
            3 => {
                faults.truncated += 1;
                // At least two bytes: of one that lacks its last zero alone, the next frame's first is the end.
                out.extend(frame.iter().take(rng.usize(1..frame.len() - 1)));
            }
            _ => {
                faults.noise += 1;
                faults.whole += 1;
                let noise = rng.usize(1..40);
                out.extend((0..noise).map(|_| rng.u8(..)));
                out.extend(frame);
            }
        }
    }
}

/// A port of which a part of the frames, both ways, is damaged.
#[derive(Debug)]
pub struct Faulty<P> {
    port: P,
    rate: f64,
    to: Way,
    from: Way,
    /// A frame that is not whole yet.
    partial: Vec<u8>,
    ready: VecDeque<u8>,
}

impl<P: Port> Faulty<P> {
    /// Damages so many of all frames, from 0 to 1.
    pub fn new(port: P, rate: f64, seed: u64) -> Self {
        let way = |seed| Way { rng: Rng::with_seed(seed), faults: Faults::default() };
        let (to, from) = (way(seed), way(!seed));
        Self { port, rate, to, from, partial: Vec::new(), ready: VecDeque::new() }
    }

    /// Damages another part of all frames from now on; gives the part until now.
    pub fn set_rate(&mut self, rate: f64) -> f64 {
        std::mem::replace(&mut self.rate, rate)
    }

    /// What became of the frames to the board.
    pub fn to_board(&self) -> Faults {
        self.to.faults
    }

    /// What became of the frames from the board.
    pub fn from_board(&self) -> Faults {
        self.from.faults
    }

    /// The port without faults.
    pub fn port(&mut self) -> &mut P {
        &mut self.port
    }

    fn split(&mut self, bytes: &[u8]) {
        let mut out = Vec::new();
        for &byte in bytes {
            // Frames begin with a zero byte, and the first byte behind it is none.
            if byte != 0 || self.partial.len() != 1 {
                self.partial.push(byte);
            }
            if byte == 0 && self.partial.len() > 1 {
                self.from.carry(&self.partial, self.rate, &mut out);
                self.partial.clear();
            }
        }
        self.ready.extend(out);
    }
}

impl<P: Port> Port for Faulty<P> {
    fn send(&mut self, frame: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        self.to.carry(frame, self.rate, &mut out);
        if out.is_empty() { Ok(()) } else { self.port.send(&out) }
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> Result<usize> {
        let begun = Instant::now();
        while self.ready.is_empty() {
            let count = self.port.receive(bytes, limit.saturating_sub(begun.elapsed()))?;
            if count == 0 {
                return Ok(0);
            }
            self.split(&bytes[..count]);
        }
        let count = bytes.len().min(self.ready.len());
        bytes.iter_mut().zip(self.ready.drain(..count)).for_each(|(slot, byte)| *slot = byte);
        Ok(count)
    }
}
