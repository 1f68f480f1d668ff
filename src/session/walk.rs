//! Where each node's buffers stand in the state, in one place, and the walk through them.
//!
//! The words are: of a windowed model the number of samples seen and of those kept; the samples; then node by node how many
//! outputs it yielded in the latest run, what it carries from step to step, and its outputs. A streaming model runs over one
//! sample at a time, a windowed one over a window's; otherwise they are alike.

use crate::Model;
use crate::kernel::Four;
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::lstm_variants::LstmVariant;
use crate::layer::window::Window;
use crate::layer::{embedding, norm};
use crate::model::Place;
use crate::model::header::{Header, Node, packed_words};
use crate::model::layer::{Layer, reach, row_words};

fn fours(words: &[i32]) -> &[Four] {
    words.as_chunks().0
}

fn halves(words: &[i32]) -> &[i16] {
    bytemuck::cast_slice(words)
}

fn halves_mut(words: &mut [i32]) -> &mut [i16] {
    bytemuck::cast_slice_mut(words)
}

/// The next `len` words; none past the end, where a checked model with a checked state never goes.
fn take<'a>(words: &mut &'a [i32], len: usize) -> &'a [i32] {
    words.split_off(..len).unwrap_or_default()
}

fn take_mut<'s>(words: &mut &'s mut [i32], len: usize) -> &'s mut [i32] {
    words.split_off_mut(..len).unwrap_or_default()
}

/// What a source yielded in this run.
#[derive(Clone, Copy)]
struct Sequence<'s> {
    slots: &'s [i32],
    slot_words: usize,
    count: usize,
    /// The slot of the first step in time.
    first: usize,
    backward: bool,
}

impl<'s> Sequence<'s> {
    /// Of a source whose buffers are in `before`; `samples` are there to run over.
    #[inline]
    fn new(model: &Model, before: &'s [i32], source: u8, samples: usize) -> Self {
        let Some((node, place)) = usize::from(source).checked_sub(1).and_then(|k| model.node(k)) else {
            let header = model.header();
            let slots = before.get(counters(header)..).unwrap_or_default();
            let slot_words = packed_words(header.inputs.into());
            return Self { slots, slot_words, count: samples, first: 0, backward: false };
        };
        let parts = Parts::new(before, place);
        let first = match (node.layer.is_recurrent(), node.steps) {
            (false, _) => 0,
            (true, 1) => current(node, parts.memory),
            (true, _) if node.backward => parts.yielded,
            (true, _) => 1,
        };
        let (slots, slot_words) = (parts.slots, place.slot_words);
        Self { slots, slot_words, count: parts.yielded, first, backward: node.backward }
    }

    /// The vector of step `t` in time.
    #[inline]
    fn at(&self, t: usize) -> &'s [i32] {
        let slot = if self.backward { self.first.wrapping_sub(t) } else { self.first.wrapping_add(t) };
        let start = slot.wrapping_mul(self.slot_words);
        self.slots.get(start..).and_then(|s| s.get(..self.slot_words)).unwrap_or_default()
    }
}

/// Words of a windowed model's counters.
pub(super) fn counters(header: &Header) -> usize {
    if header.window == 0 { 0 } else { 2 }
}

/// The slot of a recurrent layer's current output, from what it carries; within its slots whatever was restored.
#[inline]
fn current(node: &Node, memory: &[i32]) -> usize {
    memory.first().map_or(0, |&slot| (slot as usize).min(node.steps.into()))
}

/// A node's parts of the state.
#[derive(Clone, Copy)]
struct Parts<'s> {
    yielded: usize,
    memory: &'s [i32],
    slots: &'s [i32],
}

impl<'s> Parts<'s> {
    #[inline]
    fn new(words: &'s [i32], place: &Place) -> Self {
        let mut own = words.get(place.state..).unwrap_or_default();
        let yielded = take(&mut own, 1).first().map_or(0, |&n| n as usize);
        let memory = take(&mut own, place.memory_words);
        Self { yielded, memory, slots: take(&mut own, place.slots * place.slot_words) }
    }
}

/// Runs all nodes over `samples` samples.
pub(super) fn run(model: &Model, words: &mut [i32], samples: usize) {
    let all = model.records();
    for (node, place) in model.nodes() {
        let records = all.get(place.records..).unwrap_or_default();
        let Some((before, mut own)) = words.split_at_mut_checked(place.state) else { return };
        let source = Sequence::new(model, before, node.from, samples);
        let Some(yielded) = take_mut(&mut own, 1).first_mut() else { return };
        let memory = take_mut(&mut own, place.memory_words);
        let slots = take_mut(&mut own, place.slots * place.slot_words);
        let step = Step { node, place, records };
        *yielded = 0;
        if node.layer.is_recurrent() {
            for step_in in 0..source.count {
                let t = if node.backward { source.count - 1 - step_in } else { step_in };
                step.recur(source.at(t), memory, slots);
                *yielded = if node.last { 1 } else { *yielded + 1 };
            }
        } else if let Layer::Dense { .. } = node.layer {
            for t in 0..source.count {
                step.dense(source.at(t), slots.get_mut(t * place.slot_words..).unwrap_or_default());
            }
            *yielded = source.count as i32;
        } else {
            *yielded = step.others(model, before, source, samples, memory, slots);
        }
    }
}

