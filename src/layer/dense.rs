//! A fully connected layer: `activation(W x + b)`.
//!
//! The multipliers are chosen by the converter so that a linear or relu output comes out in units of the layer's `scale`
//! at once; sigmoid and tanh go through Q16.16 and yield Q0.15.

use super::{dot4, take4};
use crate::kernel::{COLUMNS, ROWS};
use crate::model::header::{Activation, Weights};
use crate::numeric::activation::{sigmoid_raw, tanh_raw};
use crate::numeric::rounding::{mul_high, saturate_q15};

/// One dense layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dense<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) record_words: usize,
    pub(crate) weights: Weights,
    pub(crate) activation: Activation,
    pub(crate) z_shift: u8,
}

impl Dense<'_> {
    /// The layer's outputs as i32, four at a time.
    #[inline(always)]
    fn outputs(&self, x: &[[i16; COLUMNS]]) -> impl Iterator<Item = [i32; ROWS]> {
        self.records.chunks_exact(self.record_words.max(1)).map(move |mut record| {
            let (bias, m) = (take4(&mut record), take4(&mut record));
            let acc = dot4(self.weights, record, x);
            core::array::from_fn(|k| {
                let z = bias[k] + mul_high(acc[k], m[k]);
                match self.activation {
                    Activation::Linear | Activation::Softmax => z,
                    Activation::Relu => z.max(0),
                    Activation::Sigmoid => sigmoid_raw(z << (self.z_shift & 31)),
                    Activation::Tanh => tanh_raw(z << (self.z_shift & 31)),
                }
            })
        })
    }

    /// The last layer of a model: 32-bit outputs in units of the layer's scale. `x` and `out` are padded.
    pub(crate) fn step_wide(&self, x: &[[i16; COLUMNS]], out: &mut [[i32; ROWS]]) {
        for (out, z) in out.iter_mut().zip(self.outputs(x)) {
            *out = z;
        }
    }

    /// A layer before the last: 16-bit outputs, saturated to `±32767` units of the layer's scale.
    pub(crate) fn step_narrow(&self, x: &[[i16; COLUMNS]], out: &mut [[i16; ROWS]]) {
        for (out, z) in out.iter_mut().zip(self.outputs(x)) {
            *out = z.map(saturate_q15);
        }
    }
}
