//! Where each node's buffers stand in the state, in one place, and the walk through them.
//!
//! The words are: of a windowed model the number of samples seen and of those kept; the samples; then node by node how many
//! outputs it yielded in the latest run, what it carries from step to step, and its outputs. A streaming model runs over one
//! sample at a time, a windowed one over a window's; otherwise they are alike.

use crate::Model;
use crate::kernel::{Four, ROWS};
use crate::layer::dense::Dense;
use crate::layer::gru::Gru;
use crate::layer::lstm::Lstm;
use crate::layer::lstm_variants::LstmVariant;
use crate::layer::window::Window;
use crate::layer::{embedding, norm};
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
    /// Of a source among the nodes in `before`; `samples` are there to run over.
    #[inline]
    fn new(header: &Header, before: &'s [i32], source: u8, samples: usize) -> Self {
        let Some(k) = usize::from(source).checked_sub(1) else {
            let slots = before.get(counters(header)..).unwrap_or_default();
            let slot_words = packed_words(header.inputs.into());
            return Self { slots, slot_words, count: samples, first: 0, backward: false };
        };
        let Some(node) = header.nodes.get(k) else {
            return Self { slots: &[], slot_words: 0, count: 0, first: 0, backward: false };
        };
        let mut own = before.get(header.node_start(k)..).unwrap_or_default();
        let count = *take(&mut own, 1).first().unwrap_or(&0) as usize;
        let memory = take(&mut own, node.layer.memory_words(header.width(node.from)));
        let first = match (node.layer.is_recurrent(), node.steps) {
            (false, _) => 0,
            (true, 1) => current(node, memory),
            (true, _) if node.backward => count,
            (true, _) => 1,
        };
        Self { slots: own, slot_words: header.slot_words(k), count, first, backward: node.backward }
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
fn current(node: &Node, memory: &[i32]) -> usize {
    memory.first().map_or(0, |&slot| (slot as usize).min(node.steps.into()))
}

/// Runs all nodes over `samples` samples.
pub(super) fn run(model: &Model, words: &mut [i32], samples: usize) {
    let header = model.header();
    let mut records = model.records();
    let mut start = header.sample_words();
    for (k, node) in header.nodes.iter().enumerate() {
        let inputs = header.width(node.from);
        let mine = take(&mut records, node.layer.record_words(inputs) + node.layer.extra_words(inputs));
        let size = header.node_words(k);
        let Some((before, rest)) = words.split_at_mut_checked(start) else { return };
        let source = Sequence::new(header, before, node.from, samples);
        let second = match node.layer {
            Layer::Concat { second, .. } => Some(Sequence::new(header, before, second, samples)),
            _ => None,
        };
        let place = Place { header, k, node, inputs, records: mine };
        let own = rest.get_mut(..size).unwrap_or_default();
        place.run(source, second, own);
        start += size;
    }
}

/// A node on its way through a run.
struct Place<'a> {
    header: &'a Header<'a>,
    k: usize,
    node: &'a Node,
    inputs: usize,
    records: &'a [i32],
}

