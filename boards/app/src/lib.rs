//! What every board runs, generic over `embedded-hal` and `embedded-io`. A board's `main` is wiring.
//!
//! Sensors to decisions:
//!
//! * [`sensor`]: raw counts, or why there are none; [`sensors`]: published drivers behind it.
//! * [`sampler`]: readings at a fixed rate into a queue, from an interrupt or a loop.
//! * [`predictor`]: samples out of the queue, the session, gaps, latencies; [`debounce`]: decisions that do not flicker.
//! * [`clock`] tells the time in microseconds, and sleeps; `systick` is an alarm for that on Cortex-M.
//! * [`app`]: all of that in a loop, with a light and a log; [`interrupt`]: the sampler's half of it in a timer's interrupt.
//! * [`lockstep`] shows a host every sample on its way; [`unplug`] is a bus that fails when the host wants it to;
//!   [`mote`] and [`lane`]: what both sides of such a run agree on.
//! * [`recording`]: samples from memory at a timer's pace, and what is told of them.
//!
//! Commands over a serial port (`docs/protocol.md`), for firmware and host alike:
//!
//! * [`link`]: frames that are found again after any garbage; [`protocol`]: the messages in them.
//! * [`server`]: serves a port; it sees `embedded-io` traits and a [`server::Counter`], never a peripheral.
//! * [`device`]: executes each command once: samples, profiles, states, updates. [`outcomes`] answers commands that come again,
//!   [`staging`] has states on their way, [`profile`] the ticks of each layer.
//!
//! [`trial`]: blobs on pseudo-random samples, for benchmarks and for comparing kernels.

#![no_std]
#![forbid(unsafe_code)]

pub mod app;
pub mod clock;
pub mod debounce;
pub mod device;
pub mod interrupt;
pub mod lane;
pub mod link;
pub mod lockstep;
pub mod mote;
pub mod outcomes;
pub mod predictor;
pub mod profile;
pub mod protocol;
pub mod recording;
pub mod sampler;
pub mod sensor;
pub mod sensors;
pub mod server;
pub mod staging;
#[cfg(feature = "systick")]
pub mod systick;
pub mod trial;
pub mod unplug;
