//! x86-64 hosts: whole registers of 16-bit products, and the units of a layer by sixteens.
//!
//! [`wide`] has what depends on the register's width, which the build's target decides: SSE2, which every x86-64 core has,
//! AVX2 (`-C target-cpu=x86-64-v3`) or AVX-512 (`-C target-cpu=x86-64-v4`, or `native` on such a host). There is no
//! detection at run time.
//!
//! Rows that stand together in a halfword are masked and summed with their offset, or summed together with the row
//! below, wherever the rest can be taken out of the sums afterwards: sums are modulo `2^32`, and what is left in the end
//! is a sum that the loader has proved to fit. 16-bit weights are two digits of eight bits each.

/// Operations of a [`Wide`] that are one instruction of one register.
///
/// The files that use it are compiled for cores with their instructions alone: see below.
#[allow(unused_macros, reason = "SSE2 has two registers")]
macro_rules! operations {
    ($($name:ident: $($x:ident),+ = $instruction:path;)+) => {$(
        #[inline(always)]
        pub(super) fn $name($($x: Self),+) -> Self {
            // SAFETY: the build's target has the instructions of the file.
            unsafe { Self($instruction($($x.0),+)) }
        }
    )+};
}

#[cfg_attr(not(target_feature = "avx2"), path = "sse2.rs")]
#[cfg_attr(all(target_feature = "avx2", not(target_feature = "avx512bw")), path = "avx2.rs")]
#[cfg_attr(target_feature = "avx512bw", path = "avx512.rs")]
mod wide;

mod formats;

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, Unit, Vector, W16_SHIFT, fits, record_words};
use crate::model::header::Weights;
use formats::{Format, W4, W8, W16};
use wide::{LANES, Wide};

pub(crate) use super::portable::{Function, add_twice, function, line, mul_high};

/// Records whose sums fill a register, computed together: a vector is loaded once for all.
const TOGETHER: usize = LANES / ROWS;
/// Units whose update is compiled to vector instructions.
const UNITS: usize = 64;

/// What the four sums of every record begin with.
#[inline(always)]
pub(crate) fn prepare(weights: Weights, columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    let [a, b, c, d] = match weights {
        Weights::W8 => [-W8_OFFSET, 0, -W8_OFFSET, 0].map(|c| sum(columns).wrapping_mul(c)),
        Weights::W4 => [-W4_OFFSET, -16 * W4_OFFSET, -W4_OFFSET, 0].map(|c| sum(columns).wrapping_mul(c)),
        Weights::W16 => [1 << (W16_SHIFT - 1); ROWS],
    };
    (0, [a, b, c, d, 0, 0, 0, 0])
}

/// One record's pre-activations.
///
/// # Safety
/// The head and the blocks have the words that the vectors take.
#[inline(always)]
pub(crate) unsafe fn call(weights: Function, head: &[i32], blocks: &[i32], vectors: &[Vector]) -> [i32; ROWS] {
    // SAFETY: the caller's promise.
    let [z, ..] = unsafe {
        match weights {
            Weights::W8 => together::<W8, 1>([head], [blocks], vectors),
            Weights::W4 => together::<W4, 1>([head], [blocks], vectors),
            Weights::W16 => together::<W16, 1>([head], [blocks], vectors),
        }
    };
    z
}

/// A layer of units, each from its record; nothing where [`super::rows`] yields nothing.
#[inline(always)]
pub(crate) fn units<const P: usize>(
    weights: Weights,
    records: &[i32],
    vectors: &[Vector; P],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Unit,
) {
    let words = record_words(weights, vectors);
    if !fits(records, cell.len() * words, vectors) {
        return;
    }
    let records = records.chunks_exact(words);
    // SAFETY: `words` is what the vectors' lengths take in this format, and there are `words` for each cell.
    unsafe {
        match weights {
            Weights::W8 => sixteens::<W8, P>(records, vectors, cell, hidden, unit),
            Weights::W4 => sixteens::<W4, P>(records, vectors, cell, hidden, unit),
            Weights::W16 => sixteens::<W16, P>(records, vectors, cell, hidden, unit),
        }
    }
}

/// [`units`] of one format. The loop over [`UNITS`] is for the compiler to make vector instructions of.
///
/// # Safety
/// Each record has the words that the vectors take, and there are as many as cells.
#[inline(never)]
unsafe fn sixteens<F: Format, const P: usize>(
    mut records: core::slice::ChunksExact<i32>,
    vectors: &[Vector; P],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Unit,
) {
    let head = ROWS * (1 + P);
    for (cell, hidden) in cell.chunks_mut(UNITS).zip(hidden.chunks_mut(UNITS)) {
        let mut z = [[0; ROWS]; UNITS];
        let (fours, ones) = z[..cell.len()].as_chunks_mut::<TOGETHER>();
        for z in fours {
            let words = [(); TOGETHER].map(|()| records.next().unwrap_or_default());
            // SAFETY: the caller's promise.
            *z = unsafe { together::<F, TOGETHER>(words, words.map(|w| w.get_unchecked(head..)), vectors) };
        }
        for z in ones {
            let words = records.next().unwrap_or_default();
            // SAFETY: the caller's promise.
            [*z, ..] = unsafe { together::<F, 1>([words], [words.get_unchecked(head..)], vectors) };
        }
        update(&z, cell, hidden, unit);
    }
}

