//! Fully connected and simple recurrent layers: `activation(W x + b)` and `activation(W x + U h + b)`.
//!
//! The multipliers are chosen by the converter so that a linear or relu output comes out in units of the layer's `scale`
//! at once; sigmoid and tanh go through Q16.16 and yield Q0.15.

use crate::kernel::{self, Four, ROWS, Vector};
use crate::model::header::{Activation, Weights};
use crate::numeric::activation::{hard_sigmoid_raw, sigmoid_raw, tanh_raw};
use crate::numeric::rounding::saturate_q15;

/// One dense or simple recurrent layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dense<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) weights: Weights,
    pub(crate) activation: Activation,
    pub(crate) z_shift: u8,
}

impl Dense<'_> {
    /// A model's output: 32-bit outputs in units of the layer's scale. `x` and `out` are padded.
    pub(crate) fn step_wide(&self, x: &[Four], out: &mut [[i32; ROWS]]) {
        let vectors = [Vector::new(self.weights, x)];
        for (z, out) in kernel::rows(self.weights, self.records, out.len(), &vectors).zip(out) {
            *out = self.activate(z);
        }
    }

    /// A layer that others take, or Elman's: 16-bit outputs, saturated to `±32767` units of the layer's scale.
    ///
    /// `inputs` are the vectors of its one or two matrices.
    pub(crate) fn step_narrow<const P: usize>(&self, inputs: [&[Four]; P], out: &mut [[i16; ROWS]]) {
        let vectors = inputs.map(|x| Vector::new(self.weights, x));
        for (z, out) in kernel::rows(self.weights, self.records, out.len(), &vectors).zip(out) {
            for (out, y) in out.iter_mut().zip(self.activate(z)) {
                *out = saturate_q15(y);
            }
        }
    }

    #[inline(never)]
    fn activate(&self, mut z: [i32; ROWS]) -> [i32; ROWS] {
        for z in &mut z {
            *z = match self.activation {
                Activation::Linear | Activation::Softmax => *z,
                Activation::Relu => (*z).max(0),
                Activation::Sigmoid => sigmoid_raw(*z << (self.z_shift & 31)),
                Activation::Tanh => tanh_raw(*z << (self.z_shift & 31)),
                Activation::HardSigmoid => hard_sigmoid_raw(*z << (self.z_shift & 31)),
            };
        }
        z
    }
}
