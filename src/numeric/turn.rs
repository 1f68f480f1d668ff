//! Sine and cosine of a part of a turn, for rotary positions.
//!
//! An angle is a `u32`: `2^32` is a whole turn, so that any number of turns wraps around exactly. The sine of a quarter is a
//! polynomial of four terms in integers. Largest error, tested (`tests/turn.rs`): [`SINE_MAX_ERROR_LSB`].

/// The largest error of [`sine`] and [`cosine`], in LSB of Q0.15: at the top, where 1 is 32767.
pub const SINE_MAX_ERROR_LSB: f64 = 1.0;

/// The sine of `angle` turns of `2^-32`, in Q0.15.
///
/// ```
/// use cellstate::numeric::turn::sine;
/// assert_eq!([0, 1 << 30, 1 << 31, 3 << 30].map(sine), [0, 32767, 0, -32767]);
/// ```
#[inline]
pub fn sine(angle: u32) -> i32 {
    // Of a half turn the second quarter is the first backwards.
    let half = angle & 0x7fff_ffff;
    let x = i64::from(if half > 1 << 30 { (1u32 << 31) - half } else { half }); // Q2.30 of a quarter
    let square = (x * x) >> 30;
    // sin(x pi / 2) = x (1.5707963 - 0.6459640 x^2 + 0.0796926 x^4 - 0.0046818 x^6 + 0.0001604 x^8), the Taylor series.
    let mut sum: i64 = 172_272;
    sum = ((sum * square) >> 30) - 5_026_995;
    sum = ((sum * square) >> 30) + 85_569_306;
    sum = ((sum * square) >> 30) - 693_598_668;
    sum = ((sum * square) >> 30) + 1_686_629_713;
    let value = ((sum * x) >> 30).min(i64::from(i32::MAX)) as i32; // Q2.30
    let rounded = (((value >> 14) + 1) >> 1).min(32767);
    if angle >> 31 == 0 { rounded } else { -rounded }
}

/// The cosine of `angle` turns of `2^-32`, in Q0.15.
#[inline]
pub fn cosine(angle: u32) -> i32 {
    sine(angle.wrapping_add(1 << 30))
}
