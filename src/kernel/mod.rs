//! The kernels: pre-activations from packed weights, one record of four rows after the other.
//!
//! `rows` is the seam. It walks over a layer's records and yields for each its four pre-activations
//! `b + sum over products of mul_high(W x, m)`; what the layer does with them is not its business. [`layout`] says where a
//! weight stands. Everything below is chosen at compile time from the target; each file has a `Function` for every weight
//! format, `call` for it, `prepare` for what it wants to know of a vector, `mul_high`, `add_twice` and `line`.
//!
//! | file | cores | what it does differently |
//! | --- | --- | --- |
//! | `portable.rs` | every one | nothing: it is the meaning of the others |
//! | `dsp.rs` | Cortex-M4, M7, M33 with DSP | two rows a multiply, in assembly |
//! | `thumbv7m.rs` | Cortex-M3, M33 without DSP | byte loads and `MLA`, in assembly |
//! | `mainline.rs` | the two above | what they share |
//! | `thumbv6m.rs` | Cortex-M0, M0+, M23 | byte loads, accumulators in high registers, in assembly |
//! | `riscv32.rs` | RV32IM, with or without A and C | byte loads, in assembly |
//! | `x86_64/` | x86-64 hosts | vector instructions, by `core::arch`; sixteen units at once |
//!
//! The feature `portable` forces the first everywhere, for comparison. All give the same bits: sums of integers do not
//! depend on their order, and every product and sum is exact.
//!
//! This module is the only place where `unsafe` may stand.
#![allow(unsafe_code, reason = "assembly and vector instructions; each block says why it is sound")]

pub mod layout;
#[allow(dead_code, unused_imports, reason = "other kernels use parts of it")]
mod portable;

#[cfg(any(cellstate_kernel = "dsp", cellstate_kernel = "thumbv7m"))]
mod mainline;

#[cfg(cellstate_kernel = "portable")]
use portable as active;

#[cfg(not(cellstate_kernel = "portable"))]
#[cfg_attr(cellstate_kernel = "dsp", path = "dsp.rs")]
#[cfg_attr(cellstate_kernel = "thumbv7m", path = "thumbv7m.rs")]
#[cfg_attr(cellstate_kernel = "thumbv6m", path = "thumbv6m.rs")]
#[cfg_attr(cellstate_kernel = "riscv32", path = "riscv32.rs")]
#[cfg_attr(cellstate_kernel = "x86_64", path = "x86_64/mod.rs")]
mod active;

use crate::model::header::Weights;
use core::marker::PhantomData;
use core::ops::Range;

#[cfg(cellstate_kernel = "x86_64")]
pub(crate) use active::units;
pub(crate) use active::{add_twice, line, mul_high};

/// Rows of a block: the four gates of one LSTM unit, or four outputs of a dense layer.
pub const ROWS: usize = 4;
/// Columns of a block; the converter pads each vector to a multiple of it.
pub const COLUMNS: usize = 4;
/// How far a 64-bit accumulator of i16 weights is shifted right, with rounding, before requantization.
pub const W16_SHIFT: u32 = 8;

/// Four columns of a Q0.15 vector, two a word, the lower column in the lower half: aligned as the kernels load them.
pub(crate) type Four = [i32; COLUMNS / 2];

/// A Q0.15 vector on its way into a kernel, with what every row of a step needs of it.
///
/// The order of the fields is the assembly's.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub(crate) struct Vector<'a> {
    /// The first four columns.
    start: *const Four,
    /// Where in its unrolled loop a kernel begins, in bytes of code or of weights, as it likes.
    entry: usize,
    /// One past the last four columns.
    end: *const Four,
    /// What a kernel's accumulators begin with.
    accumulators: [i32; 2 * ROWS],
    columns: PhantomData<&'a [Four]>,
}

/// How many bytes of stack a vector takes; assembly steps from one to the next by it.
#[cfg_attr(any(cellstate_kernel = "portable", cellstate_kernel = "x86_64"), allow(dead_code, reason = "for assembly"))]
const VECTOR_BYTES: usize = 4 * (3 + 2 * ROWS);
#[cfg(target_pointer_width = "32")]
const _: () = assert!(size_of::<Vector>() == VECTOR_BYTES, "the assembly and the compiler disagree on a vector's size");

