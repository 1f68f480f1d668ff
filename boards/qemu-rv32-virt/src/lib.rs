//! Wiring of the emulated RISC-V board virt with an RV32IMAC.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub use cellstate_qemu::counter::start as counter;
pub use cellstate_qemu::stack::Painted;
use cellstate_qemu::virt::Uart;
pub use cellstate_qemu::{ConstStaticCell, entry, fail};

/// The serial port that the host is at.
pub fn port() -> Uart {
    Uart::start()
}
