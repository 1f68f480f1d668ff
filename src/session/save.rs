//! Saving and restoring the state as bytes, and its digest.
//!
//! The bytes, little-endian: the model's id, the words of the state as they stand, the CRC-32 of all that. They are the same
//! on every core.

use super::Session;
use crate::model::checksum;

/// Why a saved state was refused. The session's state is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RestoreError {
    /// The buffer must have exactly [`Model::saved_bytes`](crate::Model::saved_bytes) bytes to restore, or at least as
    /// many to save.
    Length {
        /// Bytes that a saved state of this model has.
        needed: usize,
        /// Bytes that the buffer has.
        got: usize,
    },
    /// The state must have been saved with this very model.
    OtherModel,
    /// The checksum must match: the bytes were damaged.
    Checksum,
}

impl core::fmt::Display for RestoreError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            RestoreError::Length { needed, got } => {
                write!(f, "a saved state has {needed} bytes and the buffer {got}")
            }
            RestoreError::OtherModel => write!(f, "the state was saved with another model"),
            RestoreError::Checksum => {
                write!(f, "the checksum does not match: the saved state is damaged")
            }
        }
    }
}

impl core::error::Error for RestoreError {}

impl Session<'_> {
    /// CRC-32 of the whole state: equal on every core that stepped the same samples.
    pub fn digest(&self) -> u32 {
        checksum([bytemuck::cast_slice(&*self.words)])
    }

    /// Writes the state to the front of `out`; returns the number of bytes, [`Model::saved_bytes`](crate::Model::saved_bytes).
    ///
    /// # Errors
    /// [`RestoreError::Length`] if `out` is too small; nothing is written then.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, RestoreError> {
        let (needed, got) = (self.model.saved_bytes(), out.len());
        let out = out.get_mut(..needed).ok_or(RestoreError::Length { needed, got })?;
        let (body, crc) = out.split_last_chunk_mut::<4>().ok_or(RestoreError::Length { needed, got })?;
        let id = self.model.id().to_le_bytes();
        let state: &[u8] = bytemuck::cast_slice(&*self.words);
        for (slot, byte) in body.iter_mut().zip(id.iter().chain(state)) {
            *slot = *byte;
        }
        *crc = checksum([&*body]).to_le_bytes();
        Ok(needed)
    }

    /// Puts back a state that [`save`](Self::save) wrote, on this core or another, outputs included.
    ///
    /// # Errors
    /// Bytes of another length, of another model or damaged are a [`RestoreError`], and change nothing.
    pub fn restore(&mut self, saved: &[u8]) -> Result<(), RestoreError> {
        let (needed, got) = (self.model.saved_bytes(), saved.len());
        let length = RestoreError::Length { needed, got };
        if needed != got {
            return Err(length);
        }
        let (body, crc) = saved.split_last_chunk::<4>().ok_or(length)?;
        let (id, state) = body.split_first_chunk::<4>().ok_or(length)?;
        if checksum([body]).to_le_bytes() != *crc {
            return Err(RestoreError::Checksum);
        }
        if u32::from_le_bytes(*id) != self.model.id() {
            return Err(RestoreError::OtherModel);
        }
        bytemuck::cast_slice_mut::<i32, u8>(self.words).iter_mut().zip(state).for_each(|(slot, byte)| *slot = *byte);
        self.ran = false;
        Ok(())
    }
}
