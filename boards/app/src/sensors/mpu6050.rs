//! The MPU-6050 by the driver `mpu6050-dmp`, at ±8 g and ±2000 degrees/s, without its motion processor.

use crate::sensor::{Fault, Sensor};
use embedded_hal::i2c::I2c;
use mpu6050_dmp::accel::AccelFullScale;
use mpu6050_dmp::address::Address;
use mpu6050_dmp::config::DigitalLowPassFilter;
use mpu6050_dmp::error::Error;
use mpu6050_dmp::gyro::GyroFullScale;
use mpu6050_dmp::sensor::Mpu6050;

/// The sensor, set up: x, y, z of the acceleration in 4096 counts a g, then of the rotation in 16.4 counts a degree/s.
pub struct Motion<I: I2c>(Mpu6050<I>);

fn fault<I: I2c>(error: &Error<I>) -> Fault {
    match error {
        Error::WriteError(e) | Error::WriteReadError(e) => Fault::of(e),
        Error::WrongDevice => Fault::Foreign,
    }
}

impl<I: I2c> Motion<I> {
    /// Wakes the sensor and sets it up; AD0 is low.
    ///
    /// # Errors
    /// [`Fault`] if it does not answer.
    pub fn new(i2c: I) -> Result<Self, Fault> {
        let mut sensor = Mpu6050::new(i2c, Address::default()).map_err(|e| fault(&e.error))?;
        let mut set = || {
            sensor.set_accel_full_scale(AccelFullScale::G8)?;
            sensor.set_gyro_full_scale(GyroFullScale::Deg2000)?;
            // 21 Hz: below half of 50 samples a second.
            sensor.set_digital_lowpass_filter(DigitalLowPassFilter::Filter4)
        };
        set().map_err(|e| fault(&e))?;
        Ok(Self(sensor))
    }

    /// The bus, for the next user.
    pub fn release(self) -> I {
        self.0.release()
    }
}

impl<I: I2c> Sensor<6> for Motion<I> {
    fn read(&mut self) -> Result<[i16; 6], Fault> {
        let (a, g) = self.0.motion6().map_err(|e| fault(&e))?;
        Ok([a.x(), a.y(), a.z(), g.x(), g.y(), g.z()])
    }
}
