//! Layer normalization (Ba et al. 2016): `(x - mean) / sqrt(variance + epsilon) * gain + bias` over the features of a step.
//!
//! With `S` the sum and `Q` the sum of squares of `n` inputs, `n x - S` over the root of `n Q - S^2` is the normalized
//! input, and both are exact integers of 64 bits. The root is rounded down; the quotient is Q16.15, rounded half up; its
//! product with the gain is shifted to the output, whose rounding half is part of the bias, and saturated to `±32767`. With
//! `rms` the sum is taken as zero (Zhang and Sennrich 2019).

use crate::numeric::rounding::saturate_q15;

/// Normalizes `x` into `out`. `gains` has a gain a feature, at most `±32767`, then a bias a feature.
pub(crate) fn normalize(x: &[i16], epsilon: u64, rms: bool, gains: &[i32], shift: u8, out: &mut [i16]) {
    let n = x.len() as i64;
    let sum: i64 = if rms { 0 } else { x.iter().map(|&v| i64::from(v)).sum() };
    let squares: i64 = x.iter().map(|&v| i64::from(v) * i64::from(v)).sum();
    // n Q - S^2 is never negative, by Cauchy and Schwarz, and below 2^62.
    let spread = ((n * squares - sum * sum) as u64).saturating_add(epsilon).isqrt().max(1) as i64;
    let (gains, biases) = gains.split_at_checked(x.len()).unwrap_or_default();
    for ((out, &x), (&gain, &bias)) in out.iter_mut().zip(x).zip(gains.iter().zip(biases)) {
        // Below 2^32 before the shift.
        let normal = (((n * i64::from(x) - sum) << 16) + spread).div_euclid(2 * spread);
        let scaled = (normal * i64::from(gain) + i64::from(bias)) >> (shift & 31);
        *out = saturate_q15(scaled.clamp(-32767, 32767) as i32);
    }
}