/// The loop of which the compiler makes vector instructions: not inlined, for there it would be unrolled first.
#[inline(never)]
fn update(z: &[[i32; ROWS]], cell: &mut [i32], hidden: &mut [i16], unit: impl Unit) {
    for ((z, cell), hidden) in z.iter().zip(cell).zip(hidden) {
        (*cell, *hidden) = unit(*cell, *z);
    }
}

/// The pre-activations of one record, all of them the same, or of as many as fill a register.
///
/// # Safety
/// Each head and its blocks have the words that the vectors take.
#[inline(always)]
unsafe fn together<F: Format, const G: usize>(
    heads: [&[i32]; G],
    blocks: [&[i32]; G],
    vectors: &[Vector],
) -> [[i32; ROWS]; TOGETHER] {
    // SAFETY: the caller's promise: biases stand first.
    let mut z = unsafe { fours(heads, 0) };
    let mut start = 0;
    for (k, vector) in vectors.iter().enumerate() {
        // SAFETY: the caller's promise: a vector's blocks stand where those of the one before end.
        let sums = unsafe { dots::<F, G>(blocks.map(|blocks| blocks.get_unchecked(start..)), vector) };
        let first = Wide::four([&vector.accumulators.as_chunks().0[0]; TOGETHER]);
        // SAFETY: the caller's promise: multipliers stand behind the biases.
        let multipliers = unsafe { fours(heads, ROWS * (1 + k)) };
        z = requantize(z, F::rows(each(sums), first), multipliers);
        start += vector.columns().len() * F::BLOCK_WORDS;
    }
    z.words()
}

/// One, or as many as fill a register.
#[inline(always)]
fn each<T: Copy, const G: usize>(of: [T; G]) -> [T; TOGETHER] {
    const { assert!(G == 1 || G == TOGETHER) };
    core::array::from_fn(|k| of[k % G])
}

/// Four words of each record.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn fours<const G: usize>(records: [&[i32]; G], start: usize) -> Wide {
    // SAFETY: the caller's promise; arrays of words are aligned as words are.
    Wide::four(each(records.map(|record| unsafe { &*record.as_ptr().add(start).cast() })))
}

/// `z` and [`mul_high`] of `a` by multipliers of a checked model, which are never negative and have 16 zero bits below.
///
/// With `m = 2^16 n` and `a = 2^16 b + c`, `c` unsigned, it is `b n + floor(c n / 2^16 + 1/2)`.
#[inline(always)]
fn requantize(z: Wide, a: Wide, m: Wide) -> Wide {
    let n = Wide::halves(m);
    let rounding = Wide::top_bits(Wide::mul_low(a, n));
    Wide::add(z.dot(a, m), Wide::add(Wide::mul_high(a, n), rounding))
}

/// The sums of the products of blocks with one vector.
///
/// # Safety
/// There are as many blocks as the vector has columns by fours.
#[inline(always)]
unsafe fn dots<F: Format, const G: usize>(blocks: [&[i32]; G], vector: &Vector) -> [F; G] {
    let x = vector.columns().as_flattened().chunks_exact(2 * LANES / F::BLOCK_WORDS);
    let (whole, rest) = (x.len() * LANES, x.remainder());
    let mut sums = [F::zero(); G];
    for (k, x) in x.enumerate() {
        let x = F::spread(Wide::part(x));
        for (sum, blocks) in sums.iter_mut().zip(blocks) {
            // SAFETY: the caller's promise: for so many columns there are so many weights.
            let blocks = unsafe { &*blocks.as_ptr().add(k * LANES).cast() };
            *sum = sum.add(Wide::load(blocks), x);
        }
        if F::CARRIES && k % CARRY == CARRY - 1 {
            sums = sums.map(F::carry);
        }
    }
    if !rest.is_empty() {
        let x = F::spread(Wide::part(rest));
        for (sum, blocks) in sums.iter_mut().zip(blocks) {
            // SAFETY: the caller's promise: for so many columns there are so many weights.
            let blocks = unsafe { blocks.get_unchecked(whole..whole + rest.len() * F::BLOCK_WORDS / 2) };
            *sum = sum.add(Wide::part(blocks), x);
        }
    }
    sums.map(F::carry)
}

/// How many registers of weights may be added before a lane must carry: it takes two products of eight bits by sixteen of
/// each, below `2^24` together, and has carried less than `2^8` over.
const CARRY: usize = 64;
