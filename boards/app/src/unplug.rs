//! An I2C bus whose parts can be unplugged, to see what a program does then.

use core::cell::Cell;
use embedded_hal::i2c::{ErrorType, I2c, Operation};

/// Reserved by the I2C specification, so that nobody answers.
const NOBODY: u8 = 0x7f;

/// The bus. While it is unplugged every transfer goes to an address where nobody answers: the bus itself fails as it would.
#[derive(Debug)]
pub struct Unpluggable<'a, I> {
    i2c: I,
    plugged: &'a Cell<bool>,
}

impl<'a, I: I2c> Unpluggable<'a, I> {
    /// Takes the bus, and the switch that whoever unplugs holds too.
    pub fn new(i2c: I, plugged: &'a Cell<bool>) -> Self {
        Self { i2c, plugged }
    }

    /// Where a transfer really goes.
    fn reached(&self, address: u8) -> u8 {
        if self.plugged.get() { address } else { NOBODY }
    }
}

impl<I: ErrorType> ErrorType for Unpluggable<'_, I> {
    type Error = I::Error;
}

// All of them, for a bus may have better than the trait's own.
impl<I: I2c> I2c for Unpluggable<'_, I> {
    fn read(&mut self, address: u8, read: &mut [u8]) -> Result<(), Self::Error> {
        self.i2c.read(self.reached(address), read)
    }

    fn write(&mut self, address: u8, write: &[u8]) -> Result<(), Self::Error> {
        self.i2c.write(self.reached(address), write)
    }

    fn write_read(&mut self, address: u8, write: &[u8], read: &mut [u8]) -> Result<(), Self::Error> {
        self.i2c.write_read(self.reached(address), write, read)
    }

    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Self::Error> {
        self.i2c.transaction(self.reached(address), operations)
    }
}
