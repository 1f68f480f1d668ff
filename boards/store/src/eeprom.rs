//! Bytewise memory, such as an EEPROM on a bus, with the interface of flash.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

/// Memory that writes any byte at any time, some of them at once.
pub trait Eeprom {
    /// What can go wrong on its bus.
    type Error: core::fmt::Debug;

    /// Bytes that are written at once, if they stand in one page: those from a multiple of this on.
    const PAGE: usize;

    /// All its bytes.
    fn capacity(&self) -> usize;

    /// Reads from an address on.
    ///
    /// # Errors
    /// The bus's own.
    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), Self::Error>;

    /// Writes bytes of one page, and returns when the memory is done.
    ///
    /// # Errors
    /// The bus's own.
    fn write_page(&mut self, address: u32, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// An [`Eeprom`] as flash that erases `ERASE` bytes at once, by writing ones; a multiple of its pages.
///
/// Bytes may be written again without an erase here, which the store does not do.
#[derive(Clone, Debug)]
pub struct Bytewise<E, const ERASE: usize>(pub E);

/// Why it did not read or write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BytewiseError<E> {
    /// The range must be within the memory, and an erased one of whole blocks.
    Range(NorFlashErrorKind),
    /// The bus failed.
    Bus(E),
}

impl<E: core::fmt::Debug> NorFlashError for BytewiseError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            BytewiseError::Range(kind) => *kind,
            BytewiseError::Bus(_) => NorFlashErrorKind::Other,
        }
    }
}

impl<E: Eeprom, const ERASE: usize> Bytewise<E, ERASE> {
    /// Writes bytes that may be of several pages.
    fn put(&mut self, mut address: u32, mut bytes: &[u8]) -> Result<(), BytewiseError<E::Error>> {
        while !bytes.is_empty() {
            let room = E::PAGE - address as usize % E::PAGE;
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.0.write_page(address, now).map_err(BytewiseError::Bus)?;
            address = address.saturating_add(now.len() as u32);
            bytes = later;
        }
        Ok(())
    }
}

impl<E: Eeprom, const ERASE: usize> ErrorType for Bytewise<E, ERASE> {
    type Error = BytewiseError<E::Error>;
}

impl<E: Eeprom, const ERASE: usize> ReadNorFlash for Bytewise<E, ERASE> {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len()).map_err(BytewiseError::Range)?;
        self.0.read(offset, bytes).map_err(BytewiseError::Bus)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<E: Eeprom, const ERASE: usize> NorFlash for Bytewise<E, ERASE> {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = ERASE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        const {
            assert!(
                E::PAGE > 0 && ERASE > 0 && ERASE.is_multiple_of(E::PAGE),
                "a block must be whole pages of the memory"
            );
        };
        check_erase(self, from, to).map_err(BytewiseError::Range)?;
        let ones = [0xff; ERASE];
        (from..to).step_by(ERASE).try_for_each(|block| self.put(block, &ones))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len()).map_err(BytewiseError::Range)?;
        self.put(offset, bytes)
    }
}
