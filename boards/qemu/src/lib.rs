//! What the emulated boards share: their peripherals behind the traits of `embedded-io`, `embedded-hal` and `cellstate-app`.
//!
//! * `mps2`: UART, timers and two-wire bus of Arm's MPS2 boards; `nrf51`: the micro:bit's UART; `virt`: the one of RISC-V virt.
//! * `eeprom`: a memory on that bus; `cut`: the bus with its power cut in the middle of a write.
//! * [`counter`]: the core's own counter; [`stack`]: the painted stack.
//!
//! A board's crate names its own of these; `programs/` is what all boards run.
//!
//! Every port sleeps until a byte comes. No interrupt is served for that: they are masked, and one that is pending ends a `wfi`
//! nevertheless, also if it came before.

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod counter;
#[cfg(target_arch = "arm")]
pub mod cut;
#[cfg(target_arch = "arm")]
pub mod eeprom;
#[cfg(target_arch = "arm")]
pub mod mps2;
#[cfg(target_arch = "arm")]
pub mod nrf51;
mod registers;
pub mod stack;
#[cfg(target_arch = "riscv32")]
pub mod virt;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;
pub use static_cell::ConstStaticCell;

use core::fmt::{self, Write};
use core::slice;
use semihosting::{process, sys::arm_compat::sys_writec};

/// What the emulator loaded to an address, a multiple of 4; its first word is the number of its bytes.
///
/// # Safety
/// There is memory for all of it, which the emulator filled before the first instruction, and nothing writes to it.
#[allow(unsafe_code, reason = "memory that the emulator filled")]
pub unsafe fn loaded(address: usize) -> &'static [u8] {
    let start = address as *const u32;
    // SAFETY: as the caller promised.
    unsafe { slice::from_raw_parts(start.cast(), start.read_volatile() as usize) }
}

/// The emulator's console. The crate's own macros would bring in panics.
struct Console;

impl Write for Console {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        s.bytes().for_each(sys_writec);
        Ok(())
    }
}

/// Says why on the emulator's console, and ends it.
pub fn fail(why: &str) -> ! {
    for part in ["fatal: ", why, "\n"] {
        let _ = Console.write_str(part);
    }
    process::exit(1)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(Console, "{info}");
    process::exit(2)
}
