//! The walk through the layers that only some models have, out of the way of LSTM and dense.

use super::trace::Before;
use super::walk::{Sequence, Step, fours, halves, halves_mut, take, take_mut};
use crate::Model;
use crate::kernel::Four;
use crate::layer::attended::Attended;
use crate::layer::attention::{Attention, Memory};
use crate::layer::dense::{Dense, Outputs};
use crate::layer::gru::Gru;
use crate::layer::lstm_variants::LstmVariant;
use crate::layer::rnn::Rnn;
use crate::layer::sums::{Apart, Joint, Sums};
use crate::layer::window::Window;
use crate::layer::{embedding, join, norm, position};
use crate::model::Place;
use crate::model::header::packed_words;
use crate::model::layer::Layer;
use crate::model::more::{Attention as Kind, More, reach, row_words};
use fixed::types::I1F15;

/// One step of a recurrent layer from its input and hidden state to the next hidden state in `out`; `memory` begins with the
/// 32-bit state.
#[inline(never)]
pub(super) fn recur(more: &More, step: &Step, vectors: [&[Four]; 2], memory: &mut [i32], out: &mut [i32]) {
    let (More::Gru { formats, .. } | More::Rnn { formats, .. } | More::LstmVariant { formats, .. }) = *more else {
        return;
    };
    if formats.is_joint() {
        recur_with(more, step, vectors, memory, out, |v| Joint::new(formats, v));
    } else {
        recur_with(more, step, vectors, memory, out, |v| Apart::new(formats, v));
    }
}

