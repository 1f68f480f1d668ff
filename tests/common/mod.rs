//! Aligned copies of blobs, and changed ones.

use cellstate::model::checksum;
use cellstate::model::header::PREFIX_BYTES;

/// A copy that begins at a multiple of 4.
pub(crate) fn aligned(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|c| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)))).collect()
}

/// The bytes of [`aligned`].
pub(crate) fn bytes(words: &[u32], len: usize) -> &[u8] {
    &bytemuck::cast_slice(words)[..len]
}

/// Gives a changed blob the right CRC-32.
#[allow(dead_code, reason = "not every test changes blobs")]
pub(crate) fn seal(blob: &mut [u8]) {
    let (head, body) = blob.split_at_mut(PREFIX_BYTES);
    let (checked, crc) = head.split_at_mut(PREFIX_BYTES - 4);
    crc.copy_from_slice(&checksum([&*checked, &*body]).to_le_bytes());
}
