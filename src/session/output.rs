//! What a step yields.

use super::stream::Stream;
use super::walk;
use crate::Model;
use crate::model::header::{Activation, Q15_SCALE};
use crate::model::layer::Layer;
use micromath::F32Ext;

#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Raw<'a> {
    /// A dense layer's outputs that no layer takes.
    Wide(&'a [i32]),
    /// A hidden state, or an output that another layer takes too.
    Narrow(&'a [i16]),
}

/// An output of the model as integers with a scale. The real value of `get(k)` is `get(k) * scale()`.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Output<'a> {
    raw: Raw<'a>,
    /// Whose output it is; asked for the scale only where a float is wanted.
    layer: Option<&'a Layer>,
    new: bool,
}

impl<'a> Output<'a> {
    /// Output `head` at step `t` of the latest run, or its latest; `ran` is the stream of the latest step, if that ran the model.
    #[inline]
    pub(super) fn new(model: &'a Model, words: &'a [i32], head: usize, t: Option<usize>, ran: Option<Stream>) -> Self {
        let header = model.header();
        let none = Self { raw: Raw::Wide(&[]), layer: None, new: false };
        let Some((node, place)) = header.heads.get(head).and_then(|&k| model.node(k.into())) else { return none };
        let Some((output, yielded)) = walk::output(place, words, t) else { return none };
        let width = place.width;
        let raw = if place.wide {
            Raw::Wide(output.get(..width).unwrap_or_default())
        } else {
            Raw::Narrow(bytemuck::cast_slice(output).get(..width).unwrap_or_default())
        };
        Self {
            raw,
            layer: Some(&node.layer),
            new: ran.is_some_and(|stream| stream.number() == place.stream()) && yielded > 0,
        }
    }

    /// Whether the latest step made this output. A window or a convolution may wait for more samples, a masked sample is
    /// skipped; the output is then an earlier one.
    pub fn is_new(&self) -> bool {
        self.new
    }

    /// Number of outputs.
    pub fn len(&self) -> usize {
        match self.raw {
            Raw::Wide(v) => v.len(),
            Raw::Narrow(v) => v.len(),
        }
    }

    /// Whether there are none; never so for a parsed model.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Output `k` as an integer.
    pub fn get(&self, k: usize) -> Option<i32> {
        match self.raw {
            Raw::Wide(v) => v.get(k).copied(),
            Raw::Narrow(v) => v.get(k).map(|&h| i32::from(h)),
        }
    }

    /// The outputs as integers.
    pub fn iter(&self) -> impl Iterator<Item = i32> + 'a {
        let (wide, narrow): (&[i32], &[i16]) = match self.raw {
            Raw::Wide(v) => (v, &[]),
            Raw::Narrow(v) => (&[], v),
        };
        wide.iter().copied().chain(narrow.iter().map(|&h| i32::from(h)))
    }

    /// The real value of one unit.
    pub fn scale(&self) -> f32 {
        self.layer.map_or(Q15_SCALE, Layer::scale)
    }

    fn is_softmax(&self) -> bool {
        matches!(self.layer, Some(Layer::Dense { activation: Activation::Softmax, .. }))
    }

    /// The real value of output `k`. After a softmax this is the logit.
    pub fn value(&self, k: usize) -> Option<f32> {
        Some(self.get(k)? as f32 * self.scale())
    }

    /// The index of the largest output, the first of equals; exact, for it compares integers.
    pub fn argmax(&self) -> usize {
        let mut best = (0, i32::MIN);
        for (k, v) in self.iter().enumerate() {
            if v > best.1 {
                best = (k, v);
            }
        }
        best.0
    }

    /// Writes the outputs as scores to the front of `out`: probabilities after a softmax, real values otherwise.
    ///
    /// Returns how many were written: the smaller of both lengths. Softmax uses `micromath`'s `exp` in 32-bit floats; on the
    /// digits model the largest error of a probability is 0.0004 (`tests/probabilities.rs`). For a decision use
    /// [`argmax`](Self::argmax), which is exact.
    pub fn probabilities(&self, out: &mut [f32]) -> usize {
        let (scale, softmax) = (self.scale(), self.is_softmax());
        let top = self.iter().max().unwrap_or(0);
        let mut sum = 0.0;
        for (slot, v) in out.iter_mut().zip(self.iter()) {
            // The difference of two i32 in units of the scale; saturating, for a hostile model's outputs may span 2^32.
            *slot = if softmax { F32Ext::exp(v.saturating_sub(top) as f32 * scale) } else { v as f32 * scale };
        }
        if softmax {
            for (k, v) in self.iter().enumerate() {
                sum += out.get(k).copied().unwrap_or_else(|| F32Ext::exp(v.saturating_sub(top) as f32 * scale));
            }
            for slot in out.iter_mut().take(self.len()) {
                *slot /= sum;
            }
        }
        self.len().min(out.len())
    }
}