impl<'a> Vector<'a> {
    /// Prepares a padded vector for weights of this format.
    #[inline(always)]
    pub(crate) fn new(weights: Weights, columns: &'a [Four]) -> Self {
        let Range { start, end } = columns.as_ptr_range();
        let (entry, accumulators) = active::prepare(weights, columns);
        Self { start, entry, end, accumulators, columns: PhantomData }
    }

    /// Its columns, by fours.
    #[inline(always)]
    fn columns(&self) -> &'a [Four] {
        // SAFETY: `start` and `end` are those of a slice that is borrowed for `'a`.
        unsafe { core::slice::from_raw_parts(self.start, self.end.offset_from_unsigned(self.start)) }
    }
}

/// Words of a record for these vectors: four biases, four multipliers a vector, the blocks of each.
#[inline(always)]
fn record_words(weights: Weights, vectors: &[Vector]) -> usize {
    // Without a loop, which the compiler leaves one where it is to save bytes.
    let blocks = match vectors {
        [x] => x.columns().len(),
        [x, h] => x.columns().len() + h.columns().len(),
        all => all.iter().map(|v| v.columns().len()).sum(),
    };
    ROWS * (1 + vectors.len()) + blocks * weights.block_words()
}

/// Whether there are so many words, and no vector is empty: so it is in every checked model.
#[inline(always)]
fn fits(records: &[i32], words: usize, vectors: &[Vector]) -> bool {
    let some = |v: &Vector| !v.columns().is_empty();
    let all = match vectors {
        [x] => some(x),
        [x, h] => some(x) && some(h),
        all => all.iter().all(some),
    };
    records.len() >= words && all
}

/// The pre-activations of `count` records: `b + sum over vectors of mul_high(W x, m)`, four rows at a time.
///
/// A record has four biases, then four multipliers a vector, then the blocks of each vector. Yields nothing if a vector is
/// empty or the records are too few words, which no checked model's are.
#[inline(always)]
pub(crate) fn rows<'a>(
    weights: Weights,
    records: &'a [i32],
    count: usize,
    vectors: &'a [Vector<'a>],
) -> impl Iterator<Item = [i32; ROWS]> + 'a {
    let words = record_words(weights, vectors);
    let head = ROWS * (1 + vectors.len());
    let function = active::function(weights);
    (0..if fits(records, count * words, vectors) { count } else { 0 }).map(move |k| {
        // SAFETY: there are `count` times `words` words, and `words` is what the vectors' lengths take in this format, with
        // the head before the blocks; no vector is empty; the function is this format's.
        unsafe {
            let record = records.get_unchecked(k * words..(k + 1) * words);
            active::call(function, record.get_unchecked(..head), record.get_unchecked(head..), vectors)
        }
    })
}

/// The products of `count` times four rows of 16-bit values with a vector, in blocks as of a matrix of weights: rows of one
/// head, four biases and four multipliers. Yields nothing where there are too few words.
#[cfg(feature = "layers")]
#[inline(always)]
pub(crate) fn products<'a>(
    head: &'a [i32; 2 * ROWS],
    blocks: &'a [i32],
    count: usize,
    vector: &'a Vector<'a>,
) -> impl Iterator<Item = [i32; ROWS]> + 'a {
    let words = vector.columns().len() * Weights::W16.block_words();
    let function = active::function(Weights::W16);
    let vectors = core::slice::from_ref(vector);
    (0..if fits(blocks, count * words, vectors) { count } else { 0 }).map(move |k| {
        // SAFETY: there are `count` times `words` words, and `words` is what the vector's length takes in this format; it is
        // not empty; the head is that of one vector; the function is this format's.
        unsafe { active::call(function, head, blocks.get_unchecked(k * words..(k + 1) * words), vectors) }
    })
}

/// What a unit does with its cell state and its record's pre-activations: its next cell state and hidden state.
pub(crate) trait Unit: Fn(i32, [i32; ROWS]) -> (i32, i16) + Copy {}
impl<F: Fn(i32, [i32; ROWS]) -> (i32, i16) + Copy> Unit for F {}

/// A layer of units, each from its record; nothing where [`rows`] yields nothing.
#[cfg(not(cellstate_kernel = "x86_64"))]
#[inline(always)]
pub(crate) fn units<const P: usize>(
    weights: Weights,
    records: &[i32],
    vectors: &[Vector; P],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Unit,
) {
    let rows = rows(weights, records, cell.len(), vectors);
    for (z, (c, h)) in rows.zip(cell.iter_mut().zip(hidden)) {
        (*c, *h) = unit(*c, z);
    }
}
