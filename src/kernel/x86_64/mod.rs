//! x86-64 hosts: whole registers of 16-bit products, and the units of a layer by sixteens.
//!
//! [`wide`] has what depends on the register's width, which the build's target decides: SSE2, which every x86-64 core has,
//! AVX2 (`-C target-cpu=x86-64-v3`) or AVX-512 (`-C target-cpu=x86-64-v4`, or `native` on such a host). There is no
//! detection at run time.
//!
//! Rows that stand together in a halfword are masked and summed with their offset, or summed together with the row
//! below, wherever the rest can be taken out of the sums afterwards: sums are modulo `2^32`, and what is left in the end
//! is a sum that the loader has proved to fit. 16-bit weights are two digits of eight bits each.

#[cfg_attr(not(target_feature = "avx2"), path = "sse2.rs")]
#[cfg_attr(all(target_feature = "avx2", not(target_feature = "avx512bw")), path = "avx2.rs")]
#[cfg_attr(target_feature = "avx512bw", path = "avx512.rs")]
mod wide;

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_epi64, _mm_and_si128, _mm_mul_epu32, _mm_or_si128, _mm_set1_epi32, _mm_set1_epi64x,
    _mm_slli_epi64, _mm_srai_epi32, _mm_srli_epi32, _mm_srli_epi64, _mm_sub_epi32, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_unpacklo_epi64, _mm_xor_si128,
};

use bytemuck::cast;

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, Vector, W16_SHIFT};
use crate::model::header::Weights;
use wide::{LANES, TOGETHER, Wide};

pub(crate) use super::portable::{Function, function, line, mul_high};

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
/// The record has the words that the vectors take.
#[inline(always)]
pub(crate) unsafe fn call<const P: usize>(weights: Function, words: &[i32], vectors: &[Vector; P]) -> [i32; ROWS] {
    // SAFETY: the caller's promise.
    let [z] = unsafe {
        match weights {
            Weights::W8 => together::<W8, 1, P>([words], vectors),
            Weights::W4 => together::<W4, 1, P>([words], vectors),
            Weights::W16 => together::<W16, 1, P>([words], vectors),
        }
    };
    z
}

