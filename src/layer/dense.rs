//! Fully connected: `activation(W x + b)`, and what a simple recurrent layer has of it.
//!
//! The multipliers are chosen by the converter so that a linear or relu output comes out in units of the layer's `scale`
//! at once; sigmoid and tanh go through Q16.16 and yield Q0.15, SiLU and GELU through Q16.16, of which they yield a shift.

use crate::kernel::{self, Four, ROWS, Vector};
use crate::model::header::{Activation, Weights};
use crate::numeric::activation::{hard_sigmoid_raw, sigmoid_raw, tanh_raw};
#[cfg(feature = "layers")]
use crate::numeric::linear_units::{gelu, silu};
use crate::numeric::rounding::saturate_q15;
#[cfg(feature = "layers")]
use crate::numeric::rounding::shift_right;

/// One dense layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dense<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) weights: Weights,
    pub(crate) activation: Activation,
    pub(crate) z_shift: u8,
}

/// Where a layer's outputs go, four at a time.
pub(crate) enum Outputs<'a> {
    /// A model's output: 32 bits, in units of the layer's scale.
    Wide(&'a mut [[i32; ROWS]]),
    /// What other layers take: 16 bits, saturated to `±32767` units of the layer's scale.
    Narrow(&'a mut [[i16; ROWS]]),
}

impl Outputs<'_> {
    /// How many fours.
    #[inline(always)]
    pub(super) fn len(&self) -> usize {
        match self {
            Outputs::Wide(out) => out.len(),
            Outputs::Narrow(out) => out.len(),
        }
    }
}

impl Dense<'_> {
    /// One step on its input, which is padded as the outputs are.
    pub(crate) fn step(&self, x: &[Four], out: Outputs) {
        let vectors = [Vector::new(self.weights, x)];
        self.fill(kernel::rows(self.weights, self.records, out.len(), &vectors), out);
    }

    /// Outputs from pre-activations.
    #[inline(always)]
    pub(super) fn fill(&self, rows: impl Iterator<Item = [i32; ROWS]>, out: Outputs) {
        match out {
            Outputs::Wide(out) => out.iter_mut().zip(rows).for_each(|(out, z)| *out = self.activate(z)),
            Outputs::Narrow(out) => {
                out.iter_mut().zip(rows).for_each(|(out, z)| *out = self.activate(z).map(saturate_q15));
            }
        }
    }

    #[inline(always)]
    fn activate(&self, z: [i32; ROWS]) -> [i32; ROWS] {
        if matches!(self.activation, Activation::Linear | Activation::Softmax) { z } else { self.bend(z) }
    }

    /// What is not linear, out of the way of what is.
    #[inline(never)]
    fn bend(&self, mut z: [i32; ROWS]) -> [i32; ROWS] {
        for z in &mut z {
            *z = match self.activation {
                Activation::Linear | Activation::Softmax => *z,
                Activation::Relu => (*z).max(0),
                Activation::Sigmoid => sigmoid_raw(*z << (self.z_shift & 31)),
                Activation::Tanh => tanh_raw(*z << (self.z_shift & 31)),
                Activation::HardSigmoid => hard_sigmoid_raw(*z << (self.z_shift & 31)),
                #[cfg(feature = "layers")]
                Activation::Silu { shift } => shift_right(silu(*z << (self.z_shift & 31)), u32::from(shift) & 31),
                #[cfg(feature = "layers")]
                Activation::Gelu { tanh, shift } => {
                    shift_right(gelu(*z << (self.z_shift & 31), tanh), u32::from(shift) & 31)
                }
            };
        }
        z
    }
}
