//! One weight row to integers and a multiplier, and the proof that nothing can overflow.

use super::Product;
use super::calibrate::Range;
use cellstate::model::header::Weights;
use cellstate::numeric::rounding::MULTIPLIER_UNIT;

/// A layer's input vector, feature by feature: what Q0.15 means there.
#[derive(Clone, Debug)]
pub struct Side {
    /// The real value of 32768 units.
    pub full: Vec<f64>,
    /// The real value of 0 units.
    pub centre: Vec<f64>,
    /// The mean over the calibration data, from the centre.
    pub mean: Vec<f64>,
}

impl Side {
    /// A vector around zero whose unit is `scale`, such as a hidden state.
    pub fn of(seen: &[Range], scale: f64) -> Self {
        Self { mean: seen.iter().map(Range::mean).collect(), ..Self::uniform(seen.len(), scale) }
    }

    /// The same, with nothing known of its mean.
    pub fn uniform(width: usize, scale: f64) -> Self {
        Self { full: vec![32768.0 * scale; width], centre: vec![0.0; width], mean: vec![0.0; width] }
    }

    /// One vector after the other.
    pub fn joined<'a>(sides: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::uniform(0, 1.0);
        for side in sides {
            all.full.extend(&side.full);
            all.centre.extend(&side.centre);
            all.mean.extend(&side.mean);
        }
        all
    }
}

/// The integers of a matrix's rows.
#[derive(Clone, Debug, Default)]
pub struct Integers {
    /// Row by row.
    pub weights: Vec<Vec<i32>>,
    /// One multiplier a row.
    pub multipliers: Vec<i32>,
}

/// The integers of a layer: one bias a row, and one set of integers a product.
#[derive(Clone, Debug)]
pub struct Rows {
    /// In units of the pre-activation.
    pub biases: Vec<i32>,
    /// `W`, and for an LSTM `U`.
    pub products: Vec<Integers>,
}

/// Quantizes the rows of all products whose sum is a pre-activation in units of `unit`, of magnitude below `limit`.
///
/// The bias takes up the centres of the vectors, and the mean error that rounding the weights leaves on the calibration
/// data (bias correction). None if some row does not fit.
pub fn quantize(products: &[Product], bias: &[f64], unit: f64, limit: f64, weights: Weights) -> Option<Rows> {
    let mut out = Rows { biases: Vec::new(), products: vec![Integers::default(); products.len()] };
    for (r, &b) in bias.iter().enumerate() {
        let mut corrected = b;
        let mut reach = 0.0;
        for ((matrix, side), integers) in products.iter().zip(&mut out.products) {
            let (m, row, step) = row(matrix.row(r), side, unit, weights)?;
            for (((&w, &q), &full), (&centre, &mean)) in
                matrix.row(r).iter().zip(&row).zip(&side.full).zip(side.centre.iter().zip(&side.mean))
            {
                corrected += w * centre + (w - f64::from(q) * step / full) * mean;
                reach += f64::from(q.abs()) * step;
            }
            integers.weights.push(row);
            integers.multipliers.push(m);
        }
        // Two more units for the two roundings; the loader repeats this proof on the integers.
        if reach + corrected.abs() + 4.0 * unit > limit.min(f64::from(i32::MAX) * unit) {
            return None;
        }
        out.biases.push((corrected / unit + 0.5).floor() as i32);
    }
    Some(out)
}

/// One row: multiplier, integers, and what one integer is worth at full scale of its column.
fn row(w: &[f64], side: &Side, unit: f64, weights: Weights) -> Option<(i32, Vec<i32>, f64)> {
    let scaled: Vec<f64> = w.iter().zip(&side.full).map(|(w, full)| w * full).collect();
    let limit = weights.accumulator_limit() as f64;
    let (multiplier_bits, sum_limit) = match weights {
        // acc = sum q x, and z = acc m / 2^16 with m in its units and x in units of 2^-15.
        Weights::W4 | Weights::W8 => (1, limit / 32768.0),
        // acc = sum q x / 2^8.
        Weights::W16 => (9, limit / 128.0 - 1.0),
    };
    let top = f64::from((1u32 << (weights.bits() - 1)) - 1);
    let largest = scaled.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
    let sum: f64 = scaled.iter().map(|v| v.abs()).sum();
    // The scale is the multiplier's, an integer; rounding it up keeps the largest weight within `top`.
    let per_multiplier = unit / f64::from(1 << multiplier_bits);
    // Half an integer more a column: what rounding can add to the sum.
    let room = sum_limit - scaled.len() as f64 / 2.0;
    let m = (largest / top).max(sum / room) / per_multiplier;
    if !(m.is_finite() && m <= 32767.0) {
        return None;
    }
    let m = m.ceil().max(1.0);
    let step = m * per_multiplier;
    let integers = scaled.iter().map(|v| (v / step + 0.5).floor().clamp(-top, top) as i32).collect();
    Some((m as i32 * MULTIPLIER_UNIT, integers, step))
}