/// The same with what prepares the vectors for the matrices as they stand. Out of line, so that neither form pays for the stack
/// of the other.
#[inline(never)]
fn recur_with<'v, S: Sums + 'v>(
    more: &More,
    step: &Step,
    [x, h]: [&'v [Four]; 2],
    mut memory: &'v mut [i32],
    out: &mut [i32],
    prepare: impl Fn([&'v [Four]; 2]) -> S,
) {
    let cell = take_mut(&mut memory, more.cells());
    let mut records = step.records;
    let sections = step.place.sections.map(|words| take(&mut records, words as usize));
    let [wx, uh, projection_records, ..] = sections;
    let sums = prepare([x, h]);
    match *more {
        More::Gru { z_shift, hard, reset_after, .. } => {
            let gru = Gru { sections, z_shift, hard };
            if reset_after {
                gru.step_after(&sums, cell, halves_mut(out));
            } else {
                let reset = memory.as_chunks_mut().0;
                gru.reset(&sums, h, reset);
                gru.step_before([&sums, &prepare([x, reset])], cell, halves_mut(out));
            }
        }
        More::Rnn { formats, activation, z_shift, .. } => {
            let dense = Dense { records: &[], weights: formats.w, activation, z_shift };
            let rnn = Rnn { sections: [wx, uh], dense };
            rnn.step(&sums, Outputs::Narrow(halves_mut(out).as_chunks_mut().0));
        }
        More::LstmVariant { units, formats, cell_frac, z_shift, hard, peephole, projection, .. } => {
            let lstm = LstmVariant {
                sections: [wx, uh],
                projection: projection_records,
                peepholes: if peephole.is_some() { take(&mut records, 3 * usize::from(units)) } else { &[] },
                weights: formats.w,
                cell_frac,
                z_shift,
                hard,
                peephole_frac: peephole.unwrap_or(0),
            };
            if projection == 0 {
                lstm.step(&sums, cell, halves_mut(out));
            } else {
                lstm.step(&sums, cell, halves_mut(memory));
                lstm.project(fours(memory), halves_mut(out).as_chunks_mut().0);
            }
        }
        _ => {}
    }
}

/// All steps of a layer without a hidden state.
#[inline(never)]
pub(super) fn run(more: &More, step: &Step, model: &Model, words: &mut [i32], samples: usize) {
    let (inputs, slot_words) = (step.place.inputs, step.place.slot_words);
    let Some((before, own)) = step.own(words) else { return };
    let source = Sequence::new(model, before, step.node.from, samples);
    let second = more.second().map_or(source, |second| Sequence::new(model, before, second, samples));
    let mut yielded = 0;
    // Of two sources one may have waited.
    let steps = source.count.min(second.count);
    for t in if more.sees_every_step() { 0 } else { step.first(steps) }..steps {
        let x = source.at(t);
        let slot = if step.node.last { 0 } else { yielded };
        let out = own.slots.get_mut(slot * slot_words..).and_then(|s| s.get_mut(..slot_words)).unwrap_or_default();
        let out = halves_mut(out);
        match *more {
            More::Embedding { rows, width, weights, .. } => {
                let index = halves(x).first().copied().unwrap_or(0);
                let out = out.get_mut(..width.into()).unwrap_or_default();
                embedding::look_up(step.records, weights, row_words(width.into(), weights), rows, index, out);
            }
            More::Norm { width, shift, epsilon, rms, .. } => {
                let x = halves(x).get(..width.into()).unwrap_or_default();
                let gains = step.records.get(..2 * usize::from(width)).unwrap_or_default();
                norm::normalize(x, epsilon, rms, gains, shift, out);
            }
            More::Window { taps, dilation, stride, .. } => {
                let Some(([wait, position], ring)) = own.memory.split_first_chunk_mut() else { break };
                let mut window = Window { wait, position, ring, place_words: packed_words(inputs) };
                if !window.step(x, inputs, [taps, dilation, stride], out) {
                    continue;
                }
            }
            More::Join { product, shift, .. } => {
                let Some(&[ma, mb]) = step.records.first_chunk::<2>() else { break };
                join::join(halves(x), halves(second.at(t)), product, [ma, mb], shift, out);
            }
            More::Position { rows, shift, .. } => {
                let (Some(count), Some((&multiplier, table))) = (own.memory.first_mut(), step.records.split_first())
                else {
                    break;
                };
                let row = (*count).min(i32::from(rows).saturating_sub(1)).max(0);
                *count = row.saturating_add(1);
                let row = table.get(row as usize * slot_words..).unwrap_or_default();
                position::add(halves(x), halves(row), multiplier, shift, out);
            }
            More::Concat { width, .. } => {
                let first = halves(x).get(..inputs).unwrap_or_default();
                let both = first.iter().chain(halves(second.at(t)));
                out.iter_mut().take(width.into()).zip(both).for_each(|(out, v)| *out = *v);
            }
            _ => {}
        }
        yielded = slot + 1;
    }
    *own.yielded = yielded as i32;
}

/// Whether a layer that runs on another stream takes in memories of this one.
pub(super) fn remembers(layer: &Layer, model: &Model, stream: usize) -> bool {
    matches!(layer, Layer::More(More::Attention(a)) if model.stream(a.memory) == stream)
}

/// Attention: takes in the memories that are new, and answers the queries that are; where both are, what is causal by turns.
#[inline(never)]
pub(super) fn attend(kind: &Kind, step: &Step, model: &Model, words: &mut [i32], [stream, samples]: [usize; 2]) {
    let slot_words = step.place.slot_words;
    let Some((before, own)) = step.own(words) else { return };
    let mut records = step.records;
    let [q, k, v, o, ..] = step.place.sections.map(|words| take(&mut records, words as usize));
    let extra = kind.extra_words().map(|words| take(&mut records, words));
    let [keys, values] = kind.sources(step.place.second);
    let widths = [step.place.inputs, keys, values];
    let attention = Attention { kind, widths, sections: [q, k, v, o], extra };
    let mut rest = own.memory;
    let [counters, ring, vector, context, scores, weights] =
        kind.memory_words().map(|words| take_mut(&mut rest, words));
    let mut memory = Memory { counters, ring, vector, context, scores, weights };
    let of = |source: u8, runs: bool| {
        let sequence = Sequence::new(model, before, source, samples);
        (sequence, if runs { sequence.count } else { 0 })
    };
    let (queries, asked) = of(step.node.from, step.place.stream() == stream);
    let (memories, new) = of(kind.memory, model.stream(kind.memory) == stream);
    let mut taken = 0;
    let mut remember = |until: usize, memory: &mut Memory| {
        while taken < until.min(new) {
            let both = memories.at(taken);
            let split = both.split_at_checked(usize::from(kind.split) / 2).filter(|_| kind.split > 0);
            attention.remember(split.map_or([both; 2], |(k, v)| [k, v]), memory);
            taken += 1;
        }
    };
    let mut yielded = 0;
    for t in 0..asked {
        remember(if kind.causal { t + 1 } else { new }, &mut memory);
        if t < step.first(asked) {
            continue;
        }
        let out = own.slots.get_mut(yielded * slot_words..).and_then(|s| s.get_mut(..slot_words)).unwrap_or_default();
        attention.ask(queries.at(t), &mut memory, halves_mut(out));
        yielded += 1;
    }
    if step.place.stream() == stream {
        *own.yielded = yielded as i32;
    }
    remember(new, &mut memory);
}

/// Puts a layer without a hidden state into its initial state. `extra` are the words behind its records.
pub(super) fn reset(more: &More, place: &Place, extra: &[i32], memory: &mut [i32]) {
    if let More::Window { taps, dilation, causal, .. } = *more {
        let reach = reach(taps, dilation);
        let Some((wait, rest)) = memory.split_first_mut() else { return };
        *wait = if causal { 1 } else { reach as i32 };
        let ring = rest.get_mut(1..).unwrap_or_default();
        for slot in ring.chunks_exact_mut(packed_words(place.inputs).max(1)).take(reach) {
            slot.iter_mut().zip(extra).for_each(|(slot, v)| *slot = *v);
        }
    }
}

/// The gates of a recurrent layer's latest step; says whether it has some.
pub(super) fn gates(more: &More, place: &Place, before: &Before, visit: impl FnMut(usize, &[I1F15])) -> bool {
    match *more {
        More::Gru { formats, .. } | More::LstmVariant { formats, peephole: None, .. } => {
            if formats.is_joint() {
                gates_with(more, place, before, visit, |v| Joint::new(formats, v));
            } else {
                gates_with(more, place, before, visit, |v| Apart::new(formats, v));
            }
            true
        }
        _ => false,
    }
}

fn gates_with<'v, S: Sums + 'v>(
    more: &More,
    place: &Place,
    before: &Before<'v>,
    mut visit: impl FnMut(usize, &[I1F15]),
    prepare: impl Fn([&'v [Four]; 2]) -> S,
) {
    let mut records = before.records;
    let sections = place.sections.map(|words| take(&mut records, words as usize));
    let sums = prepare([before.x, before.h]);
    let visit = |unit, gates: &[i16]| visit(unit, bytemuck::cast_slice(gates));
    match *more {
        More::Gru { units, z_shift, hard, reset_after, .. } => {
            let gru = Gru { sections, z_shift, hard };
            // Behind the 32-bit state stands the reset hidden state.
            let mut memory = before.memory;
            take(&mut memory, more.cells());
            let candidates = if reset_after { before.h } else { fours(memory) };
            gru.gates([&sums, &prepare([before.x, candidates])], reset_after, units.into(), visit);
        }
        More::LstmVariant { units, formats, cell_frac, z_shift, hard, .. } => {
            let [wx, uh, ..] = sections;
            let lstm = LstmVariant {
                sections: [wx, uh],
                projection: &[],
                peepholes: &[],
                weights: formats.w,
                cell_frac,
                z_shift,
                hard,
                peephole_frac: 0,
            };
            lstm.gates(&sums, units.into(), visit);
        }
        _ => {}
    }
}

/// The weights of one head for the query that stands in the layer's scratch, memory by memory with its age.
pub(super) fn weights<'s>(
    kind: &'s Kind,
    place: &Place,
    model: &'s Model,
    memory: &'s [i32],
    head: usize,
) -> impl Iterator<Item = (usize, u16)> + 's {
    let mut extra = model.words_from(place.records + place.record_words);
    let mut memory = memory;
    let extra = kind.extra_words().map(|words| take(&mut extra, words));
    let [counters, ring, vector, ..] = kind.memory_words().map(|words| take(&mut memory, words));
    let attention = Attention { kind, widths: [0; 3], sections: [&[]; 4], extra };
    Attended::new(attention, [counters, ring, vector], head).weights()
}
