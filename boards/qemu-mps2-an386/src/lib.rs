//! The emulated board: its peripherals behind the traits of `embedded-io`, `embedded-hal` and `cellstate-app`, and how it ends.

#![no_std]
#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod sbcon;
pub mod systick;
pub mod timers;
pub mod uart;

use core::fmt::Write;
use cortex_m_semihosting::debug;

/// Says why on the serial port, as text after a zero byte, and ends the emulator.
pub fn fail(why: &str) -> ! {
    let mut port = uart::Uart::start();
    let _ = write!(port, "\0fatal: {why}\0");
    loop {
        debug::exit(debug::EXIT_FAILURE);
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    fail("panic")
}
