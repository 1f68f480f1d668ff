//! An I2C bus whose power is cut in the middle of a write to an EEPROM on it, to see what a program makes of what is left.
//!
//! The emulator ends at that moment, so that nothing is left but what the EEPROM holds.

use embedded_hal::i2c::{ErrorType, I2c, Operation};
use semihosting::process;

/// Bytes of a transfer before those that are written: the address in the EEPROM.
const ADDRESS: usize = 2;
/// The longest page of an EEPROM.
const PAGE: usize = 256;

/// What is left of the write in which the power is cut. An EEPROM erases the bytes of a page, and writes them then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// All of it: the power is cut before the next.
    Whole,
    /// The first half of its bytes; the others are as they were.
    Half,
    /// Erased bytes.
    Erased,
    /// Bytes of no meaning.
    Noise,
}

/// At which write the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// So many writes are done, and then the one that is cut. There are fewer than 2^24.
    pub after: u32,
    /// What is left of that one.
    pub left: Left,
}

impl Plan {
    /// What the emulator [loaded](crate::mps2::loaded): a word that says how many bytes there are, and one with [`after`](Self::after)
    /// in its lower 24 bits and the place of [`left`](Self::left) among its kind above them. None if there is nothing, or no such kind.
    pub fn loaded(bytes: &[u8]) -> Option<Self> {
        let (_, &[a0, a1, a2, left]) =
            bytes.split_first_chunk::<4>().and_then(|(size, rest)| Some((size, rest.first_chunk()?)))?;
        let left = match left {
            0 => Left::Whole,
            1 => Left::Half,
            2 => Left::Erased,
            3 => Left::Noise,
            _ => return None,
        };
        Some(Self { after: u32::from_le_bytes([a0, a1, a2, 0]), left })
    }
}

/// The bus. Without a plan its power is not cut.
#[derive(Debug)]
pub struct Cut<I> {
    i2c: I,
    plan: Option<Plan>,
    /// Writes that were done.
    done: u32,
}

impl<I: I2c> Cut<I> {
    /// Takes the bus.
    pub fn new(i2c: I, plan: Option<Plan>) -> Self {
        Self { i2c, plan, done: 0 }
    }

    /// Before a write, which begins with the address in the EEPROM.
    fn before(&mut self, device: u8, write: &[u8]) -> Result<(), I::Error> {
        if let Some(Plan { after, left }) = self.plan
            && after == self.done
        {
            self.last(device, write, left)?;
            process::exit(0);
        }
        self.done = self.done.wrapping_add(1);
        Ok(())
    }

    /// The write that is cut.
    fn last(&mut self, device: u8, write: &[u8], left: Left) -> Result<(), I::Error> {
        let mut torn = [0; ADDRESS + PAGE];
        let bytes = torn.iter_mut().zip(write);
        bytes.for_each(|(torn, &byte)| *torn = byte);
        let len = match left {
            Left::Half => ADDRESS + (write.len() - ADDRESS) / 2,
            _ => write.len(),
        };
        // A generator of Park and Miller's, so that each write leaves noise of its own.
        let mut noise = self.done.wrapping_add(1);
        for byte in torn.iter_mut().skip(ADDRESS) {
            noise = noise.wrapping_mul(48_271) & 0x7fff_ffff;
            match left {
                Left::Whole | Left::Half => {}
                Left::Erased => *byte = 0xff,
                Left::Noise => *byte = (noise >> 16) as u8,
            }
        }
        match torn.get(..len) {
            Some(torn) if len > ADDRESS => self.i2c.write(device, torn),
            _ => Ok(()),
        }
    }
}

impl<I: ErrorType> ErrorType for Cut<I> {
    type Error = I::Error;
}

impl<I: I2c> I2c for Cut<I> {
    fn transaction(&mut self, address: u8, operations: &mut [Operation<'_>]) -> Result<(), Self::Error> {
        if let [Operation::Write(write)] = operations
            && write.len() > ADDRESS
        {
            self.before(address, write)?;
        }
        self.i2c.transaction(address, operations)
    }
}
