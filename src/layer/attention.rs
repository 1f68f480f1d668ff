//! Attention of a query over a ring of memories: dot products or additive scores, several heads, heads that share keys,
//! rotary positions, something added by age.
//!
//! Bahdanau et al. 2015, Luong et al. 2015, Vaswani et al. 2017, Su et al. 2021.
//!
//! | quantity | format |
//! | --- | --- |
//! | queries, keys, values, context | i16 in units of their own, saturated to `±32767`; of additive scores `2^-11` |
//! | score | `mul_high(shift_right(q k, 8), m) << z_shift`, Q16.16 in powers of two, plus what is added by age |
//! | weight before its division by their sum | `2^-(largest - score)` in Q0.15: [`exp2_neg`] |
//! | context | `sum of p v`, exact in 64 bits, rounded to `2^-10` of that, times a reciprocal of `sum of p` of 31 bits, rounded |
//!
//! The ring holds keys and values as the kernels take 16-bit weights: keys with four memories as the rows of a block, values
//! with four memories as its columns. A step is a product of the keys with the query, and of the values with the weights.

use super::dense::{Dense, Outputs};
use crate::kernel::{self, COLUMNS, Four, ROWS, Vector, mul_high};
use crate::model::header::{Activation, Weights};
use crate::model::more::Attention as Kind;
use crate::numeric::activation::tanh_raw;
use crate::numeric::exp2::exp2_neg;
use crate::numeric::rounding::saturate_q15;
use crate::numeric::turn::{cosine, sine};

/// The head of the context's products: nothing added, a quarter of the sums.
const QUARTERS: [i32; 2 * ROWS] = [0, 0, 0, 0, 1 << 30, 1 << 30, 1 << 30, 1 << 30];
/// Words of a block of 16-bit values.
pub(super) const BLOCK: usize = ROWS * COLUMNS / 2;

/// Attention of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attention<'a> {
    pub(crate) kind: &'a Kind,
    /// Widths of the sources of query, keys and values.
    pub(crate) widths: [usize; 3],
    /// The matrices of query, keys, values and output.
    pub(crate) sections: [&'a [i32]; 4],
    /// The head of the scores' products, the angles, what is added by age, the weights of additive scores.
    pub(crate) extra: [&'a [i32]; 4],
}

/// What it carries from step to step, and scratch: see [`Kind::memory_words`].
#[derive(Debug)]
pub(crate) struct Memory<'s> {
    pub(crate) counters: &'s mut [i32],
    pub(crate) ring: &'s mut [i32],
    pub(crate) vector: &'s mut [i32],
    pub(crate) context: &'s mut [i32],
    pub(crate) scores: &'s mut [i32],
    pub(crate) weights: &'s mut [i32],
}

impl Memory<'_> {
    fn counters(&self, slots: usize) -> (u32, usize, usize) {
        counters(self.counters, slots)
    }
}

/// Memories so far, how many there are, and the next one's slot, within their bounds whatever was restored.
pub(super) fn counters(words: &[i32], slots: usize) -> (u32, usize, usize) {
    let at = |k: usize| words.get(k).copied().unwrap_or(0);
    (at(0) as u32, (at(1).max(0) as usize).min(slots), (at(2).max(0) as usize).min(slots.saturating_sub(1)))
}

