//! How a stored blob comes to be a slice that [`Model::parse`](cellstate::Model::parse) takes.

use embedded_storage::nor_flash::ReadNorFlash;

/// Flash whose bytes the core can address: a chip's own, or a chip beside it that is mapped.
pub trait Mapped {
    /// The bytes from an offset on; none past the end. A blob must begin at an address that is a multiple of 4, so the flash's first
    /// byte must as well.
    fn view(&self, offset: u32, length: usize) -> Option<&[u8]>;
}

impl<T: Mapped> Mapped for &mut T {
    fn view(&self, offset: u32, length: usize) -> Option<&[u8]> {
        T::view(self, offset, length)
    }
}

/// Where a blob is looked at.
pub trait Loader<F> {
    /// The bytes of a blob in flash; none if they do not fit or cannot be read.
    fn load<'l>(&'l mut self, flash: &'l mut F, offset: u32, length: usize) -> Option<&'l [u8]>;
}

impl<F, L: Loader<F>> Loader<F> for &mut L {
    fn load<'l>(&'l mut self, flash: &'l mut F, offset: u32, length: usize) -> Option<&'l [u8]> {
        L::load(self, flash, offset, length)
    }
}

/// Where it lies. Costs no RAM.
#[derive(Clone, Copy, Debug, Default)]
pub struct InPlace;

impl<F: Mapped> Loader<F> for InPlace {
    fn load<'l>(&'l mut self, flash: &'l mut F, offset: u32, length: usize) -> Option<&'l [u8]> {
        F::view(flash, offset, length)
    }
}

/// In a buffer of `N` bytes, for memory that the core cannot address. `N` must be a multiple of 32.
#[derive(Clone, Debug)]
#[repr(C, align(4))]
pub struct Buffer<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> Buffer<N> {
    /// All zeros.
    pub const fn new() -> Self {
        const {
            assert!(N.is_multiple_of(crate::layout::LARGEST_WORD), "a buffer's size must be a multiple of 32 bytes");
        };
        Self { bytes: [0; N] }
    }

    /// The first bytes: the blob of so many that was loaded last.
    pub fn bytes(&self, length: usize) -> Option<&[u8]> {
        self.bytes.get(..length)
    }
}

impl<const N: usize> Default for Buffer<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<F: ReadNorFlash, const N: usize> Loader<F> for Buffer<N> {
    fn load<'l>(&'l mut self, flash: &'l mut F, offset: u32, length: usize) -> Option<&'l [u8]> {
        // What is behind a blob in its slot is there to be read, up to the flash's words.
        let whole = self.bytes.get_mut(..length.checked_next_multiple_of(F::READ_SIZE)?)?;
        flash.read(offset, whole).ok()?;
        whole.get(..length)
    }
}
