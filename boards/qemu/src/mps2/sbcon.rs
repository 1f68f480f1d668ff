//! The SBCon two-wire block of the MPS2 boards AN385 and AN386, which gives software the two lines of an I2C bus and no more.
//!
//! This is the one at the shield's connector, `bus=i2c` for the emulator. Registers: Arm Application Note 386, section 4.4. It
//! clocks as fast as the core does, which the emulated sensors follow.
#![allow(unsafe_code, reason = "the peripheral's address")]

use crate::registers::Registers;
use embedded_hal::i2c::{ErrorKind, ErrorType, I2c, NoAcknowledgeSource, Operation};

// SAFETY: these boards have the block there; it moves no data by itself.
const BUS: Registers = unsafe { Registers::at(0x4002_A000) };
/// Offsets. Reading `SET` gives the levels of the lines.
const SET: usize = 0;
const CLEAR: usize = 4;
/// The lines, open drain: one that is set may still be held low by a sensor.
const SCL: u32 = 1;
const SDA: u32 = 2;

/// The bus, with the board as its only master.
pub struct TwoWire(());

impl TwoWire {
    /// Lets both lines go.
    pub fn start() -> Self {
        let mut bus = Self(());
        bus.set(SDA | SCL);
        bus
    }

    fn set(&mut self, lines: u32) {
        BUS.write(SET, lines);
    }

    fn clear(&mut self, lines: u32) {
        BUS.write(CLEAR, lines);
    }

    fn sda(&self) -> bool {
        BUS.read(SET) & SDA != 0
    }

    /// SDA falls while SCL is high: a start, or a repeated one.
    fn begin(&mut self) {
        self.set(SDA);
        self.set(SCL);
        self.clear(SDA);
        self.clear(SCL);
    }

    /// SDA rises while SCL is high: a stop.
    fn end(&mut self) {
        self.clear(SDA);
        self.set(SCL);
        self.set(SDA);
    }

    fn put_bit(&mut self, bit: bool) {
        if bit {
            self.set(SDA)
        } else {
            self.clear(SDA)
        }
        self.set(SCL);
        self.clear(SCL);
    }

    fn get_bit(&mut self) -> bool {
        self.set(SDA);
        self.set(SCL);
        let bit = self.sda();
        self.clear(SCL);
        bit
    }

    /// A byte to the sensor, which acknowledges it by holding SDA low.
    fn put(&mut self, byte: u8, what: NoAcknowledgeSource) -> Result<(), ErrorKind> {
        for k in (0..8).rev() {
            self.put_bit(byte >> k & 1 != 0);
        }
        if self.get_bit() { Err(ErrorKind::NoAcknowledge(what)) } else { Ok(()) }
    }

    /// A byte from the sensor, which sends another if this one is acknowledged.
    fn get(&mut self, another: bool) -> u8 {
        let byte = (0..8).fold(0, |byte, _| byte << 1 | u8::from(self.get_bit()));
        self.put_bit(!another);
        byte
    }

    /// All of a transaction but its stop. Operations of one direction are one transfer.
    fn operations(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let mut operations = operations.iter_mut().peekable();
        let mut direction = None;
        while let Some(operation) = operations.next() {
            let read = matches!(operation, Operation::Read(_));
            if direction != Some(read) {
                self.begin();
                self.put(address << 1 | u8::from(read), NoAcknowledgeSource::Address)?;
                direction = Some(read);
            }
            match operation {
                Operation::Write(bytes) => {
                    for &byte in bytes.iter() {
                        self.put(byte, NoAcknowledgeSource::Data)?;
                    }
                }
                Operation::Read(bytes) => {
                    let Some((last, others)) = bytes.split_last_mut() else { continue };
                    others.iter_mut().for_each(|byte| *byte = self.get(true));
                    *last = self.get(matches!(operations.peek(), Some(Operation::Read(_))));
                }
            }
        }
        Ok(())
    }
}

impl ErrorType for TwoWire {
    type Error = ErrorKind;
}

impl I2c for TwoWire {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), ErrorKind> {
        let result = self.operations(address, operations);
        self.end();
        result
    }
}
