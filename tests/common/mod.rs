//! Aligned copies of blobs.

/// A copy that begins at a multiple of 4.
pub(crate) fn aligned(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|c| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)))).collect()
}

/// The bytes of [`aligned`].
pub(crate) fn bytes(words: &[u32], len: usize) -> &[u8] {
    &bytemuck::cast_slice(words)[..len]
}
