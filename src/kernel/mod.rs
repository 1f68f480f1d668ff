//! The dot-product seam: four rows against one vector, in each weight format.
//!
//! A *block* is four rows by four columns. Rows of one unit lie interleaved, so that one pass over the vector feeds all
//! four gates; within a row the columns stand in [`COLUMN_ORDER`], which `SXTB16` unpacks into pairs of neighbours.
//! The order is the blob's, so it is the same for every core, and sums of integers do not depend on it.
//!
//! This module is the only place where `unsafe` may stand; the portable kernels need none.

pub(crate) mod portable;

pub(crate) use portable::{dot4_w8, dot4_w16};

/// Rows of a block: the four gates of one LSTM unit, or four outputs of a dense layer.
pub const ROWS: usize = 4;
/// Columns of a block; the converter pads each vector to a multiple of it.
pub const COLUMNS: usize = 4;
/// Position `p` of a block's row holds column `COLUMN_ORDER[p]`, for i8 weights; i16 weights stand in natural order.
pub const COLUMN_ORDER: [usize; COLUMNS] = [0, 2, 1, 3];
/// How far a 64-bit accumulator of i16 weights is shifted right, with rounding, before requantization.
pub const W16_SHIFT: u32 = 8;
