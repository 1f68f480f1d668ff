//! Where each layer's buffers stand in the state, in one place, and the walk through them.
//!
//! The words are: the input vector, then layer by layer, for an LSTM the cell state and two hidden states, for a dense
//! layer its outputs ([`Layer::state_words`]).

use crate::Model;
use crate::kernel::Four;
use crate::layer::{dense::Dense, lstm::Lstm};
use crate::model::header::{Layer, packed_words};

/// What is left of the state's words.
struct Rest<'s>(&'s mut [i32]);

impl<'s> Rest<'s> {
    /// The next `len` words; none past the end, where a checked model with a checked state never goes.
    fn take(&mut self, len: usize) -> &'s mut [i32] {
        self.0.split_off_mut(..len).unwrap_or_default()
    }
}

fn fours(words: &[i32]) -> &[Four] {
    words.as_chunks().0
}

/// One time step through all layers. `flipped` tells which hidden buffer is current; the caller flips it afterwards.
pub(super) fn step(model: &Model, words: &mut [i32], flipped: bool) {
    let last = model.header().layers.len().saturating_sub(1);
    let mut state = Rest(words);
    let mut records = model.records();
    let mut x: &[Four] = fours(state.take(packed_words(model.inputs())));
    for (k, (layer, inputs)) in model.header().layers().enumerate() {
        let mine = records.split_off(..layer.record_words(inputs) * layer.records()).unwrap_or_default();
        match layer {
            Layer::Lstm { units, weights, cell_frac, z_shift } => {
                let units = units as usize;
                let lstm = Lstm { records: mine, weights, cell_frac, z_shift };
                let cell = state.take(units);
                let (first, second) = (state.take(packed_words(units)), state.take(packed_words(units)));
                let (h, h_next) = if flipped { (second, first) } else { (first, second) };
                lstm.step(x, fours(h), cell, bytemuck::cast_slice_mut(h_next));
                x = fours(h_next);
            }
            Layer::Dense { weights, activation, z_shift, .. } => {
                let dense = Dense { records: mine, weights, activation, z_shift };
                let out = state.take(layer.state_words(k == last));
                if k == last {
                    dense.step_wide(x, out.as_chunks_mut().0);
                } else {
                    dense.step_narrow(x, bytemuck::cast_slice_mut::<i32, i16>(out).as_chunks_mut().0);
                    x = fours(out);
                }
            }
        }
    }
}

/// A layer's fractional bits of the cell state, if it is an LSTM.
pub(super) fn cell_frac(layer: &Layer) -> Option<u8> {
    if let Layer::Lstm { cell_frac, .. } = layer { Some(*cell_frac) } else { None }
}

/// Cell and current hidden state of each LSTM layer, without padding.
pub(super) fn lstm_states<'s>(
    model: &'s Model,
    words: &'s [i32],
    flipped: bool,
) -> impl Iterator<Item = (&'s [i32], &'s [i16])> {
    lstm_ranges(model).map(move |(start, units)| {
        let h = start + units + if flipped { packed_words(units) } else { 0 };
        let hidden = bytemuck::cast_slice(words.get(h..h + packed_words(units)).unwrap_or_default());
        (words.get(start..start + units).unwrap_or_default(), hidden.get(..units).unwrap_or_default())
    })
}

/// First word and units of each LSTM layer's state.
pub(super) fn lstm_ranges<'s>(model: &'s Model) -> impl Iterator<Item = (usize, usize)> + 's {
    let layers = &model.header().layers;
    let mut start = packed_words(model.inputs());
    layers.iter().filter_map(move |layer| {
        let mine = start;
        start += layer.state_words(false);
        cell_frac(layer).map(|_| (mine, layer.width()))
    })
}
