//! An EEPROM of 64 KiB on the two-wire bus, `at24c-eeprom,bus=i2c,address=0x50,rom-size=65536` for the emulator.

use crate::mps2::timers::Timers;
use cellstate_store::Eeprom;
use eeprom24x::{Eeprom24x, Error, SlaveAddr, addr_size::TwoBytes, page_size::B128, unique_serial::No};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;

/// Milliseconds that it takes to write a page, in which it does not answer.
const WRITE_MS: u32 = 5;

/// A 24x512 with all address pins low.
pub struct Eeprom24x512<I> {
    chip: Eeprom24x<I, B128, TwoBytes, No>,
    time: Timers,
}

impl<I: I2c> Eeprom24x512<I> {
    /// On this bus, with an alarm to wait for it by.
    pub fn new(bus: I, time: Timers) -> Self {
        Self { chip: Eeprom24x::new_24x512(bus, SlaveAddr::default()), time }
    }
}

impl<I: I2c> Eeprom for Eeprom24x512<I> {
    type Error = Error<I::Error>;

    const PAGE: usize = 128;

    fn capacity(&self) -> usize {
        1 << 16
    }

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.chip.read_data(address, bytes)
    }

    fn write_page(&mut self, address: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.chip.write_page(address, bytes)?;
        self.time.delay_ms(WRITE_MS);
        Ok(())
    }
}
