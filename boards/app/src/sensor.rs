//! What the application sees of a sensor: raw counts, or why there are none.

use embedded_hal::i2c::ErrorKind;
use serde::{Deserialize, Serialize};

/// Why a reading failed. The next one is tried at its own time, whatever went wrong with this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// The sensor did not acknowledge: unplugged, unpowered, or at another address.
    NoAcknowledge,
    /// The bus failed: a line is held, arbitration was lost, or the peripheral says no more than that.
    Bus,
    /// The sensor answers, but not as this one should.
    Foreign,
    /// The same counts came more often in a row than this sensor's noise allows.
    Stuck,
}

impl Fault {
    /// Of a bus's own error.
    pub fn of(error: &impl embedded_hal::i2c::Error) -> Self {
        match error.kind() {
            ErrorKind::NoAcknowledge(_) => Self::NoAcknowledge,
            _ => Self::Bus,
        }
    }
}

/// A sensor with `N` features.
pub trait Sensor<const N: usize> {
    /// One reading, in the counts that the model was trained on.
    ///
    /// # Errors
    /// [`Fault`] says why there is none. No reading blocks for longer than its transfer.
    fn read(&mut self) -> Result<[i16; N], Fault>;
}

/// A sensor whose readings always differ a little, so that equal ones in a row are no readings: [`Fault::Stuck`].
#[derive(Debug)]
pub struct Lively<S, const N: usize> {
    sensor: S,
    /// Equal readings in a row that may be chance.
    most: u16,
    last: Option<[i16; N]>,
    equal: u16,
}

impl<S, const N: usize> Lively<S, N> {
    /// Allows `most` equal readings in a row.
    pub const fn new(sensor: S, most: u16) -> Self {
        Self { sensor, most, last: None, equal: 0 }
    }
}

impl<S: Sensor<N>, const N: usize> Sensor<N> for Lively<S, N> {
    fn read(&mut self) -> Result<[i16; N], Fault> {
        let reading = self.sensor.read()?;
        self.equal = if self.last == Some(reading) { self.equal.saturating_add(1) } else { 1 };
        self.last = Some(reading);
        if self.equal > self.most { Err(Fault::Stuck) } else { Ok(reading) }
    }
}

/// A sensor that is set up when it is first read, and again after every fault: one that was unplugged, or lost its power and
/// with it its settings, comes back.
#[derive(Debug)]
pub struct Revived<S, F> {
    sensor: Option<S>,
    set_up: F,
}

impl<S, F: FnMut() -> Result<S, Fault>> Revived<S, F> {
    /// Sets the sensor up by `set_up`, each time that it is needed.
    pub const fn new(set_up: F) -> Self {
        Self { sensor: None, set_up }
    }
}

impl<S: Sensor<N>, F: FnMut() -> Result<S, Fault>, const N: usize> Sensor<N> for Revived<S, F> {
    fn read(&mut self) -> Result<[i16; N], Fault> {
        let mut sensor = match self.sensor.take() {
            Some(sensor) => sensor,
            None => (self.set_up)()?,
        };
        let reading = sensor.read()?;
        self.sensor = Some(sensor);
        Ok(reading)
    }
}
