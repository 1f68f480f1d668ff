//! TMP102, TMP105 and TMP112 by the driver `tmp1x2`, in continuous conversion.

use crate::sensor::{Fault, Sensor};
use embedded_hal::i2c::I2c;
use tmp1x2::{Error, SlaveAddr, Tmp1x2};

/// All address pins low.
const ADDRESS: u8 = 0x48;
/// The first byte of the configuration, which is a TMP105's only one: 12 bits, continuous. A TMP105 wakes up with 9 bits; the
/// others always have 12. The driver writes two bytes, of which a TMP105 expects no second.
const TWELVE_BITS: [u8; 2] = [0x01, 0x60];

/// The sensor: 1/16 degree Celsius a count.
pub struct Thermometer<I> {
    i2c: I,
    /// Whether it was set up and has answered since. One that did not answer may have lost its power, and its settings.
    ready: bool,
}

impl<I: I2c> Thermometer<I> {
    /// Takes the bus; the sensor's address pins are low. It is set up before the first reading, and again after each fault.
    pub fn new(i2c: I) -> Self {
        Self { i2c, ready: false }
    }

    /// The bus, for the next user.
    pub fn release(self) -> I {
        self.i2c
    }

    fn degrees(&mut self) -> Result<f32, I::Error> {
        if !self.ready {
            self.i2c.write(ADDRESS, &TWELVE_BITS)?;
        }
        let mut driver = Tmp1x2::new(&mut self.i2c, SlaveAddr::Alternative(false, false));
        driver.read_temperature().map_err(|Error::I2C(e)| e)
    }
}

impl<I: I2c> Sensor<1> for Thermometer<I> {
    fn read(&mut self) -> Result<[i16; 1], Fault> {
        let degrees = self.degrees();
        self.ready = degrees.is_ok();
        // Sixteenths of degrees are whole in floats.
        degrees.map(|degrees| [(degrees * 16.0) as i16]).map_err(|e| Fault::of(&e))
    }
}