impl Place<'_> {
    #[inline]
    fn run(&self, source: Sequence, second: Option<Sequence>, mut own: &mut [i32]) {
        let (node, layer) = (self.node, self.node.layer);
        let Some(yielded) = take_mut(&mut own, 1).first_mut() else { return };
        let memory = take_mut(&mut own, layer.memory_words(self.inputs));
        let slot_words = self.header.slot_words(self.k);
        *yielded = 0;
        // Of two sources one may have waited.
        let steps = source.count.min(second.map_or(usize::MAX, |s| s.count));
        for step in 0..steps {
            let t = if node.backward { steps - 1 - step } else { step };
            let x = source.at(t);
            let done = if layer.is_recurrent() {
                self.recur(x, memory, own, slot_words);
                true
            } else {
                let start = *yielded as usize * slot_words;
                let out = own.get_mut(start..start + slot_words).unwrap_or_default();
                self.map(x, second.map(|s| s.at(t)), memory, out)
            };
            *yielded = if node.last { 1 } else { *yielded + i32::from(done) };
        }
    }

    /// One step of a recurrent layer: from its current slot to the next.
    #[inline]
    fn recur(&self, x: &[i32], mut memory: &mut [i32], slots: &mut [i32], slot_words: usize) {
        let (node, layer) = (self.node, self.node.layer);
        let slot = current(node, memory);
        let next = if node.steps == 1 { 1 - slot } else { (slot + 1).min(node.steps.into()) };
        let Some((low, high)) = slots.split_at_mut_checked(slot.max(next) * slot_words) else { return };
        let low = low.get_mut(slot.min(next) * slot_words..).unwrap_or_default();
        let low = low.get_mut(..slot_words).unwrap_or_default();
        let high = high.get_mut(..slot_words).unwrap_or_default();
        let (h, out) = if slot < next { (low, high) } else { (high, low) };
        let (x, h) = (fours(x), fours(h));
        if let Some(slot) = take_mut(&mut memory, 1).first_mut() {
            *slot = next as i32;
        }
        let cell = take_mut(&mut memory, layer.cells());
        let mut records = self.records;
        match layer {
            Layer::Lstm { weights, cell_frac, z_shift, .. } => {
                Lstm { records, weights, cell_frac, z_shift }.step(x, h, cell, halves_mut(out));
            }
            Layer::Gru { weights, z_shift, hard, reset_after, .. } if cfg!(feature = "gru") => {
                let sections = layer.sections(self.inputs).map(|s| take(&mut records, s.words(weights)));
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
                let [units_, projected, ..] = layer.sections(self.inputs);
                let lstm = LstmVariant {
                    records: take(&mut records, units_.words(weights)),
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

    /// One step of a layer without a hidden state; whether it yielded an output.
    #[inline]
    fn map(&self, x: &[i32], second: Option<&[i32]>, memory: &mut [i32], out: &mut [i32]) -> bool {
        match self.node.layer {
            Layer::Dense { weights, activation, z_shift, .. } => {
                let dense = Dense { records: self.records, weights, activation, z_shift };
                if self.header.is_wide(self.k) {
                    dense.step_wide(fours(x), out.as_chunks_mut().0);
                } else {
                    dense.step_narrow([fours(x)], halves_mut(out).as_chunks_mut::<ROWS>().0);
                }
            }
            Layer::Embedding { rows, width, weights, .. } if cfg!(feature = "embedding") => {
                let index = halves(x).first().copied().unwrap_or(0);
                let out = halves_mut(out).get_mut(..width.into()).unwrap_or_default();
                embedding::look_up(self.records, weights, row_words(width.into(), weights), rows, index, out);
            }
            Layer::Norm { width, shift, epsilon, .. } if cfg!(feature = "norm") => {
                let x = halves(x).get(..width.into()).unwrap_or_default();
                norm::normalize(x, epsilon, self.records, shift, halves_mut(out));
            }
            Layer::Window { taps, dilation, stride, .. } if cfg!(feature = "window") => {
                let Some(([wait, position], ring)) = memory.split_first_chunk_mut() else { return false };
                let place_words = packed_words(self.inputs);
                let mut window = Window { wait, position, ring, place_words };
                return window.step(x, self.inputs, [taps, dilation, stride], halves_mut(out));
            }
            Layer::Concat { .. } if cfg!(feature = "window") => {
                let x = halves(x).get(..self.inputs).unwrap_or_default();
                let both = x.iter().chain(halves(second.unwrap_or_default()));
                halves_mut(out).iter_mut().zip(both).for_each(|(out, v)| *out = *v);
            }
            _ => {}
        }
        true
    }
}

/// Puts every node into its initial state.
pub(super) fn reset(model: &Model, words: &mut [i32]) {
    let header = model.header();
    let mut records = model.records();
    let mut rest = words.get_mut(header.sample_words()..).unwrap_or_default();
    rest.fill(0);
    for (k, node) in header.nodes.iter().enumerate() {
        let inputs = header.width(node.from);
        take(&mut records, node.layer.record_words(inputs));
        let extra = take(&mut records, node.layer.extra_words(inputs));
        let own = take_mut(&mut rest, header.node_words(k));
        let Some((_, memory)) = own.split_first_mut() else { return };
        match node.layer {
            Layer::Window { taps, dilation, causal, .. } => {
                let reach = reach(taps, dilation);
                let Some((wait, rest)) = memory.split_first_mut() else { return };
                *wait = if causal { 1 } else { reach as i32 };
                for slot in rest.get_mut(1..).unwrap_or_default().chunks_exact_mut(packed_words(inputs)).take(reach) {
                    slot.iter_mut().zip(extra).for_each(|(slot, v)| *slot = *v);
                }
            }
            Layer::Lstm { initial: true, .. }
            | Layer::Gru { initial: true, .. }
            | Layer::Rnn { initial: true, .. }
            | Layer::LstmVariant { initial: true, .. } => {
                let (cells, hidden) = (node.layer.cells(), packed_words(node.layer.width()));
                let start = extra.len().saturating_sub(cells + hidden);
                let (c, h) = extra.get(start..).and_then(|e| e.split_at_checked(cells)).unwrap_or_default();
                let (state, outputs) = memory.split_at_mut_checked(node.layer.memory_words(inputs)).unwrap_or_default();
                state.iter_mut().skip(1).zip(c).for_each(|(slot, v)| *slot = *v);
                outputs.iter_mut().zip(h).for_each(|(slot, v)| *slot = *v);
            }
            _ => {}
        }
    }
}

/// A node's parts of the state: how many outputs it yielded, what it carries, its outputs.
pub(super) fn parts<'s>(header: &Header, words: &'s [i32], k: usize) -> Option<(usize, &'s [i32], &'s [i32])> {
    let node = header.nodes.get(k)?;
    let own = words.get(header.node_start(k)..)?.get(..header.node_words(k))?;
    let (yielded, rest) = own.split_first()?;
    let (memory, slots) = rest.split_at_checked(node.layer.memory_words(header.width(node.from)))?;
    Some((*yielded as usize, memory, slots))
}

/// The output of node `k` at step `t` of the latest run, or its latest.
pub(super) fn output<'s>(header: &Header, words: &'s [i32], k: usize, t: Option<usize>) -> Option<&'s [i32]> {
    let node = header.nodes.get(k)?;
    let (yielded, memory, slots) = parts(header, words, k)?;
    let t = t.unwrap_or(yielded.clamp(1, node.steps.into()) - 1);
    let slot = match (node.layer.is_recurrent(), node.steps) {
        (false, _) => t,
        (true, 1) => current(node, memory),
        (true, _) if node.backward => yielded.checked_sub(t)?,
        (true, _) => t + 1,
    };
    let size = header.slot_words(k);
    slots.get(slot * size..)?.get(..size)
}

/// The 32-bit state and the hidden state of node `k`, if it is recurrent.
pub(super) fn state<'s>(header: &Header, words: &'s [i32], k: usize) -> Option<(&'s [i32], &'s [i16])> {
    let node = header.nodes.get(k).filter(|n| n.layer.is_recurrent())?;
    let (_, memory, slots) = parts(header, words, k)?;
    let size = header.slot_words(k);
    let hidden = slots.get(current(node, memory) * size..)?.get(..size)?;
    Some((memory.get(1..)?.get(..node.layer.cells())?, halves(hidden).get(..node.layer.width())?))
}
