//! The CMSDK APB UART 0 of the MPS2 boards, blocking.
//!
//! Registers: Arm Cortex-M System Design Kit Technical Reference Manual, section 4.4.
#![allow(unsafe_code, reason = "memory-mapped registers")]

use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

const BASE: *mut u32 = 0x4000_4000 as *mut u32;
/// Word offsets.
const DATA: usize = 0;
const STATE: usize = 1;
const CTRL: usize = 2;
const BAUDDIV: usize = 4;
/// Bits of STATE.
const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;

/// The board's first UART.
pub struct Uart(());

impl Uart {
    /// Enables both directions.
    pub fn start() -> Self {
        let uart = Self(());
        uart.write(BAUDDIV, 16);
        uart.write(CTRL, 3);
        uart
    }

    fn read(&self, register: usize) -> u32 {
        // SAFETY: BASE plus the offsets above are the UART's registers on this board; reading them is always allowed.
        unsafe { BASE.add(register).read_volatile() }
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: as above; the UART touches no memory.
        unsafe { BASE.add(register).write_volatile(value) }
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(slot) = buf.first_mut() else {
            return Ok(0);
        };
        while Self::read(self, STATE) & RX_FULL == 0 {}
        *slot = Self::read(self, DATA) as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        for &byte in buf {
            while Self::read(self, STATE) & TX_FULL != 0 {}
            Self::write(self, DATA, byte.into());
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl core::fmt::Write for Uart {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        let _ = Write::write(self, s.as_bytes());
        Ok(())
    }
}
