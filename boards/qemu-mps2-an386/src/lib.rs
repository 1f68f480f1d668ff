//! Wiring of an emulated Arm MPS2 board with a Cortex-M4F.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub use cellstate_qemu::counter::start as counter;
pub use cellstate_qemu::mps2::AN385 as MACHINE;
use cellstate_qemu::mps2::uart::Uart;
pub use cellstate_qemu::stack::Painted;
pub use cellstate_qemu::{ConstStaticCell, entry, fail};

/// The serial port that the host is at.
pub fn port() -> Uart {
    Uart::start(&MACHINE)
}
