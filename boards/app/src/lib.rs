//! What every board runs: requests over a serial port, a session, and a counter around each step.
//!
//! * [`link`]: the messages and their frames, for firmware and host alike.
//! * [`server`]: answers requests; it sees `embedded-io` traits and a [`server::Counter`], never a peripheral.
//! * [`trial`]: blobs on pseudo-random samples, for benchmarks and for comparing kernels.

#![no_std]
#![forbid(unsafe_code)]

pub mod link;
pub mod server;
pub mod trial;
