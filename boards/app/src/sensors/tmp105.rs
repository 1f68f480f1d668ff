//! TMP102, TMP105 and TMP112 by the driver `tmp1x2`, in continuous conversion.

use crate::sensor::{Fault, Sensor};
use embedded_hal::i2c::I2c;
use tmp1x2::marker::mode::Continuous;
use tmp1x2::{Error, SlaveAddr, Tmp1x2};

/// The sensor: 1/16 degree Celsius a count.
pub struct Thermometer<I: I2c>(Tmp1x2<I, Continuous>);

impl<I: I2c> Thermometer<I> {
    /// Takes the bus; the sensor's address pins are low. It converts by itself from power-up on.
    pub fn new(i2c: I) -> Self {
        Self(Tmp1x2::new(i2c, SlaveAddr::Alternative(false, false)))
    }

    /// The bus, for the next user.
    pub fn release(self) -> I {
        self.0.destroy()
    }
}

impl<I: I2c> Sensor<1> for Thermometer<I> {
    fn read(&mut self) -> Result<[i16; 1], Fault> {
        let Error::I2C(e) = match self.0.read_temperature() {
            // The driver gives degrees; sixteenths of them are whole in floats.
            Ok(degrees) => return Ok([(degrees * 16.0) as i16]),
            Err(e) => e,
        };
        Err(Fault::of(&e))
    }
}
