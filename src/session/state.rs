//! The buffers.

use core::fmt;

/// Room for a model's state: `N` bytes, aligned to 4. The generated `STATE_BYTES` is the right `N`.
///
/// It holds the input vector, each LSTM layer's cell state and two hidden states, and each dense layer's outputs: for a
/// layer of `H` units `8H` bytes and padding.
///
/// ```
/// static STATE: cellstate::State<256> = cellstate::State::new();
/// ```
#[derive(Clone, Debug)]
#[repr(C, align(4))]
pub struct State<const N: usize> {
    bytes: [u8; N],
}

impl<const N: usize> State<N> {
    /// All zeros.
    pub const fn new() -> Self {
        const {
            assert!(N.is_multiple_of(4), "a state's size must be a multiple of 4 bytes");
        };
        Self { bytes: [0; N] }
    }

    pub(crate) fn words(&mut self) -> &mut [i32] {
        bytemuck::try_cast_slice_mut(&mut self.bytes).unwrap_or_default()
    }
}

impl<const N: usize> Default for State<N> {
    fn default() -> Self {
        Self::new()
    }
}

/// A [`State`] must have at least `needed` bytes for this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StateTooSmall {
    /// Bytes that the model needs.
    pub needed: usize,
    /// Bytes that the state has.
    pub got: usize,
}

impl fmt::Display for StateTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the model needs {} bytes of state and the buffer has {}", self.needed, self.got)
    }
}

impl core::error::Error for StateTooSmall {}

/// A layer's cell state: raw values and their number of fractional bits.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct CellState<'a> {
    /// One value a unit; the real value is `raw / 2^frac_bits`. `i32::MIN` and `i32::MAX` are saturated.
    pub raw: &'a [i32],
    /// Fractional bits, `18..=30`.
    pub frac_bits: u8,
}

impl CellState<'_> {
    /// The real value of unit `k`.
    pub fn get(&self, k: usize) -> Option<f32> {
        Some(*self.raw.get(k)? as f32 / (1u32 << (self.frac_bits & 31)) as f32)
    }
}
