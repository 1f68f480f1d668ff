//! The walk through the layers that only some models have, out of the way of LSTM and dense.

use super::walk::{Sequence, Step, fours, halves, halves_mut, take, take_mut};
use crate::Model;
use crate::kernel::Four;
use crate::layer::dense::{Dense, Outputs};
use crate::layer::gru::Gru;
use crate::layer::lstm_variants::LstmVariant;
use crate::layer::rnn::Rnn;
use crate::layer::sums::{Apart, Joint, Sums};
use crate::layer::window::Window;
use crate::layer::{embedding, norm};
use crate::model::Place;
use crate::model::header::packed_words;
use crate::model::more::{More, reach, row_words};

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

/// The same with what prepares the vectors for the matrices as they stand.
#[inline(always)]
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
    // A window must see every step, whichever of its outputs go on.
    for t in if more.is_window() { 0 } else { step.first(steps) }..steps {
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
            More::Norm { width, shift, epsilon, .. } => {
                let x = halves(x).get(..width.into()).unwrap_or_default();
                let gains = step.records.get(..2 * usize::from(width)).unwrap_or_default();
                norm::normalize(x, epsilon, gains, shift, out);
            }
            More::Window { taps, dilation, stride, .. } => {
                let Some(([wait, position], ring)) = own.memory.split_first_chunk_mut() else { break };
                let mut window = Window { wait, position, ring, place_words: packed_words(inputs) };
                if !window.step(x, inputs, [taps, dilation, stride], out) {
                    continue;
                }
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
