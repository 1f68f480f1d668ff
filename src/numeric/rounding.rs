//! The one rounding rule: round half up, `floor(v + 1/2)`.
//!
//! It is what `SMMULR` and `SMMLAR` do on Arm, it needs no sign test anywhere, and it is the same on every core.

/// Rounding high multiply: `floor(a * m / 2^32 + 1/2)`.
///
/// This is the requantization of an accumulator `a` by a multiplier `m` (`SMMULR` on Arm). It cannot overflow: the
/// magnitude of the result is at most `2^30`. Multipliers of a checked model are multiples of [`MULTIPLIER_UNIT`].
///
/// ```
/// use cellstate::numeric::rounding::mul_high;
/// assert_eq!(mul_high(3 << 30, 1 << 30), -1 << 28); // 3 << 30 is -2^30 in an i32
/// assert_eq!(mul_high(1, 1 << 31 >> 1), 0); // 0.25 rounds to 0
/// assert_eq!(mul_high(2, 1 << 30), 1); // 0.5 rounds up
/// assert_eq!(mul_high(-2, 1 << 30), 0); // -0.5 rounds up
/// ```
#[inline(always)]
pub const fn mul_high(a: i32, m: i32) -> i32 {
    ((a as i64 * m as i64 + (1 << 31)) >> 32) as i32
}

/// Every multiplier of a model is a multiple of this: 15 significant bits, so that a core without a long multiply needs
/// two short ones.
pub const MULTIPLIER_UNIT: i32 = 1 << 16;

/// Rounding shift right: `floor(v / 2^shift + 1/2)`, for `shift` in `0..=31`.
///
/// It cannot overflow, not even at `i32::MAX`: the bit that decides is added after the shift.
///
/// ```
/// use cellstate::numeric::rounding::shift_right;
/// assert_eq!(shift_right(5, 1), 3);
/// assert_eq!(shift_right(-5, 1), -2);
/// assert_eq!(shift_right(i32::MAX, 1), 1 << 30);
/// assert_eq!(shift_right(7, 0), 7);
/// ```
#[inline(always)]
pub const fn shift_right(v: i32, shift: u32) -> i32 {
    if shift == 0 {
        return v;
    }
    (v >> (shift & 31)) + ((v >> ((shift - 1) & 31)) & 1)
}

/// Saturates to the symmetric Q0.15 range, `-32767..=32767`.
///
/// `-32768` is left out so that every product of two Q0.15 values fits in Q0.30.
///
/// ```
/// use cellstate::numeric::rounding::saturate_q15;
/// assert_eq!(saturate_q15(40_000), 32_767);
/// assert_eq!(saturate_q15(-40_000), -32_767);
/// ```
#[inline(always)]
pub const fn saturate_q15(v: i32) -> i16 {
    if v > 32767 {
        32767
    } else if v < -32767 {
        -32767
    } else {
        v as i16
    }
}
