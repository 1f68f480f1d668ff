//! A fully connected layer: `activation(W x + b)`.
//!
//! The multipliers are chosen by the converter so that a linear or relu output comes out in units of the layer's `scale`
//! at once; sigmoid and tanh go through Q16.16 and yield Q0.15.

use crate::kernel::{self, Format, Four, ROWS, Vector};
use crate::model::header::{Activation, Weights};
use crate::numeric::activation::{sigmoid_raw, tanh_raw};
use crate::numeric::rounding::saturate_q15;

/// One dense layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dense<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) weights: Weights,
    pub(crate) activation: Activation,
    pub(crate) z_shift: u8,
}

impl Dense<'_> {
    /// The last layer of a model: 32-bit outputs in units of the layer's scale. `x` and `out` are padded.
    pub(crate) fn step_wide(&self, x: &[Four], out: &mut [[i32; ROWS]]) {
        let mut out = out.iter_mut();
        self.step(x, |y| {
            if let Some(out) = out.next() {
                *out = y;
            }
        });
    }

    /// A layer before the last: 16-bit outputs, saturated to `±32767` units of the layer's scale.
    pub(crate) fn step_narrow(&self, x: &[Four], out: &mut [[i16; ROWS]]) {
        let mut out = out.iter_mut();
        self.step(x, |y| {
            if let Some(out) = out.next() {
                *out = y.map(saturate_q15);
            }
        });
    }

    /// The layer's outputs, four at a time.
    fn step(&self, x: &[Four], mut put: impl FnMut([i32; ROWS])) {
        match self.weights {
            Weights::W8 => self.each::<kernel::W8>(x, &mut put),
            Weights::W16 => self.each::<kernel::W16>(x, &mut put),
            Weights::W4 => self.each::<kernel::W4>(x, &mut put),
        }
    }

    #[inline(always)]
    fn each<F: Format>(&self, x: &[Four], put: &mut dyn FnMut([i32; ROWS])) {
        kernel::rows::<F, 1>(self.records, &[Vector::new::<F>(x)]).for_each(|z| put(z.map(|z| self.activate(z))));
    }

    #[inline(always)]
    fn activate(&self, z: i32) -> i32 {
        match self.activation {
            Activation::Linear | Activation::Softmax => z,
            Activation::Relu => z.max(0),
            Activation::Sigmoid => sigmoid_raw(z << (self.z_shift & 31)),
            Activation::Tanh => tanh_raw(z << (self.z_shift & 31)),
        }
    }
}
