//! Where each node's buffers stand in the state, in one place, and the walk through them.
//!
//! The words are: of a windowed model the number of samples seen and of those kept; the samples; then node by node how many
//! outputs it yielded in the latest run, what it carries from step to step, and its outputs. A streaming model runs over one
//! sample at a time, a windowed one over a window's; otherwise they are alike.

use super::others;
use crate::Model;
use crate::kernel::Four;
use crate::layer::dense::Dense;
use crate::layer::lstm::Lstm;
use crate::model::Place;
use crate::model::header::{Header, Node, packed_words};
use crate::model::layer::Layer;

pub(super) fn fours(words: &[i32]) -> &[Four] {
    words.as_chunks().0
}

pub(super) fn halves(words: &[i32]) -> &[i16] {
    bytemuck::cast_slice(words)
}

pub(super) fn halves_mut(words: &mut [i32]) -> &mut [i16] {
    bytemuck::cast_slice_mut(words)
}

/// The next `len` words; none past the end, where a checked model with a checked state never goes.
pub(super) fn take<'a>(words: &mut &'a [i32], len: usize) -> &'a [i32] {
    words.split_off(..len).unwrap_or_default()
}

#[allow(clippy::mut_mut, reason = "it moves the start of the caller's slice")]
pub(super) fn take_mut<'s>(words: &mut &'s mut [i32], len: usize) -> &'s mut [i32] {
    words.split_off_mut(..len).unwrap_or_default()
}

/// What a source yielded in this run.
#[derive(Clone, Copy)]
pub(super) struct Sequence<'s> {
    slots: &'s [i32],
    slot_words: usize,
    pub(super) count: usize,
    /// The slot of the first step in time.
    first: usize,
    backward: bool,
}

impl<'s> Sequence<'s> {
    /// Of a source whose buffers are in `before`; `samples` are there to run over.
    #[inline(never)] // its frame would be part of every step's
    pub(super) fn new(model: &Model, before: &'s [i32], source: u8, samples: usize) -> Self {
        let Some((node, place)) = usize::from(source).checked_sub(1).and_then(|k| model.node(k)) else {
            let header = model.header();
            let slots = before.get(counters(header)..).unwrap_or_default();
            let slot_words = packed_words(header.inputs.into());
            return Self { slots, slot_words, count: samples, first: 0, backward: false };
        };
        let parts = Parts::new(before, place);
        let first = match (node.layer.is_recurrent(), node.run_steps()) {
            (false, _) => 0,
            (true, 1) => current(node, parts.memory),
            (true, _) if node.walks_backward() => parts.yielded,
            (true, _) => 1,
        };
        let (slots, slot_words) = (parts.slots, place.slot_words);
        Self { slots, slot_words, count: parts.yielded, first, backward: node.walks_backward() }
    }

    /// The vector of step `t` in time.
    #[inline]
    pub(super) fn at(&self, t: usize) -> &'s [i32] {
        let slot = if self.backward { self.first.wrapping_sub(t) } else { self.first.wrapping_add(t) };
        let start = slot.wrapping_mul(self.slot_words);
        self.slots.get(start..).and_then(|s| s.get(..self.slot_words)).unwrap_or_default()
    }
}

/// Words of a windowed model's counters.
pub(super) fn counters(header: &Header) -> usize {
    if header.is_windowed() { 2 } else { 0 }
}

/// The slot of a recurrent layer's current output, from what it carries; within its slots whatever was restored.
#[inline]
fn current(node: &Node, memory: &[i32]) -> usize {
    memory.first().map_or(0, |&slot| (slot as usize).min(node.run_steps()))
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
    for (node, place) in model.nodes() {
        let step = Step { node, place, records: model.records().get(place.records..).unwrap_or_default() };
        if let Layer::More(more) = &node.layer
            && !more.is_recurrent()
        {
            others::run(more, &step, model, words, samples);
            continue;
        }
        let Some((before, mut own)) = words.split_at_mut_checked(place.state) else { return };
        let source = Sequence::new(model, before, node.from, samples);
        let Some(yielded) = take_mut(&mut own, 1).first_mut() else { return };
        let memory = take_mut(&mut own, place.memory_words);
        let slots = take_mut(&mut own, place.slots * place.slot_words);
        let ends = cfg!(feature = "layers") && node.last;
        if let Layer::Dense { .. } = node.layer {
            // A layer without memory that yields its last step alone need not take the others.
            let first = step.first(source.count);
            for k in first..source.count {
                step.dense(source.at(k), slots.get_mut((k - first) * place.slot_words..).unwrap_or_default());
            }
        } else {
            for k in 0..source.count {
                let t = if node.walks_backward() { source.count - 1 - k } else { k };
                step.recur(source.at(t), memory, slots);
            }
        }
        *yielded = if ends { source.count.min(1) } else { source.count } as i32;
    }
}

