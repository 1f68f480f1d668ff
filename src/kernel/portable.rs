//! The kernels in plain Rust: the meaning of every other implementation, and what hosts run.

use super::{COLUMN_ORDER, COLUMNS, ROWS, W16_SHIFT};

/// Four rows of i8 weights times a Q0.15 vector, exact in 32 bits.
///
/// The loader has proved for each row that the sum of `|w|` times `2^15` fits, so no addition here can overflow.
#[inline(always)]
pub(crate) fn dot4_w8(blocks: &[[[i8; COLUMNS]; ROWS]], x: &[[i16; COLUMNS]]) -> [i32; ROWS] {
    let mut acc = [0i32; ROWS];
    for (block, x) in blocks.iter().zip(x) {
        let x = COLUMN_ORDER.map(|c| i32::from(x[c]));
        for (acc, row) in acc.iter_mut().zip(block) {
            for (&w, x) in row.iter().zip(x) {
                *acc = acc.wrapping_add(i32::from(w) * x);
            }
        }
    }
    acc
}

/// Four rows of i16 weights times a Q0.15 vector: exact in 64 bits, then shifted right by [`W16_SHIFT`], rounded half up.
///
/// The loader has proved for each row that the shifted sum fits in 32 bits.
#[inline(always)]
pub(crate) fn dot4_w16(blocks: &[[[i16; COLUMNS]; ROWS]], x: &[[i16; COLUMNS]]) -> [i32; ROWS] {
    let mut acc = [1i64 << (W16_SHIFT - 1); ROWS];
    for (block, x) in blocks.iter().zip(x) {
        for (acc, row) in acc.iter_mut().zip(block) {
            for (&w, &x) in row.iter().zip(x) {
                *acc = acc.wrapping_add(i64::from(i32::from(w) * i32::from(x)));
            }
        }
    }
    acc.map(|a| (a >> W16_SHIFT) as i32)
}
