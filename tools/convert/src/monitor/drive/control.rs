//! What is to be streamed, and how a stream is told to rest, to look closer or to stop.

use super::BLINK;
use crate::monitor::samples::Samples;
use cellstate_link::{Port, Settings};
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

/// What is to be streamed.
#[derive(Debug)]
pub struct Plan<'a> {
    /// What the port is called.
    pub port: String,
    /// The samples.
    pub samples: &'a Samples,
    /// Samples a second; none for as many as the board predicts.
    pub rate: Option<f64>,
    /// The number of samples after which it ends; none for never. The data begin again after their last.
    pub steps: Option<u64>,
    /// How patient the link is.
    pub settings: Settings,
    /// How long a board that is lost is waited for.
    pub patience: Duration,
    /// Where saved states go.
    pub folder: PathBuf,
}

/// What a user can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Rest, or go on.
    Pause,
    /// Reset the state.
    Reset,
    /// Save the state to a file.
    Save,
    /// Look at layers, or no longer.
    Profile,
}

/// How a stream is told what to do.
#[derive(Debug)]
pub struct Control {
    /// What the user asks for.
    pub commands: Receiver<Command>,
    /// Whether it shall end.
    pub stop: Arc<AtomicBool>,
}

impl Control {
    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A port whose waits end soon after it is told to stop.
#[derive(Debug)]
pub struct Interruptible<P> {
    port: P,
    stop: Arc<AtomicBool>,
}

impl<P> Interruptible<P> {
    /// Until this is true.
    pub fn new(port: P, stop: Arc<AtomicBool>) -> Self {
        Self { port, stop }
    }
}

impl<P: Port> Port for Interruptible<P> {
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.port.send(frame)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> std::io::Result<usize> {
        let begun = Instant::now();
        loop {
            if self.stop.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::Interrupted, "it was told to stop"));
            }
            let left = limit.saturating_sub(begun.elapsed());
            let count = self.port.receive(bytes, left.min(BLINK))?;
            if count > 0 || left <= BLINK {
                return Ok(count);
            }
        }
    }
}
