//! A board in this process: its service runs while it is sent to, and nobody waits. And what it needs of a board.

use crate::port::Port;
use cellstate_app::link::{Body, MAX_FRAME, Receiver, frame};
use cellstate_app::server::{Counter, Service};
use cellstate_store::update::{UpdateError, Updates};
use std::collections::VecDeque;
use std::io::{Error, Result};
use std::time::{Duration, Instant};

/// Counts microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Micros(Instant);

impl Micros {
    /// Since now.
    pub fn start() -> Self {
        Self(Instant::now())
    }
}

impl Counter for Micros {
    fn now(&mut self) -> u32 {
        self.0.elapsed().as_micros() as u32
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}

/// Updates that are kept in memory, and are right if they are the bytes that are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    right: Vec<u8>,
    bytes: Option<Vec<u8>>,
    version: u32,
}

impl Wanted {
    /// Wants these bytes.
    pub fn new(wanted: Vec<u8>) -> Self {
        Self { right: wanted, bytes: None, version: 0 }
    }
}

impl Updates for Wanted {
    fn begin(&mut self, bytes: u32) -> std::result::Result<(), UpdateError> {
        if bytes as usize != self.right.len() {
            return Err(UpdateError::Length);
        }
        self.bytes = Some(Vec::new());
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> std::result::Result<(), UpdateError> {
        let here = self.bytes.as_mut().ok_or(UpdateError::NotBegun)?;
        let known = here.len().checked_sub(offset as usize).ok_or(UpdateError::Gap)?;
        here.extend(bytes.iter().skip(known));
        Ok(())
    }

    fn received(&self) -> u32 {
        self.bytes.as_ref().map_or(0, Vec::len) as u32
    }

    fn finish(&mut self) -> std::result::Result<u32, UpdateError> {
        let bytes = self.bytes.take().ok_or(UpdateError::NotBegun)?;
        if bytes != self.right {
            return Err(UpdateError::Digest);
        }
        self.version += 1;
        Ok(self.version)
    }
}

/// A service as a port.
#[derive(Debug)]
pub struct Local<S> {
    service: S,
    receiver: Receiver,
    room: Body,
    answers: VecDeque<u8>,
}

impl<S: Service> Local<S> {
    /// A board that was just started.
    pub fn new(service: S) -> Self {
        Self { service, receiver: Receiver::new(), room: Body::new(), answers: VecDeque::new() }
    }

    /// What serves.
    pub fn service(&self) -> &S {
        &self.service
    }
}

impl<S: Service> Port for Local<S> {
    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        for &byte in bytes {
            self.service.arrived();
            let Some(received) = self.receiver.push(byte) else { continue };
            let Some(answer) = self.service.answer(received, &mut self.room) else { continue };
            let mut out = [0; MAX_FRAME];
            let len = frame(answer, &mut out).map_err(|_| Error::other("an answer is longer than a frame"))?;
            self.answers.extend(&out[..len]);
            if self.service.restarts() {
                self.service.restart();
            }
        }
        Ok(())
    }

    fn receive(&mut self, bytes: &mut [u8], _: Duration) -> Result<usize> {
        let count = bytes.len().min(self.answers.len());
        bytes.iter_mut().zip(self.answers.drain(..count)).for_each(|(slot, byte)| *slot = byte);
        Ok(count)
    }
}
