//! From the float network to integers: input map, rows, formats.
//!
//! * [`calibrate`]: what the float network does on representative data: means and ranges.
//! * [`input`]: the map of each feature to Q0.15.
//! * [`rows`]: one weight row to integers and a multiplier.
//!
//! What the integers mean is `docs/numeric.md`; where they stand in the blob is [`crate::emit`]'s business.

pub mod calibrate;
pub mod input;
pub mod rows;

use calibrate::{Calibration, Range};
use cellstate::layer::input::Feature;
use cellstate::layer::lstm::CELL_FRAC;
use cellstate::model::header::{self, Activation, Weights};
use cellstate_reference::{self as reference, Matrix, Network};
use rows::{Rows, Side};

/// How far beyond the calibrated range a cell state can go before it saturates.
const CELL_HEADROOM: f64 = 4.0;
/// The same for the 16-bit outputs of a dense layer before the last.
const DENSE_HEADROOM: f64 = 1.25;
/// The largest left shift that the loader accepts.
const MAX_Z_SHIFT: u8 = 15;

/// One layer in integers.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Shape and formats, as they go into the header.
    pub header: header::Layer,
    /// Biases, multipliers and weights.
    pub rows: Rows,
}

/// A quantized network.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// One map a feature.
    pub features: Vec<Feature>,
    /// First to last.
    pub layers: Vec<Layer>,
}

/// A layer that cannot be put into integers: its name and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unquantizable {
    /// The layer's name.
    pub layer: String,
    /// Why.
    pub cause: String,
}

/// Quantizes a network with the ranges and means of `calibration`. The same inputs give the same integers on every host.
///
/// # Errors
/// [`Unquantizable`] if a row cannot be represented at all: a weight, a bias or a sum beyond the accumulator's range.
pub fn quantize(network: &Network, calibration: &Calibration, weights: Weights) -> Result<Quantized, Unquantizable> {
    let features: Vec<_> = input::features(&network.input, &calibration.inputs);
    // What one unit of Q0.15 in full, 32768 counts, is worth to the first layer, around which centre.
    let mut side_of_input = input::side(&features, &calibration.inputs);
    let mut layers = Vec::new();
    let last = network.nodes.len() - 1;
    for (k, (node, seen)) in network.nodes.iter().zip(&calibration.layers).enumerate() {
        let (quantized, output) = match &node.layer {
            reference::Layer::Lstm(l) => lstm(l, &side_of_input, &seen.outputs, &seen.cell, weights),
            reference::Layer::Dense(d) => dense(d, &side_of_input, &seen.outputs, &seen.pre, weights, k == last),
            _ => None,
        }
        .ok_or_else(|| Unquantizable {
            layer: node.name.clone(),
            cause: "a row's weights times the range of its inputs exceed 32 bits".to_owned(),
        })?;
        layers.push(quantized);
        side_of_input = output;
    }
    Ok(Quantized { features, layers })
}

/// The smallest shift of the pre-activation at which every row is representable.
fn smallest_shift(attempt: impl Fn(f64) -> Option<Rows>, base: f64) -> Option<(u8, Rows)> {
    (0..=MAX_Z_SHIFT).find_map(|shift| Some((shift, attempt(base * f64::from(1u32 << shift))?)))
}

fn lstm(l: &reference::Lstm, input: &Side, hidden: &[Range], cell: &Range, weights: Weights) -> Option<(Layer, Side)> {
    let recurrent = Side::q15(hidden);
    let products = [(&l.w, input), (&l.u, &recurrent)];
    let (z_shift, rows) = smallest_shift(|unit| rows::quantize(&products, &l.b, unit, Q16_LIMIT, weights), Q16)?;
    let top = (cell.magnitude() * CELL_HEADROOM).max(1e-9);
    let integer_bits = top.log2().ceil().max(0.0) as u8;
    let cell_frac = 31u8.saturating_sub(integer_bits).clamp(*CELL_FRAC.start(), *CELL_FRAC.end());
    let header = header::Layer::Lstm { units: l.units() as u16, weights, cell_frac, z_shift };
    Some((Layer { header, rows }, recurrent))
}

fn dense(
    d: &reference::Dense,
    input: &Side,
    outputs: &[Range],
    pre: &Range,
    weights: Weights,
    last: bool,
) -> Option<(Layer, Side)> {
    let activation = activation(d.activation);
    let squashed = matches!(activation, Activation::Sigmoid | Activation::Tanh);
    let attempt = |unit: f64| {
        // Squashed outputs are shifted to Q16.16 afterwards; others are the result.
        let limit = if squashed { Q16_LIMIT } else { f64::from(i32::MAX) * unit };
        rows::quantize(&[(&d.w, input)], &d.b, unit, limit, weights)
    };
    let base = if squashed || last {
        // Integers up to eight times the calibrated range fit.
        if squashed { Q16 } else { Q16.max((pre.magnitude() / f64::from(1 << 28)).log2().ceil().exp2()) }
    } else {
        (pre.magnitude() * DENSE_HEADROOM).max(1e-9) / 32767.0
    };
    let (shift, rows) = smallest_shift(attempt, base)?;
    let unit = base * f64::from(1u32 << shift);
    let (scale, z_shift) = if squashed { (header::Q15_SCALE, shift) } else { (unit as f32, 0) };
    let header = header::Layer::Dense { outputs: d.b.len() as u16, weights, activation, z_shift, scale };
    let side = Side { full: vec![f64::from(scale) * 32768.0; outputs.len()], ..Side::q15(outputs) };
    Some((Layer { header, rows }, side))
}

/// One unit of Q16.16.
const Q16: f64 = 1.0 / 65536.0;
/// Pre-activations of this magnitude no longer fit in Q16.16.
const Q16_LIMIT: f64 = 32767.0;

fn activation(a: reference::Activation) -> Activation {
    match a {
        reference::Activation::Linear => Activation::Linear,
        reference::Activation::Relu => Activation::Relu,
        reference::Activation::Sigmoid => Activation::Sigmoid,
        reference::Activation::Tanh => Activation::Tanh,
        reference::Activation::Softmax => Activation::Softmax,
        reference::Activation::HardSigmoid { .. } => Activation::Sigmoid,
    }
}

/// One product of a layer: its matrix, and what its vector is.
pub type Product<'a> = (&'a Matrix, &'a Side);