/// [`super::units`] for records of `words` words.
///
/// # Safety
/// Each record has the words that the vectors take, and there are as many as cells.
#[inline(always)]
pub(super) unsafe fn units<const P: usize>(
    weights: Weights,
    records: core::slice::ChunksExact<i32>,
    vectors: &[Vector; P],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Fn(i32, [i32; ROWS]) -> (i32, i16) + Copy,
) {
    // SAFETY: the caller's promise.
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
/// As of [`units`].
#[inline(never)]
unsafe fn sixteens<F: Format, const P: usize>(
    mut records: core::slice::ChunksExact<i32>,
    vectors: &[Vector; P],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Fn(i32, [i32; ROWS]) -> (i32, i16) + Copy,
) {
    for (cell, hidden) in cell.chunks_mut(UNITS).zip(hidden.chunks_mut(UNITS)) {
        let mut z = [[0; ROWS]; UNITS];
        let (fours, ones) = z[..cell.len()].as_chunks_mut::<TOGETHER>();
        for z in fours {
            let words = [(); TOGETHER].map(|()| records.next().unwrap_or_default());
            // SAFETY: the caller's promise.
            *z = unsafe { together::<F, TOGETHER, P>(words, vectors) };
        }
        for z in ones {
            // SAFETY: the caller's promise.
            [*z] = unsafe { together::<F, 1, P>([records.next().unwrap_or_default()], vectors) };
        }
        update(&z, cell, hidden, unit);
    }
}

/// The loop of which the compiler makes vector instructions: not inlined, for there it would be unrolled first.
#[inline(never)]
fn update(
    z: &[[i32; ROWS]],
    cell: &mut [i32],
    hidden: &mut [i16],
    unit: impl Fn(i32, [i32; ROWS]) -> (i32, i16) + Copy,
) {
    for ((z, cell), hidden) in z.iter().zip(cell).zip(hidden) {
        (*cell, *hidden) = unit(*cell, *z);
    }
}

/// The pre-activations of records that are computed together, so that the vector is loaded once for all.
///
/// # Safety
/// Each record has the words that the vectors take.
#[inline(always)]
unsafe fn together<F: Format, const G: usize, const P: usize>(
    records: [&[i32]; G],
    vectors: &[Vector; P],
) -> [[i32; ROWS]; G] {
    // SAFETY: the caller's promise: biases stand first.
    let mut z: [__m128i; G] = records.map(|record| unsafe { four(record, 0) });
    let mut start = ROWS * (1 + P);
    for (k, vector) in vectors.iter().enumerate() {
        // SAFETY: the caller's promise: a vector's blocks stand where those of the one before end.
        let sums = unsafe { dots::<F, G>(records.map(|record| record.get_unchecked(start..)), vector) };
        for ((z, sums), record) in z.iter_mut().zip(sums).zip(records) {
            // SAFETY: the caller's promise: multipliers stand behind the biases; every x86-64 core has SSE2.
            *z = unsafe { _mm_add_epi32(*z, mul_high_4(sums.rows(vector), four(record, ROWS * (1 + k)))) };
        }
        start += vector.columns().len() * F::BLOCK_WORDS;
    }
    z.map(cast)
}

/// Four words of a record.
///
/// # Safety
/// They are there.
#[inline(always)]
unsafe fn four(words: &[i32], start: usize) -> __m128i {
    // SAFETY: the caller's promise.
    unsafe { words.as_ptr().add(start).cast::<__m128i>().read_unaligned() }
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
        let x = F::spread(x);
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
        let x = F::spread(rest);
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

/// A weight format: sums in lanes of the products of a record's blocks with one vector.
trait Format: Copy {
    const BLOCK_WORDS: usize;
    /// Whether [`carry`](Self::carry) does something.
    const CARRIES: bool = false;

    fn zero() -> Self;
    /// Columns, as many as meet a register of weights or fewer, each where its weights are.
    fn spread(columns: &[i32]) -> Wide;
    fn add(self, blocks: Wide, x: Wide) -> Self;
    fn carry(self) -> Self {
        self
    }
    /// The four rows' sums.
    fn rows(self, vector: &Vector) -> __m128i;
}

/// `N` words, zeros behind the last.
#[inline(always)]
fn fill<const N: usize>(words: &[i32]) -> [i32; N] {
    words.first_chunk().copied().unwrap_or_else(|| {
        let mut out = [0; N];
        for (out, &word) in out.iter_mut().zip(words) {
            *out = word;
        }
        out
    })
}

/// Lanes of the first are rows 0 and 2, then again; of the second rows 1 and 3.
#[derive(Clone, Copy)]
struct W8([Wide; 2]);

impl Format for W8 {
    const BLOCK_WORDS: usize = Weights::W8.block_words();

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::zero(); 2])
    }

    #[inline(always)]
    fn spread(columns: &[i32]) -> Wide {
        Wide::spread8(&fill(columns))
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        Self(Wide::bytes(self.0, blocks, x))
    }

    #[inline(always)]
    fn rows(self, vector: &Vector) -> __m128i {
        let [even, odd] = self.0.map(Wide::halves);
        // SAFETY: every x86-64 core has SSE2.
        unsafe { _mm_add_epi32(fold(whole(even), whole(odd)), first(vector)) }
    }
}

/// Row 0; 16 row 1 + row 0; row 2; 16 row 3 + row 2.
#[derive(Clone, Copy)]
struct W4([Wide; 4]);

impl Format for W4 {
    const BLOCK_WORDS: usize = Weights::W4.block_words();

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::zero(); 4])
    }

    #[inline(always)]
    fn spread(columns: &[i32]) -> Wide {
        Wide::load(&fill(columns))
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        Self(Wide::nibbles(self.0, blocks, x))
    }

    #[inline(always)]
    fn rows(self, vector: &Vector) -> __m128i {
        let halves = self.0.map(Wide::halves);
        // SAFETY: every x86-64 core has SSE2.
        unsafe { w4_rows(halves, first(vector)) }
    }
}

