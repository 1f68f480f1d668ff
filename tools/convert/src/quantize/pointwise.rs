//! Layers without a hidden state.

use super::rows::{Joint, Product, Seen, Side};
use super::{Context, Made, OUTPUT_HEADROOM, Q16, Q16_LIMIT, activation, output_scale, round, scaled, smallest_shift};
use crate::emit::blob::halves;
use cellstate::model::header::{Activation, Q15_SCALE, Weights};
use cellstate::model::layer as device;
use cellstate::model::more::{More, row_words};
use cellstate_reference::{Dense, Matrix};

pub(super) fn dense(d: &Dense, c: &Context) -> Option<Made> {
    let weights = c.how.formats.w;
    let (function, slope) = activation(d.activation);
    // Whether its pre-activation is in Q16.16.
    let squashing = function.is_squashing() || function.output_shift().is_some();
    let w = scaled(&d.w, |_| slope);
    let b: Vec<f64> = d.b.iter().map(|b| b * slope).collect();
    let joint = Joint::new(&[Product::new(&w, c.input, weights)], Seen::alike(&c.seen.joint, 0), c.how.levers);
    let attempt = |unit: f64| {
        // Squashed outputs are shifted to Q16.16 afterwards; others are the result.
        let limit = if squashing { Q16_LIMIT } else { f64::from(i32::MAX) * unit };
        joint.quantize(&b, unit, limit)
    };
    let pre = c.seen.pre.magnitude();
    let base = if squashing {
        Q16
    } else if c.wide {
        // Integers up to eight times the calibrated range fit.
        Q16.max((pre / f64::from(1 << 28)).log2().ceil().exp2())
    } else {
        (pre * OUTPUT_HEADROOM).max(1e-9) / 32767.0
    };
    let (shift, rows) = smallest_shift(attempt, base)?;
    let unit = base * f64::from(1u32 << shift);
    let (scale, z_shift) = match function.output_shift() {
        Some(_) => (smooth_scale(c), shift),
        None if squashing => (Q15_SCALE, shift),
        None => (unit as f32, 0),
    };
    let function = with_shift(function, scale);
    let layer = device::Layer::Dense { outputs: b.len() as u16, weights, activation: function, z_shift, scale };
    Some(Made { layer, sections: vec![rows], extra: Vec::new(), output: Side::of(&c.seen.outputs, scale.into()) })
}

/// The power of two that is the unit of a SiLU's or GELU's outputs.
fn smooth_scale(c: &Context) -> f32 {
    if c.wide {
        return Q16 as f32;
    }
    let top = c.seen.outputs.iter().fold(0.0, |m: f64, r| m.max(r.magnitude())) * OUTPUT_HEADROOM / 32767.0;
    top.max(Q16).log2().ceil().exp2() as f32
}

/// The activation with the shift from Q16.16 to its unit, where it has one.
fn with_shift(function: Activation, scale: f32) -> Activation {
    let shift = (f64::from(scale) / Q16).log2() as u8;
    match function {
        Activation::Silu { .. } => Activation::Silu { shift },
        Activation::Gelu { tanh, .. } => Activation::Gelu { tanh, shift },
        other => other,
    }
}

/// Tables are w16, or w8 for every format of fewer bits.
pub(super) fn embedding(table: &Matrix, c: &Context) -> Made {
    let weights = if c.how.formats.w == Weights::W16 { Weights::W16 } else { Weights::W8 };
    let top = table.data.iter().fold(0.0, |m: f64, v| m.max(v.abs())).max(1e-9);
    let (most, unit) = if weights == Weights::W16 { (32767.0, 1.0) } else { (127.0, 256.0) };
    let scale = (top / most / unit) as f32;
    let mut extra = Vec::new();
    for r in 0..table.rows {
        let integer = |v: &f64| round(v / (f64::from(scale) * unit)).clamp(-most, most) as i32;
        let row: Vec<i32> = table.row(r).iter().map(integer).collect();
        let bytes: Vec<u8> = match weights {
            Weights::W16 => row.iter().flat_map(|v| (*v as i16).to_le_bytes()).collect(),
            _ => row.iter().map(|v| *v as i8 as u8).collect(),
        };
        let word = |k: usize| std::array::from_fn(|b| bytes.get(4 * k + b).copied().unwrap_or(0));
        extra.extend((0..row_words(table.cols, weights)).map(|k| i32::from_le_bytes(word(k))));
    }
    let layer =
        device::Layer::More(More::Embedding { rows: table.rows as u16, width: table.cols as u16, weights, scale });
    Made { layer, sections: Vec::new(), extra, output: Side::of(&c.seen.outputs, scale.into()) }
}

/// The input has one unit and no centre: see [`crate::lower`].
pub(super) fn norm(gain: &[f64], offset: &[f64], epsilon: f64, rms: bool, c: &Context) -> Option<Made> {
    let width = gain.len();
    let unit = c.input.full.first()? / 32768.0;
    let magnitude = c.seen.outputs.iter().fold(0.0, |m: f64, r| m.max(r.magnitude()));
    let real = output_scale(magnitude);
    let scale = real as f32;
    let top_gain = gain.iter().fold(0.0, |m: f64, g| m.max(g.abs())) / (real * 32768.0);
    let top_bias = offset.iter().fold(0.0, |m: f64, b| m.max(b.abs())) / real;
    let fits = |s: &u8| {
        let one = f64::from(1u32 << s);
        top_gain * one <= 32767.0 && top_bias * one + one < f64::from(1u32 << 30)
    };
    let shift = (0..=29).rev().find(fits)?;
    let one = f64::from(1u32 << shift);
    let gains = gain.iter().map(|g| round(g / (real * 32768.0) * one) as i32);
    let biases = offset.iter().map(|b| round(b / real * one) as i32 + if shift > 0 { 1 << (shift - 1) } else { 0 });
    let epsilon = round(epsilon / (unit * unit) * (width * width) as f64).min(1e18) as u64;
    let layer = device::Layer::More(More::Norm { width: width as u16, shift, scale, epsilon, rms });
    let extra = gains.chain(biases).collect();
    Some(Made { layer, sections: Vec::new(), extra, output: Side::of(&c.seen.outputs, real) })
}

pub(super) fn window([taps, dilation, stride]: [usize; 3], causal: bool, c: &Context) -> Made {
    let width = (taps * c.input.full.len()) as u16;
    let [taps, dilation, stride] = [taps, dilation, stride].map(|v| v as u16);
    let layer = device::Layer::More(More::Window { width, taps, dilation, stride, causal });
    let extra = if causal { halves(c.zeros) } else { Vec::new() };
    let output = Side::joined(std::iter::repeat_n(c.input, taps.into()));
    Made { layer, sections: Vec::new(), extra, output }
}
