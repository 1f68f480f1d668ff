//! An EEPROM of 64 KiB on the two-wire bus, `at24c-eeprom,bus=i2c,address=0x50,rom-size=65536` for the emulator.

use crate::mps2::timers::Timers;
use eeprom24x::{Eeprom24x, SlaveAddr, Storage, addr_size::TwoBytes, page_size::B128, unique_serial::No};
use embedded_hal::i2c::I2c;

/// A 24x512, which writes pages of 128 bytes in 5 ms each.
pub type Eeprom<I> = Storage<I, B128, TwoBytes, No, Timers>;
/// Bytes that are written at once.
pub const PAGE: usize = 128;
/// All bytes.
pub const BYTES: usize = 1 << 16;

/// The one whose address pins are all low.
pub fn on<I: I2c>(bus: I, time: Timers) -> Eeprom<I> {
    Storage::new(Eeprom24x::new_24x512(bus, SlaveAddr::default()), time)
}
