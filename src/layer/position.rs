//! A row of a table for each step since the beginning, added to the input: learned or sinusoidal positions.
//!
//! `shift_right(x m, shift)` plus the row, which is in units of the output, saturated to `±32767` of them. Steps past the
//! table have its last row.

use crate::numeric::rounding::saturate_q15;

/// Adds `row` to `x` into `out`; the multiplier is at most `±32767`, and `shift` is at least 1.
pub(crate) fn add(x: &[i16], row: &[i16], multiplier: i32, shift: u8, out: &mut [i16]) {
    let shift = u32::from(shift).wrapping_sub(1) & 31;
    for ((&x, &row), out) in x.iter().zip(row).zip(out) {
        // Below 2^30 before the sum.
        let scaled = (((i32::from(x) * multiplier) >> shift) + 1) >> 1;
        *out = saturate_q15(scaled + i32::from(row));
    }
}