/// What a step of a node reads from the blob.
pub(super) struct Step<'a> {
    pub(super) node: &'a Node,
    pub(super) place: &'a Place,
    pub(super) records: &'a [i32],
}

impl Step<'_> {
    /// The first of `count` steps that a layer without memory takes: the last one, if it yields no other.
    #[inline]
    pub(super) fn first(&self, count: usize) -> usize {
        if cfg!(feature = "layers") && self.node.last { count.saturating_sub(1) } else { 0 }
    }

    /// One step of a recurrent layer: from its current slot to the next.
    #[inline] // a call more would need its frame beside that of `run`
    fn recur(&self, x: &[i32], mut memory: &mut [i32], slots: &mut [i32]) {
        let slot_words = self.place.slot_words;
        let slot = current(self.node, memory);
        let next = if self.node.run_steps() == 1 { 1 - slot } else { (slot + 1).min(self.node.run_steps()) };
        let Some((low, high)) = slots.split_at_mut_checked(slot.max(next) * slot_words) else { return };
        let low = low.get_mut(slot.min(next) * slot_words..).unwrap_or_default();
        let (h, out) = if slot < next { (low, high) } else { (high, low) };
        let h = fours(h.get(..slot_words).unwrap_or_default());
        let out = out.get_mut(..slot_words).unwrap_or_default();
        if let Some(slot) = take_mut(&mut memory, 1).first_mut() {
            *slot = next as i32;
        }
        match &self.node.layer {
            &Layer::Lstm { units, weights, cell_frac, z_shift, .. } => {
                let cell = memory.get_mut(..units.into()).unwrap_or_default();
                let lstm = Lstm { records: self.records, weights, cell_frac, z_shift };
                lstm.step(fours(x), h, cell, halves_mut(out));
            }
            Layer::More(more) => others::recur(more, self, [fours(x), h], memory, out),
            Layer::Dense { .. } => {}
        }
    }

    /// One step of a dense layer.
    #[inline(never)]
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
}

/// Puts every node into its initial state.
#[inline(never)]
pub(super) fn reset(model: &Model, words: &mut [i32]) {
    words.get_mut(model.header().sample_words()..).unwrap_or_default().fill(0);
    let all = model.records();
    for (node, place) in model.nodes() {
        let extra = all.get(place.records + place.record_words..).and_then(|e| e.get(..place.extra_words));
        let extra = extra.unwrap_or_default();
        let memory = words.get_mut(place.state + 1..).unwrap_or_default();
        let (state, outputs) = memory.split_at_mut_checked(place.memory_words).unwrap_or_default();
        if node.layer.has_initial() {
            // The last words behind the records: the 32-bit state, then the hidden state.
            let cells = node.layer.shape(place.inputs).cells;
            let start = extra.len().saturating_sub(cells + place.slot_words);
            let (c, h) = extra.get(start..).and_then(|e| e.split_at_checked(cells)).unwrap_or_default();
            state.iter_mut().skip(1).zip(c).for_each(|(slot, v)| *slot = *v);
            outputs.iter_mut().zip(h).for_each(|(slot, v)| *slot = *v);
        } else if let Layer::More(more) = &node.layer {
            others::reset(more, place, extra, state);
        }
    }
}

/// A node's output at step `t` of the latest run, or its latest, and how many there are.
#[inline]
pub(super) fn output<'s>(node: &Node, place: &Place, words: &'s [i32], t: Option<usize>) -> Option<(&'s [i32], usize)> {
    let parts = Parts::new(words, place);
    let t = t.unwrap_or(parts.yielded.min(node.run_steps()).saturating_sub(1));
    let slot = match (node.layer.is_recurrent(), node.run_steps()) {
        (false, _) => t,
        (true, 1) => current(node, parts.memory),
        (true, _) if node.walks_backward() => parts.yielded.checked_sub(t)?,
        (true, _) => t + 1,
    };
    Some((parts.slots.get(slot * place.slot_words..)?.get(..place.slot_words)?, parts.yielded))
}

/// The 32-bit state and the hidden state of node `k`, if it is recurrent.
pub(super) fn state<'s>(model: &Model, words: &'s [i32], k: usize) -> Option<(&'s [i32], &'s [i16])> {
    let (node, place) = model.node(k).filter(|(node, _)| node.layer.is_recurrent())?;
    let parts = Parts::new(words, place);
    let hidden = parts.slots.get(current(node, parts.memory) * place.slot_words..)?.get(..place.slot_words)?;
    Some((
        parts.memory.get(1..)?.get(..node.layer.shape(place.inputs).cells)?,
        halves(hidden).get(..node.layer.width())?,
    ))
}