/// Lanes are rows 0 to 3, each twice: of the first the lower bytes, of the second the upper ones.
#[derive(Clone, Copy)]
struct W16([Wide; 2]);

impl Format for W16 {
    const BLOCK_WORDS: usize = Weights::W16.block_words();
    const CARRIES: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::zero(); 2])
    }

    #[inline(always)]
    fn spread(columns: &[i32]) -> Wide {
        Wide::spread16(&fill(columns))
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        Self(Wide::bytes(self.0, blocks, x))
    }

    #[inline(always)]
    fn carry(self) -> Self {
        Self(Wide::carry(self.0))
    }

    #[inline(always)]
    fn rows(self, vector: &Vector) -> __m128i {
        let halves = self.0.map(Wide::halves);
        // SAFETY: every x86-64 core has SSE2.
        unsafe { w16_rows(halves, first(vector)) }
    }
}

#[target_feature(enable = "sse2")]
#[inline]
fn w4_rows(halves: [[__m128i; 2]; 4], first: __m128i) -> __m128i {
    let [a, b, c, d] = halves;
    let (a, b) = (fold(whole(a), whole(b)), fold(whole(c), whole(d)));
    let sums = _mm_add_epi32(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
    // 16 times a sum of 4-bit weights fits, by the loader's bound.
    let sums = _mm_add_epi32(_mm_sub_epi32(sums, _mm_slli_epi64::<32>(sums)), first);
    let odd = _mm_set1_epi64x(!0 << 32);
    let even = _mm_and_si128(sums, _mm_set1_epi64x(0xffff_ffff));
    _mm_or_si128(even, _mm_and_si128(_mm_srai_epi32::<4>(sums), odd))
}

#[target_feature(enable = "sse2")]
#[inline]
fn w16_rows([lower, upper]: [[__m128i; 2]; 2], first: __m128i) -> __m128i {
    let rows = |[a, b]: [__m128i; 2]| fold(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let carry = _mm_srai_epi32::<{ W16_SHIFT as i32 }>(_mm_add_epi32(rows(lower), first));
    _mm_add_epi32(rows(upper), carry)
}

/// [`mul_high`] by multipliers of a checked model: even, and never negative.
///
/// `(a + 2^31) m` is a product without signs, as SSE2 has it, and its `2^31 m` is `2^32` times `m / 2`.
#[target_feature(enable = "sse2")]
#[inline]
fn mul_high_4(a: __m128i, m: __m128i) -> __m128i {
    let half = _mm_set1_epi64x(1 << 31);
    let a = _mm_xor_si128(a, _mm_set1_epi32(i32::MIN));
    let even = _mm_add_epi64(_mm_mul_epu32(a, m), half);
    let odd = _mm_add_epi64(_mm_mul_epu32(_mm_srli_epi64::<32>(a), _mm_srli_epi64::<32>(m)), half);
    let high = _mm_or_si128(_mm_srli_epi64::<32>(even), _mm_and_si128(odd, _mm_set1_epi64x(!0 << 32)));
    _mm_sub_epi32(high, _mm_srli_epi32::<1>(m))
}

/// `a[0] + a[2], b[0] + b[2], a[1] + a[3], b[1] + b[3]`.
#[target_feature(enable = "sse2")]
#[inline]
fn fold(a: __m128i, b: __m128i) -> __m128i {
    _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b))
}

/// The sum of two halves.
#[target_feature(enable = "sse2")]
#[inline]
fn whole([a, b]: [__m128i; 2]) -> __m128i {
    _mm_add_epi32(a, b)
}

/// What `prepare` has for the four sums.
#[inline(always)]
fn first(vector: &Vector) -> __m128i {
    cast(vector.accumulators.as_chunks::<ROWS>().0[0])
}
