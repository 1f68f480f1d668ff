//! The functions behind attention over every input that matters: errors as their documentation states.

use cellstate::numeric::exp2::{EXP2_MAX_ERROR_BELOW_TOP_LSB, EXP2_MAX_ERROR_LSB, exp2_neg};
use cellstate::numeric::turn::{SINE_MAX_ERROR_LSB, cosine, sine};

#[test]
fn powers_of_two_are_within_their_error() {
    let (mut top, mut below, mut before) = (0.0f64, 0.0f64, i32::MAX);
    for d in 0..20 << 16 {
        let got = exp2_neg(d);
        assert!(got <= before, "not monotone at {d}");
        before = got;
        let error = (f64::from(got) - 32768.0 * (-f64::from(d) / 65536.0).exp2()).abs();
        top = top.max(error);
        if got < 32767 {
            below = below.max(error);
        }
    }
    println!("largest error {top:.3} LSB, below the top {below:.3}");
    assert!(top <= EXP2_MAX_ERROR_LSB && below <= EXP2_MAX_ERROR_BELOW_TOP_LSB);
    assert_eq!([-1, i32::MIN, i32::MAX].map(exp2_neg), [32767, 32767, 0]);
}

#[test]
fn sines_are_within_their_error() {
    let mut largest = 0.0f64;
    for k in 0..1u32 << 20 {
        let angle = k.wrapping_mul(4097);
        let real = f64::from(angle) / f64::from(1u32 << 31) * std::f64::consts::PI;
        largest = largest.max((f64::from(sine(angle)) - 32768.0 * real.sin()).abs());
        largest = largest.max((f64::from(cosine(angle)) - 32768.0 * real.cos()).abs());
        assert_eq!(sine(angle), -sine(angle ^ 1 << 31));
    }
    println!("largest error {largest:.3} LSB");
    assert!(largest <= SINE_MAX_ERROR_LSB, "{largest}");
}

/// Of random scores: the largest error of a weight over the sum of all.
#[test]
fn a_softmax_of_powers_of_two_is_within_its_error() {
    let mut rng = cellstate_convert::random::Rng(7);
    let mut largest = 0.0f64;
    for round in 0..4000 {
        let count = 1 + rng.below(508) as usize;
        let spread = [1i64 << 14, 1 << 17, 1 << 20][round % 3];
        let scores: Vec<i32> = (0..count).map(|_| rng.below(spread as u64) as i32).collect();
        let best = *scores.iter().max().unwrap();
        let p: Vec<f64> = scores.iter().map(|s| f64::from(exp2_neg(best - s))).collect();
        let real: Vec<f64> = scores.iter().map(|s| (f64::from(s - best) / 65536.0).exp2()).collect();
        let (sum, all): (f64, f64) = (p.iter().sum(), real.iter().sum());
        let errors = p.iter().zip(&real).map(|(p, r)| (p / sum - r / all).abs());
        largest = errors.fold(largest, f64::max);
    }
    println!("largest error of a weight {largest:.2e}");
    assert!(largest < SOFTMAX_MAX_ERROR, "{largest}");
}

/// As `docs/numeric.md` states it.
const SOFTMAX_MAX_ERROR: f64 = 4e-5;
