//! `2^-d`, of which a softmax is made: no float, the same bits everywhere.
//!
//! A table of `2^(-k/128)` in Q0.16, one line between two entries, then a shift. The result is at most 32767, so that it is a
//! 16-bit value for the kernels. Largest error over all inputs, tested exhaustively (`tests/exp2.rs`):
//! [`EXP2_MAX_ERROR_LSB`].

/// The largest error of [`exp2_neg`], in LSB of Q0.15: at the top, where 1 is 32767, and a little more than half below.
pub const EXP2_MAX_ERROR_LSB: f64 = 1.0;

/// The largest error of [`exp2_neg`] below the top, in LSB of Q0.15.
pub const EXP2_MAX_ERROR_BELOW_TOP_LSB: f64 = 0.85;

const SEGMENTS: usize = 128;

static TABLE: [u32; SEGMENTS + 1] = build();

/// By products of `2^(-1/128)` with 62 fractional bits, in integers.
const fn build() -> [u32; SEGMENTS + 1] {
    let ratio: u128 = 4_586_780_255_215_411_731; // 2^62 2^(-1/128)
    let mut table = [1 << 16; SEGMENTS + 1];
    let (mut value, mut k) = (1u128 << 62, 1);
    while k <= SEGMENTS {
        value = (value * ratio + (1 << 61)) >> 62;
        table[k] = ((value + (1 << 45)) >> 46) as u32;
        k += 1;
    }
    table
}

/// `2^-d` in Q0.15, of `d` in Q16.16; what is negative counts as zero.
///
/// ```
/// use cellstate::numeric::exp2::exp2_neg;
/// assert_eq!(exp2_neg(0), 32767);
/// assert_eq!(exp2_neg(1 << 16), 16384);
/// assert_eq!(exp2_neg(16 << 16), 1); // half a unit rounds up
/// assert_eq!(exp2_neg(i32::MAX), 0);
/// ```
#[inline]
pub fn exp2_neg(d: i32) -> i32 {
    let d = d.max(0) as u32;
    let (whole, part) = (d >> 16, d & 0xffff);
    if whole > 16 {
        return 0;
    }
    let (k, rest) = ((part >> 9) as usize, part & 0x1ff);
    let Some(&[from, to]) = TABLE.get(k..k + 2) else { return 0 };
    let value = (from << 9) - (from - to) * rest; // Q0.25
    (((value >> (9 + whole)) + 1) >> 1).min(32767) as i32
}
