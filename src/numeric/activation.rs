//! Sigmoid and tanh from one table of 1024 words.
//!
//! Both functions are one: `tanh(z) = T(2z)` and `sigmoid(z) = (1 + T(z)) / 2` with `T(u) = tanh(u / 2)`. The table
//! covers `u` in `[-16, 16)` in segments of `1/32`. A word holds the value at the segment's start in Q0.31 and, in its
//! low [`SLOPE_BITS`] bits, the slope per `2^-16` of `u`; the low bits' weight in the value is part of the fit. One load,
//! one multiply and one addition interpolate, and the line of each segment is shifted by half its largest deviation, so
//! that the error is balanced (a minimax line).
//!
//! Largest errors over all inputs, in LSB of Q0.15, tested exhaustively (`tests/activation.rs`):
//! [`SIGMOID_MAX_ERROR_LSB`] and [`TANH_MAX_ERROR_LSB`].

use crate::kernel;
use fixed::types::{I1F15, I16F16};

/// The largest error of [`sigmoid`] over every input, in LSB of Q0.15, 2^-15: at the top, where the function tends to 32768
/// and an i16 ends at 32767.
pub const SIGMOID_MAX_ERROR_LSB: f64 = 1.0;
/// The largest error of [`sigmoid`] for inputs up to 9, below the top, in LSB of Q0.15.
pub const SIGMOID_MAX_ERROR_BELOW_TOP_LSB: f64 = 0.8;
/// The largest error of [`tanh`] over every input, in LSB of Q0.15, 2^-15.
pub const TANH_MAX_ERROR_LSB: f64 = 1.05;

/// `u` below and at or above this magnitude, in Q16.16, is saturated: 16.0.
const LIMIT: i32 = 16 << 16;
/// A segment holds `2^SEGMENT_BITS` inputs in Q16.16: 1/32.
const SEGMENT_BITS: u32 = 11;
/// Number of segments, and of words in the table.
const SEGMENTS: usize = (2 * LIMIT as usize) >> SEGMENT_BITS;
/// Bits of a table word that hold the slope.
pub const SLOPE_BITS: u32 = 14;
const SLOPE_MASK: i32 = (1 << SLOPE_BITS) - 1;

/// Half an LSB of Q0.15 in Q0.31, added to every word so that tanh needs no rounding of its own.
const HALF: i64 = 1 << 15;
/// The largest value of `T`: it rounds to 32767 in Q0.15 and leaves room for the slope bits below `2^31`. At the other
/// end nothing saturates: `T(-16)` rounds to -1.
const TOP: i64 = (32767 << 16) - (1 << SLOPE_BITS);

/// The table: the same bits on every host and core, for it is built at compile time by IEEE 754 basic operations alone.
pub(crate) static TABLE: [i32; SEGMENTS] = build();

/// `tanh(u / 2)` by `1 - 2 / (e^u + 1)`; `e^u` by its series at `u / 1024`, squared ten times.
const fn half_tanh(u: f64) -> f64 {
    let t = u / 1024.0;
    let (mut term, mut expm1, mut k) = (1.0, 0.0, 1);
    while k < 12 {
        term *= t / k as f64;
        expm1 += term;
        k += 1;
    }
    // (1 + e)^2 - 1 = e (e + 2): keeps the digits that 1 + e would lose.
    let mut squarings = 0;
    while squarings < 10 {
        expm1 *= expm1 + 2.0;
        squarings += 1;
    }
    expm1 / (expm1 + 2.0)
}

const fn round(v: f64) -> i64 {
    (if v < 0.0 { v - 0.5 } else { v + 0.5 }) as i64
}

const fn clamp(v: i64, low: i64, high: i64) -> i64 {
    if v < low {
        low
    } else if v > high {
        high
    } else {
        v
    }
}

