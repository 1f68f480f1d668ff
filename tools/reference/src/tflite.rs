//! What TensorFlow Lite's int8 LSTM does to a layer, for comparison: weights of one scale a gate and matrix, activations of 8
//! bits, cell states of 16.
//!
//! After the quantization specification of `UNIDIRECTIONAL_SEQUENCE_LSTM` in TensorFlow Lite (8-bit weights and activations,
//! 16-bit cells, `lite/tools/optimize/operator_property.cc`) and the kernel of TensorFlow Lite Micro
//! (`kernels/lstm_eval.cc`): every value that is an integer there is rounded and saturated here to what that integer is worth.
//! Multipliers of requantization are exact here, and the activations are rounded, not taken from a table; both favour the peer.

use crate::cell::sigmoid;
use crate::{Lstm, Matrix};

/// An asymmetric 8-bit quantity of one scale.
#[derive(Clone, Copy, Debug)]
struct Int8 {
    scale: f64,
    zero: f64,
}

impl Int8 {
    /// That holds a range, 0 included.
    fn of([low, high]: [f64; 2]) -> Self {
        let (low, high) = (low.min(0.0), high.max(0.0));
        let scale = if high > low { (high - low) / 255.0 } else { 1.0 };
        Self { scale, zero: (-128.0 - low / scale).round() }
    }

    fn round(self, v: f64) -> f64 {
        ((v / self.scale + self.zero).round().clamp(-128.0, 127.0) - self.zero) * self.scale
    }
}

/// A 16-bit value of this unit.
fn int16(v: f64, unit: f64) -> f64 {
    (v / unit).round().clamp(-32768.0, 32767.0) * unit
}

/// Q3.12, of pre-activations.
const Q3_12: f64 = 1.0 / 4096.0;
/// Q0.15, of gates.
const Q0_15: f64 = 1.0 / 32768.0;

/// A layer so quantized, and its state.
#[derive(Clone, Debug)]
pub struct Tflite {
    w: Matrix,
    u: Matrix,
    b: Vec<f64>,
    input: Int8,
    hidden: Int8,
    cell_unit: f64,
    h: Vec<f64>,
    c: Vec<f64>,
}

impl Tflite {
    /// From what calibration saw: the range of all inputs, that of all hidden states, and the largest cell state.
    ///
    /// # Panics
    /// If the layer has peepholes, a projection or hard sigmoids.
    pub fn new(l: &Lstm, input: [f64; 2], hidden: [f64; 2], cell: f64) -> Self {
        assert!(l.peephole.is_none() && l.projection.is_none() && l.gates == crate::Activation::Sigmoid);
        let (input, hidden) = (Int8::of(input), Int8::of(hidden));
        let scales = |m: &Matrix| {
            [0, 1, 2, 3].map(|gate| {
                let rows = (gate..m.rows).step_by(4).flat_map(|r| m.row(r));
                rows.fold(0.0, |a: f64, w| a.max(w.abs())).max(1e-12) / 127.0
            })
        };
        let rounded = |m: &Matrix, scales: [f64; 4]| {
            Matrix::from_fn(m.rows, m.cols, |r, c| (m.row(r)[c] / scales[r % 4]).round() * scales[r % 4])
        };
        let (w, u) = (scales(&l.w), scales(&l.u));
        // A bias is an integer in units of the products that it is added to.
        let bias = |(r, b): (usize, &f64)| (b / (input.scale * w[r % 4])).round() * input.scale * w[r % 4];
        Self {
            b: l.b.iter().enumerate().map(bias).collect(),
            w: rounded(&l.w, w),
            u: rounded(&l.u, u),
            input,
            hidden,
            cell_unit: cell.max(1e-9).log2().ceil().exp2() / 32768.0,
            h: vec![hidden.round(0.0); l.units()],
            c: vec![0.0; l.units()],
        }
    }

    /// Begins a new sequence.
    pub fn reset(&mut self) {
        self.h.fill(self.hidden.round(0.0));
        self.c.fill(0.0);
    }

    /// One step; gives the hidden state.
    pub fn step(&mut self, x: &[f64]) -> &[f64] {
        let x: Vec<f64> = x.iter().map(|v| self.input.round(*v)).collect();
        let (from_x, from_h) = (self.w.times(&x), self.u.times(&self.h));
        let z = |r: usize| int16(int16(from_x[r] + self.b[r], Q3_12) + int16(from_h[r], Q3_12), Q3_12);
        let gate = |r: usize| int16(sigmoid(z(r)), Q0_15);
        for (k, (c, h)) in self.c.iter_mut().zip(&mut self.h).enumerate() {
            let candidate = int16(libm::tanh(z(4 * k + 2)), Q0_15);
            let kept = int16(gate(4 * k + 1) * *c, self.cell_unit);
            *c = int16(kept + int16(gate(4 * k) * candidate, self.cell_unit), self.cell_unit);
            *h = self.hidden.round(gate(4 * k + 3) * int16(libm::tanh(*c), Q0_15));
        }
        &self.h
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_what_they_are_worth() {
        let q = Int8::of([-1.0, 3.0]);
        assert!(q.round(0.0) == 0.0 && (q.round(3.5) - 3.0).abs() < q.scale && (q.round(-9.0) + 1.0).abs() < q.scale);
        assert!((q.round(0.5) - 0.5).abs() <= q.scale / 2.0);
        assert!((int16(9.0, Q3_12) - 8.0).abs() < 2.0 * Q3_12);
    }

    #[test]
    fn a_small_layer_comes_close_to_the_float_one() {
        let w = Matrix { rows: 4, cols: 1, data: vec![0.5, -0.25, 1.0, 0.75] };
        let u = Matrix { rows: 4, cols: 1, data: vec![0.3, 0.2, -0.6, 0.1] };
        let layer = Lstm::from_unit_major(w, u, vec![0.1, 1.0, 0.0, 0.2]);
        let float = crate::Network::chain("t", 1, vec![("l".to_owned(), crate::Layer::Lstm(layer.clone()))]);
        let mut evaluator = crate::Evaluator::new(&float);
        let mut integer = Tflite::new(&layer, [-1.0, 1.0], [-1.0, 1.0], 2.0);
        let mut worst = 0.0f64;
        for t in 0..200 {
            let x = [f64::from(t % 7) / 3.5 - 1.0];
            evaluator.step(&x);
            let h = integer.step(&x)[0];
            worst = worst.max((evaluator.traces(0)[0].output[0] - h).abs());
        }
        assert!(worst > 0.0005 && worst < 0.02, "{worst}");
    }
}
