//! Where each node's buffers stand in the state, in one place, and the walk through them.
//!
//! The words are: of a windowed model the number of samples seen and of those kept; the samples; then node by node how many
//! outputs it yielded in the latest run, what it carries from step to step, and its outputs. A streaming model runs over one
//! sample at a time, a windowed one over a window's; otherwise they are alike.

use super::stream::Stream;
use super::{Profile, others};
use crate::Model;
use crate::kernel::Four;
use crate::layer::dense::{Dense, Outputs};
use crate::layer::lstm::Lstm;
use crate::model::header::{Node, stream_of};
use crate::model::layer::Layer;
use crate::model::{Order, Place};

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
        let stream = stream_of(source);
        let Some(place) = usize::from(source).checked_sub(1).and_then(|k| model.place(k)).filter(|_| stream.is_none())
        else {
            let (start, slot_words) = model.samples_of(stream.unwrap_or(0));
            let slots = before.get(start..).unwrap_or_default();
            return Self { slots, slot_words, count: samples, first: 0, backward: false };
        };
        let parts = Parts::new(before, place);
        let (first, backward) = match place.order {
            Order::Plain => (0, false),
            Order::Turns => (current(place, parts.memory), false),
            #[cfg(feature = "layers")]
            Order::Forward => (1, false),
            #[cfg(feature = "layers")]
            Order::Backward => (parts.yielded, true),
        };
        Self { slots: parts.slots, slot_words: place.slot_words, count: parts.yielded, first, backward }
    }

    /// The vector of step `t` in time.
    #[inline]
    pub(super) fn at(&self, t: usize) -> &'s [i32] {
        let slot = if self.backward { self.first.wrapping_sub(t) } else { self.first.wrapping_add(t) };
        let start = slot.wrapping_mul(self.slot_words);
        self.slots.get(start..).and_then(|s| s.get(..self.slot_words)).unwrap_or_default()
    }
}

/// The slot of a recurrent layer's current output, from what it carries; within its slots whatever was restored.
#[inline]
pub(super) fn current(place: &Place, memory: &[i32]) -> usize {
    let slot = memory.first().copied().unwrap_or(0);
    match place.order {
        Order::Turns => usize::from(slot != 0),
        _ => (slot as usize).min(place.slots.saturating_sub(1)),
    }
}

/// A node's parts of the state, to write to.
pub(super) struct Own<'s> {
    /// How many outputs it yielded in the latest run.
    pub(super) yielded: &'s mut i32,
    pub(super) memory: &'s mut [i32],
    pub(super) slots: &'s mut [i32],
}

/// A node's parts of the state.
#[derive(Clone, Copy)]
pub(super) struct Parts<'s> {
    pub(super) yielded: usize,
    pub(super) memory: &'s [i32],
    pub(super) slots: &'s [i32],
}

impl<'s> Parts<'s> {
    #[inline]
    pub(super) fn new(words: &'s [i32], place: &Place) -> Self {
        let mut own = words.get(place.state..).unwrap_or_default();
        let yielded = take(&mut own, 1).first().map_or(0, |&n| n as usize);
        let memory = take(&mut own, place.memory_words);
        Self { yielded, memory, slots: take(&mut own, place.slots * place.slot_words) }
    }
}

/// Runs all nodes of a stream over `samples` samples.
pub(super) fn run(model: &Model, words: &mut [i32], stream: Stream, samples: usize, profile: &mut impl Profile) {
    for (k, (node, place)) in model.nodes().enumerate() {
        if place.stream() != stream.number() && !others::remembers(&node.layer, model, stream.number()) {
            continue;
        }
        profile.begin(k);
        let step = Step { node, place, records: model.words_from(place.records) };
        match (place.order, &node.layer) {
            #[cfg(feature = "layers")]
            (Order::Plain, Layer::More(crate::model::more::More::Attention(kind))) => {
                others::attend(kind, &step, model, words, [stream.number(), samples]);
            }
            #[cfg(feature = "layers")]
            (Order::Plain, Layer::More(more)) => others::run(more, &step, model, words, samples),
            (Order::Plain, _) => step.run_dense(model, words, samples),
            _ => step.run_recurrent(model, words, samples),
        }
        profile.end(k);
    }
}

/// What a step of a node reads from the blob.
pub(super) struct Step<'a> {
    pub(super) node: &'a Node,
    pub(super) place: &'a Place,
    pub(super) records: &'a [i32],
}

