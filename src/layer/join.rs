//! The sum and the product of two nodes, value by value: a residual connection, a gate.
//!
//! Each side has a unit of its own. The sum is `shift_right(a ma + b mb, shift)`, the product `shift_right(a b ma, shift)` in
//! 64 bits; both are saturated to `±32767` units of the output.

use crate::numeric::rounding::saturate_q15;

/// Joins `a` and `b` into `out`; multipliers are at most `±32767`, and `shift` is at least 1.
pub(crate) fn join(a: &[i16], b: &[i16], product: bool, multipliers: [i32; 2], shift: u8, out: &mut [i16]) {
    let [ma, mb] = multipliers.map(i64::from);
    let shift = u32::from(shift).wrapping_sub(1) & 63;
    for ((&a, &b), out) in a.iter().zip(b).zip(out) {
        let (a, b) = (i64::from(a), i64::from(b));
        let v = if product { a * b * ma } else { a * ma + b * mb };
        *out = saturate_q15((((v >> shift) + 1) >> 1).clamp(-32767, 32767) as i32);
    }
}
