//! The CMSDK APB UART of the MPS2 boards.
//!
//! Registers: Arm Cortex-M System Design Kit Technical Reference Manual, section 4.4.

use super::Machine;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

/// Offsets. Writing 1s to INTSTATUS clears them.
const DATA: usize = 0;
const STATE: usize = 4;
const CTRL: usize = 8;
const INTSTATUS: usize = 12;
const BAUDDIV: usize = 16;
/// Bits of STATE.
const TX_FULL: u32 = 1;
const RX_FULL: u32 = 2;
/// Bits of CTRL: both directions, and an interrupt for each byte that was received.
const ENABLE: u32 = 3;
const RX_INTERRUPT: u32 = 8;
/// Of INTSTATUS.
const RECEIVED: u32 = 2;

/// A board's first UART.
#[derive(Debug)]
pub struct Uart(&'static Machine);

impl Uart {
    /// Enables both directions.
    pub fn start(machine: &'static Machine) -> Self {
        machine.received.wake();
        machine.uart.write(BAUDDIV, 16);
        machine.uart.write(CTRL, ENABLE | RX_INTERRUPT);
        Self(machine)
    }

    /// The same, for a program that serves interrupts and sends only.
    pub fn to_send(machine: &'static Machine) -> Self {
        machine.uart.write(BAUDDIV, 16);
        machine.uart.write(CTRL, ENABLE);
        Self(machine)
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(slot) = buf.first_mut() else { return Ok(0) };
        let Machine { uart, received, .. } = self.0;
        loop {
            // Before the look at the state: a byte that comes after it sets them again.
            uart.write(INTSTATUS, RECEIVED);
            received.clear();
            if uart.read(STATE) & RX_FULL != 0 {
                *slot = uart.read(DATA) as u8;
                return Ok(1);
            }
            cortex_m::asm::wfi();
        }
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        for &byte in buf {
            while self.0.uart.read(STATE) & TX_FULL != 0 {}
            self.0.uart.write(DATA, byte.into());
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
