//! Boards that an emulator stands for, and running models on them.
//!
//! * [`cores`]: which there are, and how each is built for and emulated;
//! * [`pack`]: models as the firmware `boards/bench` takes them;
//! * [`emulate`]: one run of that firmware;
//! * [`served`]: a board that runs on, behind its serial port.

pub mod cores;
pub mod emulate;
pub mod pack;
#[cfg(unix)]
pub mod served;
