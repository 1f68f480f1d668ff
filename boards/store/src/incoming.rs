//! An update on its way into a slot.

use crate::layout::{LARGEST_WORD, Layout, Slot};
use crate::{Manifest, PublicKey, UpdateError, manifest};
use embedded_storage::nor_flash::NorFlash;

/// The pieces so far. Nothing is erased before the manifest is here and was found good.
#[derive(Clone, Debug)]
pub(crate) struct Incoming {
    slot: Slot,
    /// Bytes that are to come, and that came.
    total: u32,
    received: u32,
    manifest: [u8; manifest::BYTES],
    /// The first byte of the slot that is not written, and the first that is not erased, in bytes from the flash's first.
    at: u32,
    erased: u32,
    /// The bytes that are here of the word from `at` on.
    word: [u8; LARGEST_WORD],
    held: usize,
}

/// What a manifest must have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms<'a> {
    pub(crate) key: Option<&'a PublicKey>,
    /// The version that it must be above.
    pub(crate) floor: u32,
}

impl Incoming {
    /// Begins an update of so many bytes.
    pub(crate) fn new(layout: &Layout, slot: Slot, total: u32) -> Result<Self, UpdateError> {
        if total <= manifest::BYTES as u32 || total > layout.slot_bytes() {
            return Err(UpdateError::Length);
        }
        let at = layout.slot(slot);
        let (manifest, word) = ([0; manifest::BYTES], [0; LARGEST_WORD]);
        Ok(Self { slot, total, received: 0, manifest, at, erased: at, word, held: 0 })
    }

    pub(crate) fn slot(&self) -> Slot {
        self.slot
    }

    pub(crate) fn received(&self) -> u32 {
        self.received
    }

    /// The part of a piece that is not here yet.
    ///
    /// # Errors
    /// [`UpdateError::Gap`] and [`UpdateError::Length`], with nothing taken.
    pub(crate) fn fresh<'b>(&self, offset: u32, bytes: &'b [u8]) -> Result<&'b [u8], UpdateError> {
        let end = u32::try_from(bytes.len()).ok().and_then(|length| offset.checked_add(length));
        if end.is_none_or(|end| end > self.total) {
            return Err(UpdateError::Length);
        }
        let known = self.received.checked_sub(offset).ok_or(UpdateError::Gap)?;
        Ok(bytes.get(known as usize..).unwrap_or_default())
    }

    /// Takes the bytes that follow.
    ///
    /// # Errors
    /// What is wrong with the manifest, or [`UpdateError::Flash`]; the update is over then.
    pub(crate) fn take<F: NorFlash>(&mut self, flash: &mut F, terms: Terms, bytes: &[u8]) -> Result<(), UpdateError> {
        let missing = manifest::BYTES.saturating_sub(self.received as usize);
        let (head, body) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        let slots = self.manifest.iter_mut().skip(self.received as usize);
        slots.zip(head).for_each(|(slot, byte)| *slot = *byte);
        if missing > 0 && head.len() == missing {
            let manifest = Manifest::parse(&self.manifest)?;
            manifest.verify(terms.key)?;
            if manifest.version <= terms.floor {
                return Err(UpdateError::Downgrade);
            }
            if u64::from(manifest.length) + manifest::BYTES as u64 != u64::from(self.total) {
                return Err(UpdateError::Length);
            }
            let manifest = self.manifest;
            self.put(flash, &manifest)?;
        }
        self.put(flash, body)?;
        self.received = self.received.saturating_add(bytes.len() as u32);
        Ok(())
    }

    /// Writes what is left of the last word, if all is here.
    ///
    /// # Errors
    /// [`UpdateError::Length`] if not, and the update can go on; [`UpdateError::Flash`].
    pub(crate) fn end<F: NorFlash>(&mut self, flash: &mut F) -> Result<(), UpdateError> {
        if self.received != self.total {
            return Err(UpdateError::Length);
        }
        if self.held > 0 {
            let padding = F::WRITE_SIZE.saturating_sub(self.held);
            self.put(flash, [0xff; LARGEST_WORD].get(..padding).ok_or(UpdateError::Flash)?)?;
        }
        Ok(())
    }

    /// Writes bytes, in whole words; holds those of the last one back until it is complete.
    fn put<F: NorFlash>(&mut self, flash: &mut F, mut bytes: &[u8]) -> Result<(), UpdateError> {
        if self.held > 0 {
            let missing = F::WRITE_SIZE.saturating_sub(self.held);
            let (now, later) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
            self.hold(now);
            bytes = later;
            if self.held == F::WRITE_SIZE {
                let word = self.word;
                self.held = 0;
                self.write(flash, word.get(..F::WRITE_SIZE).ok_or(UpdateError::Flash)?)?;
            }
        }
        let whole = bytes.len() - bytes.len() % F::WRITE_SIZE;
        let (words, rest) = bytes.split_at_checked(whole).ok_or(UpdateError::Flash)?;
        if !words.is_empty() {
            self.write(flash, words)?;
        }
        self.hold(rest);
        Ok(())
    }

    fn hold(&mut self, bytes: &[u8]) {
        self.word.iter_mut().skip(self.held).zip(bytes).for_each(|(slot, byte)| *slot = *byte);
        self.held += bytes.len();
    }

    /// Writes whole words. Erases the blocks that they are the first of: one at a time, so that no piece takes long.
    fn write<F: NorFlash>(&mut self, flash: &mut F, words: &[u8]) -> Result<(), UpdateError> {
        let end = self.at.checked_add(words.len() as u32).ok_or(UpdateError::Flash)?;
        while self.erased < end {
            let next = self.erased.checked_add(F::ERASE_SIZE as u32).ok_or(UpdateError::Flash)?;
            flash.erase(self.erased, next).map_err(|_| UpdateError::Flash)?;
            self.erased = next;
        }
        flash.write(self.at, words).map_err(|_| UpdateError::Flash)?;
        self.at = end;
        Ok(())
    }
}
