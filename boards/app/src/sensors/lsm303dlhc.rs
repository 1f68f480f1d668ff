//! The LSM303DLHC's magnetometer by the published map of its registers, `lsm303dlhc-registers`, at ±1.3 gauss and 75 Hz.
//!
//! The published drivers are for `embedded-hal` 0.2, and set up the accelerometer of the package too, which answers at another
//! address and need not be there. The LSM303AGR's driver does not fit: that part has other registers.

use crate::sensor::{Fault, Sensor};
use embedded_hal::i2c::I2c;
use lsm303dlhc_registers::mag::{
    ConfigurationARegisterM, ConfigurationBRegisterM, DEFAULT_DEVICE_ADDRESS, MagGain, MagOdr, ModeRegisterM,
    RegisterAddress,
};

/// What the three identification registers say.
const IDENTITY: [u8; 3] = *b"H43";

/// The sensor: x, y, z, of which 1 gauss is 1100, 1100 and 980 counts.
pub struct Magnetometer<I> {
    i2c: I,
    /// Whether it was set up and has answered since. One that did not answer may have lost its power, and its settings.
    ready: bool,
}

impl<I: I2c> Magnetometer<I> {
    /// Takes the bus. The sensor is set up before the first reading, and again after each fault.
    pub fn new(i2c: I) -> Self {
        Self { i2c, ready: false }
    }

    /// The bus, for the next user.
    pub fn release(self) -> I {
        self.i2c
    }

    /// All registers from this one on; the part counts on by itself.
    fn registers<const N: usize>(&mut self, first: RegisterAddress) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        let read = self.i2c.write_read(DEFAULT_DEVICE_ADDRESS, &[first.addr()], &mut bytes);
        read.map(|()| bytes).map_err(|e| Fault::of(&e))
    }

    fn set_up(&mut self) -> Result<(), Fault> {
        if self.registers(RegisterAddress::IRA_REG_M)? != IDENTITY {
            return Err(Fault::Foreign);
        }
        let rate: u8 = ConfigurationARegisterM::new().with_data_output_rate(MagOdr::Hz75).into();
        let gain: u8 = ConfigurationBRegisterM::new().with_gain(MagGain::Gauss1_3).into();
        let mode: u8 = ModeRegisterM::new().with_sleep_mode(false).with_single_conversion(false).into();
        let settings =
            [(RegisterAddress::CRA_REG_M, rate), (RegisterAddress::CRB_REG_M, gain), (RegisterAddress::MR_REG_M, mode)];
        for (register, value) in settings {
            self.i2c.write(DEFAULT_DEVICE_ADDRESS, &[register.addr(), value]).map_err(|e| Fault::of(&e))?;
        }
        Ok(())
    }

    fn field(&mut self) -> Result<[i16; 3], Fault> {
        if !self.ready {
            self.set_up()?;
        }
        // High bytes first, and z before y.
        let [xh, xl, zh, zl, yh, yl] = self.registers(RegisterAddress::OUT_X_H_M)?;
        Ok([[xh, xl], [yh, yl], [zh, zl]].map(i16::from_be_bytes))
    }
}

impl<I: I2c> Sensor<3> for Magnetometer<I> {
    fn read(&mut self) -> Result<[i16; 3], Fault> {
        let field = self.field();
        self.ready = field.is_ok();
        field
    }
}