/// What a step of a node reads from the blob.
struct Step<'a> {
    node: &'a Node,
    place: &'a Place,
    records: &'a [i32],
}

impl Step<'_> {
    /// One step of a recurrent layer: from its current slot to the next.
    #[inline]
    fn recur(&self, x: &[i32], mut memory: &mut [i32], slots: &mut [i32]) {
        let slot_words = self.place.slot_words;
        let slot = current(self.node, memory);
        let next = if self.node.steps == 1 { 1 - slot } else { (slot + 1).min(self.node.steps.into()) };
        let Some((low, high)) = slots.split_at_mut_checked(slot.max(next) * slot_words) else { return };
        let low = low.get_mut(slot.min(next) * slot_words..).unwrap_or_default();
        let (h, out) = if slot < next { (low, high) } else { (high, low) };
        let h = fours(h.get(..slot_words).unwrap_or_default());
        let out = out.get_mut(..slot_words).unwrap_or_default();
        if let Some(slot) = take_mut(&mut memory, 1).first_mut() {
            *slot = next as i32;
        }
        if let Layer::Lstm { units, weights, cell_frac, z_shift, .. } = self.node.layer {
            let cell = memory.get_mut(..units.into()).unwrap_or_default();
            let lstm = Lstm { records: self.records, weights, cell_frac, z_shift };
            lstm.step(fours(x), h, cell, halves_mut(out));
        } else {
            self.recur_others(fours(x), h, memory, out);
        }
    }

    /// [`recur`](Self::recur) for all but the plain LSTM, out of its way.
    #[inline(never)]
    fn recur_others(&self, x: &[Four], h: &[Four], mut memory: &mut [i32], out: &mut [i32]) {
        let layer = &self.node.layer;
        let cell = take_mut(&mut memory, layer.cells());
        let mut records = self.records;
        match *layer {
            Layer::Gru { weights, z_shift, hard, reset_after, .. } if cfg!(feature = "gru") => {
                let sections = layer.sections(self.place.inputs).map(|s| take(&mut records, s.words(weights)));
                let gru = Gru { sections, weights, z_shift, hard };
                if reset_after {
                    gru.step_after(x, h, cell, halves_mut(out));
                } else {
                    gru.step_before(x, h, cell, halves_mut(out), memory.as_chunks_mut().0);
                }
            }
            Layer::Rnn { weights, activation, z_shift, .. } if cfg!(feature = "rnn") => {
                let dense = Dense { records, weights, activation, z_shift };
                dense.step_narrow([x, h], halves_mut(out).as_chunks_mut().0);
            }
            Layer::LstmVariant { units, weights, cell_frac, z_shift, hard, peephole, projection, .. }
                if cfg!(feature = "lstm-variants") =>
            {
                let [cells, projected, ..] = layer.sections(self.place.inputs);
                let lstm = LstmVariant {
                    records: take(&mut records, cells.words(weights)),
                    projection: take(&mut records, projected.words(weights)),
                    peepholes: if peephole.is_some() { take(&mut records, 3 * usize::from(units)) } else { &[] },
                    weights,
                    cell_frac,
                    z_shift,
                    hard,
                    peephole_frac: peephole.unwrap_or(0),
                };
                if projection == 0 {
                    lstm.step(x, h, cell, halves_mut(out));
                } else {
                    lstm.step(x, h, cell, halves_mut(memory));
                    lstm.project(fours(memory), halves_mut(out).as_chunks_mut().0);
                }
            }
            _ => {}
        }
    }

    /// One step of a dense layer.
    #[inline]
    fn dense(&self, x: &[i32], out: &mut [i32]) {
        let Layer::Dense { weights, activation, z_shift, .. } = self.node.layer else { return };
        let dense = Dense { records: self.records, weights, activation, z_shift };
        let out = out.get_mut(..self.place.slot_words).unwrap_or_default();
        if self.place.wide {
            dense.step_wide(fours(x), out.as_chunks_mut().0);
        } else {
            dense.step_narrow([fours(x)], halves_mut(out).as_chunks_mut().0);
        }
    }

    /// All steps of another layer without a hidden state; how many outputs it yielded.
    #[inline(never)]
    fn others(
        &self,
        model: &Model,
        before: &[i32],
        source: Sequence,
        samples: usize,
        memory: &mut [i32],
        slots: &mut [i32],
    ) -> i32 {
        let (inputs, slot_words) = (self.place.inputs, self.place.slot_words);
        let second = match self.node.layer {
            Layer::Concat { second, .. } => Sequence::new(model, before, second, samples),
            _ => source,
        };
        let mut yielded = 0;
        // Of two sources one may have waited.
        for t in 0..source.count.min(second.count) {
            let x = source.at(t);
            let out = slots.get_mut(yielded * slot_words..).and_then(|s| s.get_mut(..slot_words)).unwrap_or_default();
            let out = halves_mut(out);
            match self.node.layer {
                Layer::Embedding { rows, width, weights, .. } if cfg!(feature = "embedding") => {
                    let index = halves(x).first().copied().unwrap_or(0);
                    let out = out.get_mut(..width.into()).unwrap_or_default();
                    embedding::look_up(self.records, weights, row_words(width.into(), weights), rows, index, out);
                }
                Layer::Norm { width, shift, epsilon, .. } if cfg!(feature = "norm") => {
                    let x = halves(x).get(..width.into()).unwrap_or_default();
                    let gains = self.records.get(..2 * usize::from(width)).unwrap_or_default();
                    norm::normalize(x, epsilon, gains, shift, out);
                }
                Layer::Window { taps, dilation, stride, .. } if cfg!(feature = "window") => {
                    let Some(([wait, position], ring)) = memory.split_first_chunk_mut() else { break };
                    let mut window = Window { wait, position, ring, place_words: packed_words(inputs) };
                    if !window.step(x, inputs, [taps, dilation, stride], out) {
                        continue;
                    }
                }
                Layer::Concat { width, .. } if cfg!(feature = "window") => {
                    let first = halves(x).get(..inputs).unwrap_or_default();
                    let both = first.iter().chain(halves(second.at(t)));
                    out.iter_mut().take(width.into()).zip(both).for_each(|(out, v)| *out = *v);
                }
                _ => {}
            }
            yielded += 1;
        }
        yielded as i32
    }
}

