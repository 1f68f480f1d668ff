//! Where in flash the journal and the slots are.

use crate::manifest;
use embedded_storage::nor_flash::NorFlash;

/// The most bytes that a flash may write or read at once.
pub(crate) const LARGEST_WORD: usize = 32;
/// The least bytes of a page of the journal: four records of a flash with small words.
const LEAST_PAGE: u32 = 64;

/// Where things are: two pages of the journal, then two slots, one after the other. All offsets are in bytes, from the flash's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    start: u32,
    page: u32,
    slot: u32,
}

/// One of the two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const BOTH: [Slot; 2] = [Slot::A, Slot::B];

    /// The one that this is not.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Slot::A => Slot::B,
            Slot::B => Slot::A,
        }
    }
}

/// Why a flash cannot be laid out so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LayoutError {
    /// The start and the slots must be multiples of what is erased at once, and of 4.
    Misaligned,
    /// A slot must have more bytes than a manifest.
    SlotTooSmall,
    /// All must end within the flash.
    PastTheEnd,
}

impl core::fmt::Display for LayoutError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            LayoutError::Misaligned => {
                "the start and the slots must be multiples of what the flash erases at once, and of 4"
            }
            LayoutError::SlotTooSmall => "a slot must have more than the 160 bytes of a manifest",
            LayoutError::PastTheEnd => "the slots must end within the flash",
        })
    }
}

impl core::error::Error for LayoutError {}

impl Layout {
    /// From `start` on, with slots of so many bytes, in flash of the type `F`.
    ///
    /// # Errors
    /// [`LayoutError`] says what does not fit.
    pub const fn of<F: NorFlash>(start: u32, slot_bytes: u32) -> Result<Self, LayoutError> {
        Self::new(start, slot_bytes, F::ERASE_SIZE as u32)
    }

    /// The same in flash that erases so many bytes at once.
    ///
    /// # Errors
    /// [`LayoutError`] says what does not fit.
    pub const fn new(start: u32, slot_bytes: u32, erase_bytes: u32) -> Result<Self, LayoutError> {
        if erase_bytes == 0 || !start.is_multiple_of(erase_bytes) || !slot_bytes.is_multiple_of(erase_bytes) {
            return Err(LayoutError::Misaligned);
        }
        if !start.is_multiple_of(4) || !slot_bytes.is_multiple_of(4) {
            return Err(LayoutError::Misaligned);
        }
        if slot_bytes <= manifest::BYTES as u32 {
            return Err(LayoutError::SlotTooSmall);
        }
        let page = if erase_bytes >= LEAST_PAGE { erase_bytes } else { LEAST_PAGE.next_multiple_of(erase_bytes) };
        let layout = Self { start, page, slot: slot_bytes };
        // Nothing below can overflow then.
        let end = start as u64 + 2 * page as u64 + 2 * slot_bytes as u64;
        if end > u32::MAX as u64 || !page.is_multiple_of(4) { Err(LayoutError::PastTheEnd) } else { Ok(layout) }
    }

    /// The byte behind the last.
    pub const fn end(&self) -> u32 {
        self.slot(Slot::B).saturating_add(self.slot)
    }

    /// Bytes of a page of the journal.
    pub const fn page_bytes(&self) -> u32 {
        self.page
    }

    /// Where a page of the journal begins: the first, or else the second.
    pub const fn page(&self, second: bool) -> u32 {
        if second { self.start.saturating_add(self.page) } else { self.start }
    }

    /// Bytes of a slot.
    pub const fn slot_bytes(&self) -> u32 {
        self.slot
    }

    /// Where a slot begins.
    pub const fn slot(&self, slot: Slot) -> u32 {
        let first = self.start.saturating_add(self.page.saturating_mul(2));
        match slot {
            Slot::A => first,
            Slot::B => first.saturating_add(self.slot),
        }
    }
}
