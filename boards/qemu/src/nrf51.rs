//! The UART of the nRF51 on the first micro:bit.
//!
//! Registers: nRF51 Series Reference Manual, chapter 29.
#![allow(unsafe_code, reason = "the peripheral's address")]

use crate::registers::{Line, Registers};
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

// SAFETY: the chip's UART, which moves no data by itself.
const UART: Registers = unsafe { Registers::at(0x4000_2000) };
const RECEIVED: Line = Line(2);
/// Offsets of tasks, which begin when 1 is written, of events, which are 1 until 0 is written, and of registers.
const START_RX: usize = 0x000;
const START_TX: usize = 0x008;
const RX_READY: usize = 0x108;
const TX_READY: usize = 0x11C;
const INTERRUPTS: usize = 0x304;
const ENABLE: usize = 0x500;
const RXD: usize = 0x518;
const TXD: usize = 0x51C;
const BAUDRATE: usize = 0x524;
/// Values.
const ENABLED: u32 = 4;
const ON_RX_READY: u32 = 1 << 2;
const BAUD_1M: u32 = 0x1000_0000;

/// The chip's only UART.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Enables both directions.
    pub fn start() -> Self {
        RECEIVED.wake();
        UART.write(BAUDRATE, BAUD_1M);
        UART.write(ENABLE, ENABLED);
        UART.write(INTERRUPTS, ON_RX_READY);
        UART.write(START_RX, 1);
        UART.write(START_TX, 1);
        Self(())
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(slot) = buf.first_mut() else { return Ok(0) };
        while UART.read(RX_READY) == 0 {
            cortex_m::asm::wfi();
            RECEIVED.clear();
        }
        // Before the byte is taken, for the event comes again at once if there is another.
        UART.write(RX_READY, 0);
        RECEIVED.clear();
        *slot = UART.read(RXD) as u8;
        Ok(1)
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        for &byte in buf {
            UART.write(TX_READY, 0);
            UART.write(TXD, byte.into());
            while UART.read(TX_READY) == 0 {}
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
