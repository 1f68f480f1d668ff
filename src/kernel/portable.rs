//! The kernels in plain Rust: the meaning of every other implementation.

use super::layout::unpack;
use super::{COLUMNS, Four, ROWS, Vector, W16_SHIFT};
use crate::model::header::Weights;
use crate::numeric::activation::SLOPE_BITS;
use crate::numeric::rounding;

pub(crate) use rounding::mul_high;

/// A straight line whose start is `word`, and whose slope its low [`SLOPE_BITS`] bits, at `x` below `2^16`.
#[inline(always)]
pub(crate) fn line(word: i32, x: i32) -> i32 {
    word.wrapping_add((word & ((1 << SLOPE_BITS) - 1)) * x)
}

/// `a + 2 b`, saturated; `2 b` does not overflow.
#[inline(always)]
pub(crate) fn add_twice(a: i32, b: i32) -> i32 {
    a.saturating_add(b << 1)
}

/// The sum of a vector. Not inlined: each kind of layer would have its unrolled loop.
#[inline(never)]
pub(crate) fn sum(columns: &[Four]) -> i32 {
    let pair = |pair: i32| i32::from(pair as i16) + (pair >> 16);
    columns.iter().map(|&[low, high]| pair(low) + pair(high)).sum()
}

/// A record from a function for the dot products of its blocks with one vector.
#[inline(always)]
pub(crate) fn record(
    mut head: &[i32],
    mut blocks: &[i32],
    vectors: &[Vector],
    block_words: usize,
    dot: impl Fn(&[i32], &Vector) -> [i32; ROWS],
) -> [i32; ROWS] {
    let mut z: [i32; ROWS] = take(&mut head, ROWS).try_into().unwrap_or_default();
    for vector in vectors {
        let acc = dot(take(&mut blocks, vector.columns().len() * block_words), vector);
        for ((z, acc), &m) in z.iter_mut().zip(acc).zip(take(&mut head, ROWS)) {
            *z = z.wrapping_add(super::mul_high(acc, m));
        }
    }
    z
}

/// The next words of a record; none past its end.
#[inline(always)]
fn take<'a>(words: &mut &'a [i32], count: usize) -> &'a [i32] {
    words.split_off(..count).unwrap_or_default()
}

/// Adds one block's products to the accumulators, which the loader has proved cannot overflow.
#[inline(always)]
fn multiply(weights: Weights, block: &[i32], four: &Four, mut add: impl FnMut(usize, i32)) {
    for row in 0..ROWS {
        for c in 0..COLUMNS {
            add(row, unpack(weights, block, row, c).wrapping_mul(column(four, c)));
        }
    }
}

/// The sample at one of four columns.
#[inline(always)]
pub(crate) fn column(four: &Four, column: usize) -> i32 {
    let word = four.get(column / 2).copied().unwrap_or_default();
    if column.is_multiple_of(2) { i32::from(word as i16) } else { word >> 16 }
}

#[inline(always)]
fn dot32(weights: Weights, blocks: &[i32], vector: &Vector) -> [i32; ROWS] {
    let mut acc = [0i32; ROWS];
    for (block, x) in blocks.chunks_exact(weights.block_words()).zip(vector.columns()) {
        multiply(weights, block, x, |row, p| acc[row] = acc[row].wrapping_add(p));
    }
    acc
}

/// The function for a weight format: here the format says it all.
pub(crate) type Function = Weights;

/// The function for a weight format.
#[inline(always)]
pub(crate) fn function(weights: Weights) -> Function {
    weights
}

/// Where a vector enters the kernel's loop, and what the accumulators begin with: nothing that is needed here.
#[inline(always)]
pub(crate) fn prepare(_weights: Weights, _columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    (0, [0; 2 * ROWS])
}

/// One record's pre-activations. 16-bit weights are summed in 64 bits and shifted right by [`W16_SHIFT`], rounded half up.
///
/// # Safety
/// None is needed; other kernels want a record with the words that the vectors take.
#[inline(always)]
pub(crate) unsafe fn call(weights: Function, head: &[i32], blocks: &[i32], vectors: &[Vector]) -> [i32; ROWS] {
    let block_words = weights.block_words();
    match weights {
        Weights::W8 => record(head, blocks, vectors, block_words, |blocks, vector| dot32(Weights::W8, blocks, vector)),
        Weights::W4 => record(head, blocks, vectors, block_words, |blocks, vector| dot32(Weights::W4, blocks, vector)),
        Weights::W16 => record(head, blocks, vectors, block_words, |blocks, vector| {
            let mut acc = [1i64 << (W16_SHIFT - 1); ROWS];
            for (block, x) in blocks.chunks_exact(Weights::W16.block_words()).zip(vector.columns()) {
                multiply(Weights::W16, block, x, |row, p| acc[row] = acc[row].wrapping_add(p.into()));
            }
            acc.map(|a| (a >> W16_SHIFT) as i32)
        }),
    }
}
