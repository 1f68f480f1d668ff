//! Wiring of an emulated micro:bit with a Cortex-M0.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub use cellstate_qemu::counter::start as counter;
use cellstate_qemu::nrf51::Uart;
pub use cellstate_qemu::stack::Painted;
pub use cellstate_qemu::{ConstStaticCell, entry, fail};

/// The serial port that the host is at.
pub fn port() -> Uart {
    Uart::start()
}
