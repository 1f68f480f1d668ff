//! The UART of the RISC-V board `virt`, a 16550, and the interrupt controller that lets it wake the core.
//!
//! Registers: PC16550D data sheet, section 8; RISC-V Platform-Level Interrupt Controller Specification 1.0, chapter 3.
#![allow(unsafe_code, reason = "memory-mapped registers of a byte, and control registers")]

use crate::registers::Registers;
use core::convert::Infallible;
use embedded_io::{ErrorType, Read, Write};

const UART: *mut u8 = 0x1000_0000 as *mut u8;
/// Offsets.
const DATA: usize = 0;
const INTERRUPTS: usize = 1;
const LINE_STATUS: usize = 5;
/// Bits of LINE_STATUS.
const RECEIVED: u8 = 1;
const TX_EMPTY: u8 = 0x20;

// SAFETY: the board's controller, which only interrupts, and no interrupt is served.
const CONTROLLER: Registers = unsafe { Registers::at(0x0C00_0000) };
/// The UART's source.
const SOURCE: u32 = 10;
/// Offsets, of the first hart's machine mode. Reading CLAIM says which source is pending; writing that ends its claim.
const PRIORITY: usize = 4 * SOURCE as usize;
const ENABLE: usize = 0x2000;
const THRESHOLD: usize = 0x20_0000;
const CLAIM: usize = 0x20_0004;

/// The board's only UART.
#[derive(Debug)]
pub struct Uart(());

impl Uart {
    /// Lets a byte that was received end a `wfi`.
    pub fn start() -> Self {
        riscv::interrupt::disable();
        CONTROLLER.write(PRIORITY, 1);
        CONTROLLER.write(ENABLE, 1 << SOURCE);
        CONTROLLER.write(THRESHOLD, 0);
        // SAFETY: interrupts are masked, and stay so.
        unsafe { riscv::register::mie::set_mext() };
        let uart = Self(());
        uart.write(INTERRUPTS, 1);
        uart
    }

    fn read(&self, register: usize) -> u8 {
        // SAFETY: the UART has its registers there on this board; it touches no memory.
        unsafe { UART.add(register).read_volatile() }
    }

    fn write(&self, register: usize, value: u8) {
        // SAFETY: as above.
        unsafe { UART.add(register).write_volatile(value) }
    }
}

impl ErrorType for Uart {
    type Error = Infallible;
}

impl Read for Uart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some(slot) = buf.first_mut() else { return Ok(0) };
        loop {
            let claimed = CONTROLLER.read(CLAIM);
            if Self::read(self, LINE_STATUS) & RECEIVED != 0 {
                *slot = Self::read(self, DATA);
                CONTROLLER.write(CLAIM, claimed);
                return Ok(1);
            }
            CONTROLLER.write(CLAIM, claimed);
            riscv::asm::wfi();
        }
    }
}

impl Write for Uart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        for &byte in buf {
            while Self::read(self, LINE_STATUS) & TX_EMPTY == 0 {}
            Self::write(self, DATA, byte);
        }
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}
