//! Boards that an emulator stands for, and running models on them.
//!
//! * [`cores`]: which there are, and how each is built for and emulated;
//! * [`pack`]: models as the firmware `boards/bench` takes them;
//! * [`emulate`]: one run of that firmware.

pub mod cores;
pub mod emulate;
pub mod pack;