impl Step<'_> {
    /// The node's own words, and those before them.
    #[inline]
    pub(super) fn own<'s>(&self, words: &'s mut [i32]) -> Option<(&'s [i32], Own<'s>)> {
        let place = self.place;
        let (before, mut own) = words.split_at_mut_checked(place.state)?;
        let yielded = take_mut(&mut own, 1).first_mut()?;
        let memory = take_mut(&mut own, place.memory_words);
        let slots = take_mut(&mut own, place.slots * place.slot_words);
        Some((before, Own { yielded, memory, slots }))
    }

    /// Whether the layer yields the last step alone.
    #[inline]
    pub(super) fn ends(&self) -> bool {
        cfg!(feature = "layers") && self.node.last
    }

    /// The first of `count` steps that a layer without memory takes: the last one, if it yields no other.
    #[inline]
    pub(super) fn first(&self, count: usize) -> usize {
        if self.ends() { count.saturating_sub(1) } else { 0 }
    }

    /// All steps of a recurrent layer.
    #[inline]
    fn run_recurrent(&self, model: &Model, words: &mut [i32], samples: usize) {
        let Some((before, own)) = self.own(words) else { return };
        let source = Sequence::new(model, before, self.node.from, samples);
        for k in 0..source.count {
            #[cfg(feature = "layers")]
            let k = if self.node.backward { source.count - 1 - k } else { k };
            self.recur(source.at(k), own.memory, own.slots);
        }
        *own.yielded = if self.ends() { source.count.min(1) } else { source.count } as i32;
    }

    /// All steps of a dense layer.
    #[inline(never)]
    fn run_dense(&self, model: &Model, words: &mut [i32], samples: usize) {
        let Some((before, own)) = self.own(words) else { return };
        let source = Sequence::new(model, before, self.node.from, samples);
        let first = self.first(source.count);
        for k in first..source.count {
            self.dense(source.at(k), own.slots.get_mut((k - first) * self.place.slot_words..).unwrap_or_default());
        }
        *own.yielded = (source.count - first) as i32;
    }

    /// One step of a recurrent layer: from its current slot to the next.
    #[inline(never)]
    fn recur(&self, x: &[i32], mut memory: &mut [i32], slots: &mut [i32]) {
        let slot_words = self.place.slot_words;
        let slot = current(self.place, memory);
        let (start, next) = match self.place.order {
            Order::Turns => (0, 1 - slot),
            // Whatever was restored, there is a slot behind this one.
            _ => (slot.min(self.place.slots.saturating_sub(2)) * slot_words, slot + 1),
        };
        let pair = slots.get_mut(start..).unwrap_or_default();
        let Some((h, out)) = pair.split_at_mut_checked(slot_words) else { return };
        let (h, out) = if next == 0 { (out, h) } else { (h, out) };
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
    #[inline]
    fn dense(&self, x: &[i32], out: &mut [i32]) {
        let Layer::Dense { weights, activation, z_shift, .. } = self.node.layer else { return };
        let dense = Dense { records: self.records, weights, activation, z_shift };
        let out = out.get_mut(..self.place.slot_words).unwrap_or_default();
        let out = if self.place.wide {
            Outputs::Wide(out.as_chunks_mut().0)
        } else {
            Outputs::Narrow(halves_mut(out).as_chunks_mut().0)
        };
        dense.step(fours(x), out);
    }
}

/// Puts every node into its initial state.
#[inline(never)]
pub(super) fn reset(model: &Model, words: &mut [i32]) {
    let first = model.node(0).map_or(0, |(_, place)| place.state);
    words.get_mut(first..).unwrap_or_default().fill(0);
    begin(model, words, |_, _| true);
}

/// Clears what a stream left: the states of the nodes that run on it, and memories of it.
#[cfg(feature = "layers")]
#[inline(never)]
pub(super) fn reset_stream(model: &Model, words: &mut [i32], stream: usize) {
    let is_mine = |node: &Node, place: &Place| match node.layer.second().filter(|_| node.layer.remembers()) {
        Some(memory) => model.stream(memory) == stream,
        None => place.stream() == stream,
    };
    let (start, size) = model.samples_of(stream);
    words.get_mut(start..).and_then(|w| w.get_mut(..size)).unwrap_or_default().fill(0);
    for (node, place) in model.nodes() {
        let mine = words.get_mut(place.state..).and_then(|w| w.get_mut(..place.state_words())).unwrap_or_default();
        if is_mine(node, place) {
            mine.fill(0);
        } else if place.stream() == stream {
            mine.iter_mut().take(1).for_each(|yielded| *yielded = 0);
        }
    }
    begin(model, words, is_mine);
}

/// Puts nodes whose words are zeros into their initial state.
fn begin(model: &Model, words: &mut [i32], which: impl Fn(&Node, &Place) -> bool) {
    for (node, place) in model.nodes().filter(|(node, place)| which(node, place)) {
        let extra = model.words_from(place.records + place.record_words).get(..place.extra_words);
        let extra = extra.unwrap_or_default();
        let memory = words.get_mut(place.state + 1..).unwrap_or_default();
        let (state, outputs) = memory.split_at_mut_checked(place.memory_words).unwrap_or_default();
        if node.layer.has_initial() {
            // The last words behind the records: the 32-bit state, then the hidden state.
            let cells = node.layer.cells();
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
pub(super) fn output<'s>(place: &Place, words: &'s [i32], t: Option<usize>) -> Option<(&'s [i32], usize)> {
    let parts = Parts::new(words, place);
    if t.is_some_and(|t| t >= parts.yielded) {
        return None;
    }
    let last = || parts.yielded.saturating_sub(1);
    let slot = match place.order {
        Order::Plain => t.unwrap_or_else(last),
        Order::Turns => current(place, parts.memory),
        #[cfg(feature = "layers")]
        Order::Forward => t.unwrap_or_else(last).checked_add(1)?,
        #[cfg(feature = "layers")]
        Order::Backward => parts.yielded.checked_sub(t.unwrap_or_else(last))?,
    };
    // What was restored may yield any number.
    let start = slot.wrapping_mul(place.slot_words);
    Some((parts.slots.get(start..)?.get(..place.slot_words)?, parts.yielded))
}

/// The 32-bit state and the hidden state of node `k`, if it is recurrent.
pub(super) fn state<'s>(model: &Model, words: &'s [i32], k: usize) -> Option<(&'s [i32], &'s [i16])> {
    let (node, place) = model.node(k).filter(|(node, _)| node.layer.is_recurrent())?;
    let parts = Parts::new(words, place);
    let hidden = parts.slots.get(current(place, parts.memory) * place.slot_words..)?.get(..place.slot_words)?;
    Some((parts.memory.get(1..)?.get(..node.layer.cells())?, halves(hidden).get(..node.layer.width())?))
}
