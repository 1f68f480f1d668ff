//! Sigmoid and tanh against 64-bit floating point, over every input.

use cellstate::numeric::activation::{SIGMOID_MAX_ERROR_BELOW_TOP_LSB, SIGMOID_MAX_ERROR_LSB, TANH_MAX_ERROR_LSB};
use cellstate::numeric::{sigmoid, tanh};
use fixed::types::I16F16;

/// Beyond this both functions are flat to well below one LSB; every input within is tried.
const REACH: i32 = 20 << 16;

/// Largest error in LSB of Q0.15 up to `top`, and largest step down between neighbours.
fn worst(top: i32, integer: impl Fn(I16F16) -> i32, float: impl Fn(f64) -> f64) -> (f64, i32) {
    let (mut error, mut dip, mut before) = (0.0f64, 0, i32::MIN);
    for bits in -REACH..=top {
        let got = integer(I16F16::from_bits(bits));
        error = error.max((f64::from(got) - float(f64::from(bits) / 65536.0) * 32768.0).abs());
        dip = dip.max(before.saturating_sub(got));
        before = got;
    }
    (error, dip)
}

#[test]
fn sigmoid_is_within_its_bound_everywhere() {
    let logistic = |z: f64| 1.0 / (1.0 + (-z).exp());
    let (below_top, _) = worst(9 << 16, |z| sigmoid(z).to_bits().into(), logistic);
    let (error, dip) = worst(REACH, |z| sigmoid(z).to_bits().into(), logistic);
    println!("sigmoid: max error {error:.4} LSB, up to 9 {below_top:.4}, largest dip {dip}");
    assert!(below_top <= SIGMOID_MAX_ERROR_BELOW_TOP_LSB, "{below_top}");
    assert!(error <= SIGMOID_MAX_ERROR_LSB, "{error}");
    assert!(dip <= 1, "{dip}");
}

#[test]
fn tanh_is_within_its_bound_everywhere() {
    let (error, dip) = worst(REACH, |z| tanh(z).to_bits().into(), f64::tanh);
    println!("tanh: max error {error:.4} LSB, largest dip {dip}");
    assert!(error <= TANH_MAX_ERROR_LSB, "{error}");
    assert!(dip <= 1, "{dip}");
}

#[test]
fn inputs_beyond_the_reach_are_flat() {
    for far in [REACH, REACH * 7, i32::MAX - 1, i32::MAX] {
        assert_eq!(sigmoid(I16F16::from_bits(far)).to_bits(), 32767);
        assert_eq!(sigmoid(I16F16::from_bits(-far)).to_bits(), 0);
        assert_eq!(tanh(I16F16::from_bits(far)).to_bits(), 32767);
        assert_eq!(tanh(I16F16::from_bits(-far)).to_bits(), -32768);
    }
    assert_eq!(sigmoid(I16F16::MIN).to_bits(), 0);
    assert_eq!(tanh(I16F16::MIN).to_bits(), -32768);
}

#[test]
fn zero_stays_zero() {
    assert_eq!(tanh(I16F16::ZERO).to_bits(), 0);
    assert_eq!(sigmoid(I16F16::ZERO).to_bits(), 16384);
}