/// Puts every node into its initial state.
pub(super) fn reset(model: &Model, words: &mut [i32]) {
    words.get_mut(model.header().sample_words()..).unwrap_or_default().fill(0);
    let all = model.records();
    for (node, place) in model.nodes() {
        let extra = all.get(place.records + place.record_words..).and_then(|e| e.get(..place.extra_words));
        let extra = extra.unwrap_or_default();
        let memory = words.get_mut(place.state + 1..).unwrap_or_default();
        match node.layer {
            Layer::Window { taps, dilation, causal, .. } if cfg!(feature = "window") => {
                let reach = reach(taps, dilation);
                let Some((wait, rest)) = memory.split_first_mut() else { return };
                *wait = if causal { 1 } else { reach as i32 };
                let ring = rest.get_mut(1..).unwrap_or_default();
                for slot in ring.chunks_exact_mut(packed_words(place.inputs).max(1)).take(reach) {
                    slot.iter_mut().zip(extra).for_each(|(slot, v)| *slot = *v);
                }
            }
            Layer::Lstm { initial: true, .. }
            | Layer::Gru { initial: true, .. }
            | Layer::Rnn { initial: true, .. }
            | Layer::LstmVariant { initial: true, .. } => {
                // The last words behind the records: the 32-bit state, then the hidden state.
                let cells = node.layer.cells();
                let start = extra.len().saturating_sub(cells + place.slot_words);
                let (c, h) = extra.get(start..).and_then(|e| e.split_at_checked(cells)).unwrap_or_default();
                let (state, outputs) = memory.split_at_mut_checked(place.memory_words).unwrap_or_default();
                state.iter_mut().skip(1).zip(c).for_each(|(slot, v)| *slot = *v);
                outputs.iter_mut().zip(h).for_each(|(slot, v)| *slot = *v);
            }
            _ => {}
        }
    }
}

/// The output of node `k` at step `t` of the latest run, or its latest, and how many there are.
#[inline]
pub(super) fn output<'s>(model: &Model, words: &'s [i32], k: usize, t: Option<usize>) -> Option<(&'s [i32], usize)> {
    let (node, place) = model.node(k)?;
    let parts = Parts::new(words, place);
    let t = t.unwrap_or(parts.yielded.clamp(1, node.steps.into()) - 1);
    let slot = match (node.layer.is_recurrent(), node.steps) {
        (false, _) => t,
        (true, 1) => current(node, parts.memory),
        (true, _) if node.backward => parts.yielded.checked_sub(t)?,
        (true, _) => t + 1,
    };
    Some((parts.slots.get(slot * place.slot_words..)?.get(..place.slot_words)?, parts.yielded))
}

/// The 32-bit state and the hidden state of node `k`, if it is recurrent.
pub(super) fn state<'s>(model: &Model, words: &'s [i32], k: usize) -> Option<(&'s [i32], &'s [i16])> {
    let (node, place) = model.node(k).filter(|(node, _)| node.layer.is_recurrent())?;
    let parts = Parts::new(words, place);
    let hidden = parts.slots.get(current(node, parts.memory) * place.slot_words..)?.get(..place.slot_words)?;
    Some((parts.memory.get(1..)?.get(..node.layer.cells())?, halves(hidden).get(..node.layer.width())?))
}