impl Attention<'_> {
    /// Takes in a memory: the sources of its key and of its value.
    pub(crate) fn remember(&self, [keys, values]: [&[i32]; 2], memory: &mut Memory) {
        let kind = self.kind;
        let slots = usize::from(kind.slots);
        let (seen, filled, slot) = memory.counters(slots);
        let (key, value) = (usize::from(kind.key), usize::from(kind.value));
        let [key_words, value_words] = kind.ring_words();
        self.project(1, keys, memory.vector);
        self.turn(memory.vector, kind.kv_heads, seen);
        let heads = || (0..usize::from(kind.kv_heads)).map(|head| head * (key_words + value_words));
        let mine: &[i16] = bytemuck::cast_slice(memory.vector);
        for (start, head) in heads().zip(mine.chunks(key.max(1))) {
            // Row `slot % 4` of the blocks of its four.
            let ring = memory.ring.get_mut(start..start + key_words).unwrap_or_default();
            let row = ring.get_mut(slot / ROWS * (key / COLUMNS) * BLOCK..).unwrap_or_default();
            for (block, four) in row.as_chunks_mut::<BLOCK>().0.iter_mut().zip(head.as_chunks::<COLUMNS>().0) {
                let block: &mut [[i16; COLUMNS]] = bytemuck::cast_slice_mut(block);
                if let Some(row) = block.get_mut(slot % ROWS) {
                    *row = *four;
                }
            }
        }
        self.project(2, values, memory.vector);
        let mine: &[i16] = bytemuck::cast_slice(memory.vector);
        for (start, head) in heads().zip(mine.chunks(value.max(1))) {
            // Column `slot % 4` of the slot's block in each four rows.
            let ring = memory.ring.get_mut(start + key_words..start + key_words + value_words).unwrap_or_default();
            let rows = ring.chunks_mut((kind.padded_slots() / COLUMNS * BLOCK).max(1));
            for (row, four) in rows.zip(head.as_chunks::<ROWS>().0) {
                let block = row.get_mut(slot / COLUMNS * BLOCK..).and_then(|r| r.get_mut(..BLOCK)).unwrap_or_default();
                let block: &mut [[i16; COLUMNS]] = bytemuck::cast_slice_mut(block);
                for (row, value) in block.iter_mut().zip(four) {
                    if let Some(place) = row.get_mut(slot % COLUMNS) {
                        *place = *value;
                    }
                }
            }
        }
        let next = if slot + 1 == slots { 0 } else { slot + 1 };
        let counters = [seen.wrapping_add(1) as i32, (filled + 1).min(slots) as i32, next as i32];
        memory.counters.iter_mut().zip(counters).for_each(|(word, v)| *word = v);
    }

    /// Answers a query from the memories that there are; before the first, the context is zero. Out of line, for its frame.
    #[inline(never)]
    pub(crate) fn ask(&self, x: &[i32], memory: &mut Memory, out: &mut [i16]) {
        let kind = self.kind;
        let (seen, filled, next) = memory.counters(kind.slots.into());
        self.project(0, x, memory.vector);
        self.turn(memory.vector, kind.heads, seen.wrapping_sub(1));
        let (key, value) = (usize::from(kind.key), usize::from(kind.value));
        let [key_words, value_words] = kind.ring_words();
        memory.context.fill(0);
        let query: &[[i32; COLUMNS / 2]] = memory.vector.as_chunks().0;
        let context = memory.context.chunks_mut((value / 2).max(1));
        for (head, (query, context)) in
            query.chunks((key / COLUMNS).max(1)).zip(context).take(kind.heads.into()).enumerate()
        {
            let shared = head * usize::from(kind.kv_heads) / usize::from(kind.heads.max(1));
            let ring = memory.ring.get(shared * (key_words + value_words)..).unwrap_or_default();
            let (keys, values) = ring.split_at_checked(key_words).unwrap_or_default();
            let values = values.get(..value_words).unwrap_or_default();
            self.score(query, keys, filled, memory.scores);
            let ages = self.extra[2].get(head * usize::from(kind.slots)..).unwrap_or_default();
            let scores = memory.scores.get_mut(..filled).unwrap_or_default();
            add_by_age(scores, ages, next);
            let weights: &mut [i16] = bytemuck::cast_slice_mut(memory.weights);
            let sum = exponentials(scores, weights);
            let Some(reciprocal) = (1u64 << 46).checked_div(sum) else { continue };
            let weights = [Vector::new(Weights::W16, memory.weights.as_chunks().0)];
            let [vector] = &weights;
            let fours: &mut [[i16; ROWS]] = bytemuck::cast_slice_mut::<i32, i16>(context).as_chunks_mut().0;
            let products = kernel::products(&QUARTERS, values, value / ROWS, vector);
            for (four, sums) in fours.iter_mut().zip(products) {
                *four = sums.map(|sum| {
                    // At most 2^29 times 2^31.
                    let mean = (i64::from(sum) * reciprocal as i64 + (1 << 35)) >> 36;
                    saturate_q15(mean.clamp(-32767, 32767) as i32)
                });
            }
        }
        self.finish(memory.context, out);
    }

    /// A part through its matrix, or as it is, into the front of `out`, with zeros behind.
    fn project(&self, part: u8, x: &[i32], out: &mut [i32]) {
        out.fill(0);
        if self.kind.projects(part) {
            let records = self.sections.get(usize::from(part)).copied().unwrap_or_default();
            let rows = match part {
                0 => usize::from(self.kind.heads) * usize::from(self.kind.key),
                1 => usize::from(self.kind.kv_heads) * usize::from(self.kind.key),
                _ => usize::from(self.kind.kv_heads) * usize::from(self.kind.value),
            };
            let out = out.get_mut(..rows / 2).unwrap_or_default();
            self.through(records, x, bytemuck::cast_slice_mut::<i32, i16>(out).as_chunks_mut().0);
        } else {
            // Padding may be anything.
            let width = self.widths.get(usize::from(part)).copied().unwrap_or(0);
            let (out, x) = (bytemuck::cast_slice_mut::<i32, i16>(out), bytemuck::cast_slice::<i32, i16>(x));
            out.iter_mut().zip(x).take(width).for_each(|(out, x)| *out = *x);
        }
    }

    fn through(&self, records: &[i32], x: &[i32], out: &mut [[i16; ROWS]]) {
        let dense = Dense { records, weights: self.kind.weights, activation: Activation::Linear, z_shift: 0 };
        dense.step(x.as_chunks::<{ COLUMNS / 2 }>().0, Outputs::Narrow(out));
    }

    /// The context through the output's matrix, or as it is.
    fn finish(&self, context: &[i32], out: &mut [i16]) {
        if self.kind.projects(3) {
            self.through(self.sections[3], context, out.as_chunks_mut().0);
        } else {
            let context = bytemuck::cast_slice::<i32, i16>(context);
            out.iter_mut().zip(context).for_each(|(out, v)| *out = *v);
        }
    }

    /// Scores of the first `filled` keys, and of what stands behind them to the end of their four.
    fn score(&self, query: &[Four], keys: &[i32], filled: usize, scores: &mut [i32]) {
        let Some(head) = self.extra[0].first_chunk::<{ 2 * ROWS }>() else { return };
        let (fours, _) = scores.as_chunks_mut::<ROWS>();
        let shift = u32::from(self.kind.z_shift & 31);
        let used = filled.div_ceil(ROWS);
        if self.kind.additive {
            let words = usize::from(self.kind.key) / COLUMNS * BLOCK;
            for (four, blocks) in fours.iter_mut().zip(keys.chunks_exact(words.max(1))).take(used) {
                *four = self.additive(query, blocks, head).map(|z| z << shift);
            }
        } else {
            let vector = Vector::new(Weights::W16, query);
            for (four, z) in fours.iter_mut().zip(kernel::products(head, keys, used, &vector)) {
                *four = z.map(|z| z << shift);
            }
        }
    }

    /// `sum of v tanh(q + k)` of four keys, requantized as the sums of 16-bit weights are.
    pub(super) fn additive(&self, query: &[Four], blocks: &[i32], head: &[i32; 2 * ROWS]) -> [i32; ROWS] {
        let mut sums = [1i64 << (kernel::W16_SHIFT - 1); ROWS];
        let weights = self.extra[3].as_chunks::<{ COLUMNS / 2 }>().0;
        for ((four, block), v) in query.iter().zip(blocks.as_chunks::<BLOCK>().0).zip(weights) {
            let (q, v): (&[i16], &[i16]) = (bytemuck::cast_slice(four), bytemuck::cast_slice(v));
            let rows: &[[i16; COLUMNS]] = bytemuck::cast_slice(block);
            for (sum, row) in sums.iter_mut().zip(rows) {
                for ((q, k), v) in q.iter().zip(row).zip(v) {
                    let squashed = tanh_raw((i32::from(*q) + i32::from(*k)) << 5);
                    *sum += i64::from(squashed) * i64::from(*v);
                }
            }
        }
        let [.., m0, m1, m2, m3] = *head;
        let mut multipliers = [m0, m1, m2, m3].into_iter();
        sums.map(|sum| mul_high((sum >> kernel::W16_SHIFT) as i32, multipliers.next().unwrap_or(0)))
    }

    /// Turns the pairs `(i, i + key / 2)` of every head to a position.
    fn turn(&self, vector: &mut [i32], heads: u8, position: u32) {
        let half = self.extra[1].len();
        if half == 0 {
            return;
        }
        let vector: &mut [i16] = bytemuck::cast_slice_mut(vector);
        for head in vector.chunks_exact_mut((2 * half).max(1)).take(heads.into()) {
            let Some((first, second)) = head.split_at_mut_checked(half) else { return };
            for ((a, b), &angle) in first.iter_mut().zip(second).zip(self.extra[1]) {
                let angle = position.wrapping_mul(angle as u32);
                let (sin, cos) = (sine(angle), cosine(angle));
                let (x, y) = (i32::from(*a), i32::from(*b));
                // Sums of two products of 2^30 at most, whose angle is one.
                let near = |v: i64| saturate_q15(((v + (1 << 14)) >> 15) as i32);
                let [x, y, sin, cos] = [x, y, sin, cos].map(i64::from);
                (*a, *b) = (near(x * cos - y * sin), near(y * cos + x * sin));
            }
        }
    }
}

/// Adds to the scores, slot by slot, what their age has: the newest, before `next`, first.
fn add_by_age(scores: &mut [i32], ages: &[i32], next: usize) {
    let (newer, older) = scores.split_at_mut_checked(next.min(scores.len())).unwrap_or_default();
    let by_age = newer.iter_mut().rev().chain(older.iter_mut().rev());
    by_age.zip(ages).for_each(|(score, age)| *score = score.saturating_add(*age));
}

/// Weights of the scores, with zeros behind them, and their sum.
fn exponentials(scores: &[i32], weights: &mut [i16]) -> u64 {
    weights.fill(0);
    let Some(top) = scores.iter().max() else { return 0 };
    let mut sum = 0;
    for (weight, score) in weights.iter_mut().zip(scores) {
        let p = exp2_neg(top.saturating_sub(*score));
        *weight = p as i16;
        sum += p as u64;
    }
    sum
}
