//! The LSM303AGR's accelerometer by the driver `lsm303agr`, at ±8 g and 100 Hz.

use crate::sensor::{Fault, Sensor};
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::I2c;
use lsm303agr::interface::I2cInterface;
use lsm303agr::mode::MagOneShot;
use lsm303agr::{AccelMode, AccelOutputDataRate, AccelScale, Error, Lsm303agr};

/// The sensor, set up: x, y, z in 16-bit counts of 0.25 mg, of which the upper 12 bits are measured.
pub struct Accelerometer<I>(Lsm303agr<I2cInterface<I>, MagOneShot>);

fn fault<E: embedded_hal::i2c::Error>(error: &Error<E>) -> Fault {
    match error {
        Error::Comm(e) => Fault::of(e),
        Error::InvalidInputData => Fault::Foreign,
    }
}

impl<I: I2c> Accelerometer<I> {
    /// Sets the sensor up.
    ///
    /// # Errors
    /// [`Fault`] if it does not answer.
    pub fn new(i2c: I, delay: &mut impl DelayNs) -> Result<Self, Fault> {
        let mut sensor = Lsm303agr::new_with_i2c(i2c);
        let mut set = || {
            sensor.init()?;
            sensor.set_accel_scale(AccelScale::G8)?;
            sensor.set_accel_mode_and_odr(delay, AccelMode::HighResolution, AccelOutputDataRate::Hz100)
        };
        set().map_err(|e| fault(&e))?;
        Ok(Self(sensor))
    }

    /// The bus, for the next user.
    pub fn release(self) -> I {
        self.0.destroy()
    }
}

impl<I: I2c> Sensor<3> for Accelerometer<I> {
    fn read(&mut self) -> Result<[i16; 3], Fault> {
        let (x, y, z) = self.0.acceleration().map_err(|e| fault(&e))?.xyz_raw();
        Ok([x, y, z].map(|count| count as i16))
    }
}