const fn build() -> [i32; SEGMENTS] {
    let scale = (1u64 << 31) as f64;
    let width = (1 << SEGMENT_BITS) as f64 / 65536.0;
    let mut table = [0; SEGMENTS];
    let mut i = 0;
    while i < SEGMENTS {
        let start = i as f64 * width - 16.0;
        let (low, middle, high) = (half_tanh(start), half_tanh(start + width / 2.0), half_tanh(start + width));
        let slope = clamp(round((high - low) * scale / (1 << SEGMENT_BITS) as f64), 0, SLOPE_MASK as i64);
        let shifted = low + (middle - f64::midpoint(low, high)) / 2.0;
        // The last segments stay at or below TOP at their far end too.
        let rise = slope * ((1 << SEGMENT_BITS) - 1);
        let value = clamp(round(shifted * scale), i32::MIN as i64, TOP - rise) + HALF;
        // The nearest word to `value` whose low bits are the slope.
        let step = 1 << SLOPE_BITS;
        let word = slope + ((value - slope + step / 2) & !(step - 1));
        // Rotated by half, so that the low bits of a negative segment are its index.
        table[(i + SEGMENTS / 2) & (SEGMENTS - 1)] = word as i32;
        i += 1;
    }
    table
}

/// `T(u) = tanh(u / 2)` in Q0.31 plus [`HALF`]; `u` in Q16.16 within `-LIMIT..LIMIT`.
#[inline(always)]
fn interpolate(u: i32) -> i32 {
    let word = TABLE[(u >> SEGMENT_BITS) as usize & (SEGMENTS - 1)];
    let fraction = u & ((1 << SEGMENT_BITS) - 1);
    // No overflow: the table's words are clamped so that the far end of each segment is at most TOP + HALF.
    kernel::line(word, fraction)
}

/// Sigmoid of a raw Q16.16 value; the result is Q0.15 in `0..=32767`.
#[inline(always)]
pub(crate) fn sigmoid_raw(z: i32) -> i32 {
    let t = interpolate(z.clamp(-LIMIT, LIMIT - 1));
    // (T + 1) / 2 in Q0.15, T + HALF being given: the sum is unsigned, and half an LSB of Q0.15 is now 2^16.
    ((t as u32).wrapping_add((1 << 31) + (1 << 15)) >> 17) as i32
}

/// `z + 1/2`, limited to 0..=1, of a raw Q16.16 value; the result is Q0.15 in `0..=32767`, rounded half up.
#[inline(always)]
pub(crate) fn hard_sigmoid_raw(z: i32) -> i32 {
    (z.saturating_add((1 << 15) + 1) >> 1).clamp(0, 32767)
}

/// A gate: the sigmoid or the hard one.
#[cfg(feature = "layers")]
#[inline(always)]
pub(crate) fn gate_raw(hard: bool, z: i32) -> i32 {
    if hard { hard_sigmoid_raw(z) } else { sigmoid_raw(z) }
}

/// Hyperbolic tangent of a raw Q16.16 value; the result is Q0.15 in `-32768..=32767`.
#[inline(always)]
pub(crate) fn tanh_raw(z: i32) -> i32 {
    interpolate(z.clamp(-LIMIT / 2, LIMIT / 2 - 1) << 1) >> 16
}

/// The logistic function `1 / (1 + e^-z)`, rounded to Q0.15 (I1F15), at most 32767/32768.
///
/// Every input is valid; the error is at most [`SIGMOID_MAX_ERROR_LSB`] LSB of Q0.15. `sigmoid(0)` is exactly 1/2.
///
/// ```
/// use cellstate::numeric::sigmoid;
/// use fixed::types::{I1F15, I16F16};
/// assert_eq!(sigmoid(I16F16::ZERO), I1F15::from_num(0.5));
/// assert_eq!(sigmoid(I16F16::MAX), I1F15::MAX);
/// ```
#[inline]
pub fn sigmoid(z: I16F16) -> I1F15 {
    I1F15::from_bits(sigmoid_raw(z.to_bits()) as i16)
}

/// The hyperbolic tangent, rounded to Q0.15 (I1F15), in -1..=32767/32768.
///
/// Every input is valid; the error is at most [`TANH_MAX_ERROR_LSB`] LSB of Q0.15. `tanh(0)` is exactly 0.
///
/// ```
/// use cellstate::numeric::tanh;
/// use fixed::types::{I1F15, I16F16};
/// assert_eq!(tanh(I16F16::ZERO), I1F15::ZERO);
/// assert_eq!(tanh(I16F16::MIN), I1F15::MIN); // -1
/// ```
#[inline]
pub fn tanh(z: I16F16) -> I1F15 {
    I1F15::from_bits(tanh_raw(z.to_bits()) as i16)
}
