//! x86-64 hosts: `PMADDWD`, eight products an instruction.
//!
//! SSE2 is what every x86-64 core has and so the baseline. A build for cores with AVX2 (`-C target-cpu=x86-64-v3`) takes
//! two blocks of 8-bit weights at once. There is no detection at run time.
//!
//! Rows that stand together in a halfword are masked and summed with their offset, or summed together with the row
//! below, wherever the rest can be taken out of the sums afterwards: sums are modulo `2^32`, and what is left in the end
//! is a sum that the loader has proved to fit. The weights are loaded as they stand, by safe casts.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_add_epi64, _mm_and_si128, _mm_madd_epi16, _mm_mul_epu32, _mm_or_si128, _mm_set1_epi16,
    _mm_set1_epi32, _mm_set1_epi64x, _mm_setzero_si128, _mm_slli_epi32, _mm_slli_epi64, _mm_srai_epi16, _mm_srai_epi32,
    _mm_srli_epi32, _mm_srli_epi64, _mm_sub_epi32, _mm_unpackhi_epi32, _mm_unpackhi_epi64, _mm_unpacklo_epi32,
    _mm_unpacklo_epi64, _mm_xor_si128,
};
#[cfg(target_feature = "avx2")]
use core::arch::x86_64::{
    _mm256_add_epi32, _mm256_and_si256, _mm256_castsi128_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_madd_epi16, _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_setr_epi32, _mm256_setzero_si256,
    _mm256_srai_epi16,
};

use bytemuck::cast;

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, Vector, W16_SHIFT};
use crate::model::header::Weights;

pub(crate) use super::portable::{Function, function, line, mul_high};

/// What the four sums of every record begin with.
#[inline(always)]
pub(crate) fn prepare(weights: Weights, columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    let [a, b, c, d] = match weights {
        Weights::W8 => [-W8_OFFSET, 0, -W8_OFFSET, 0].map(|c| sum(columns).wrapping_mul(c)),
        Weights::W4 => [-W4_OFFSET, -16 * W4_OFFSET, -W4_OFFSET, 0].map(|c| sum(columns).wrapping_mul(c)),
        Weights::W16 => [2 * columns.len() as i32; ROWS],
    };
    (0, [a, b, c, d, 0, 0, 0, 0])
}

/// One record's pre-activations.
///
/// # Safety
/// None is needed; other kernels want a record with the words that the vectors take.
#[inline(always)]
pub(crate) unsafe fn call<const P: usize>(weights: Function, words: &[i32], vectors: &[Vector; P]) -> [i32; ROWS] {
    // SAFETY: every x86-64 core has SSE2.
    unsafe { record(weights, words, vectors) }
}

#[target_feature(enable = "sse2")]
#[inline]
fn record<const P: usize>(weights: Weights, words: &[i32], vectors: &[Vector; P]) -> [i32; ROWS] {
    match weights {
        Weights::W8 => each(words, vectors, Weights::W8.block_words(), |blocks, vector| w8(blocks, vector)),
        Weights::W4 => each(words, vectors, Weights::W4.block_words(), |blocks, vector| w4(blocks, vector)),
        Weights::W16 => each(words, vectors, Weights::W16.block_words(), |blocks, vector| w16(blocks, vector)),
    }
}

/// A record from a function for the dot products of its blocks with one vector.
#[target_feature(enable = "sse2")]
#[inline]
fn each<const P: usize>(
    words: &[i32],
    vectors: &[Vector; P],
    block_words: usize,
    dot: impl Fn(&[i32], &Vector) -> __m128i,
) -> [i32; ROWS] {
    let (head, mut blocks) = words.split_at_checked(ROWS * (1 + P)).unwrap_or_default();
    let Some((bias, multipliers)) = head.as_chunks::<ROWS>().0.split_first() else { return [0; ROWS] };
    let mut z: __m128i = cast(*bias);
    for (vector, m) in vectors.iter().zip(multipliers) {
        let mine = blocks.split_off(..vector.columns().len() * block_words).unwrap_or_default();
        z = _mm_add_epi32(z, mul_high_4(dot(mine, vector), cast(*m)));
    }
    cast(z)
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

/// The vector's columns by eights, and the last four if they are odd.
#[target_feature(enable = "sse2")]
#[inline]
fn eights<'a>(vector: &Vector<'a>) -> (&'a [[Four; 2]], Option<Four>) {
    let (eights, rest) = vector.columns().as_chunks::<2>();
    (eights, rest.first().copied())
}

/// Four columns in the lower half.
#[target_feature(enable = "sse2")]
#[inline]
fn low(words: [i32; 2]) -> __m128i {
    cast([words[0], words[1], 0, 0])
}

/// `a[0] + a[2], b[0] + b[2], a[1] + a[3], b[1] + b[3]`.
#[target_feature(enable = "sse2")]
#[inline]
fn fold(a: __m128i, b: __m128i) -> __m128i {
    _mm_add_epi32(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b))
}

/// What `prepare` has for the four sums.
#[target_feature(enable = "sse2")]
#[inline]
fn first(vector: &Vector) -> __m128i {
    cast(vector.accumulators.as_chunks::<ROWS>().0[0])
}

/// 8-bit weights.
#[target_feature(enable = "sse2")]
#[inline]
fn w8(blocks: &[i32], vector: &Vector) -> __m128i {
    let (eights, rest) = eights(vector);
    let (pairs, last) = blocks.as_chunks::<4>().0.as_chunks::<2>();
    // Lanes are rows 0 and 2, then again; of the odd sums rows 1 and 3.
    #[cfg(not(target_feature = "avx2"))]
    let [mut even, mut odd] = [_mm_setzero_si128(); 2];
    #[cfg(target_feature = "avx2")]
    // SAFETY: the build is for cores with AVX2.
    let [mut even, mut odd] = unsafe { w8_pairs(pairs, eights) };
    let mut add = |block: &[i32; 4], x: __m128i| {
        let block = cast(*block);
        even = _mm_add_epi32(even, _mm_madd_epi16(_mm_and_si128(block, _mm_set1_epi16(0xff)), x));
        odd = _mm_add_epi32(odd, _mm_madd_epi16(_mm_srai_epi16::<8>(block), x));
    };
    #[cfg(not(target_feature = "avx2"))]
    for ([a, b], x) in pairs.iter().zip(eights) {
        let x = cast(*x);
        add(a, _mm_unpacklo_epi32(x, x));
        add(b, _mm_unpackhi_epi32(x, x));
    }
    if let (Some(a), Some(x)) = (last.first(), rest) {
        add(a, _mm_unpacklo_epi32(low(x), low(x)));
    }
    _mm_add_epi32(fold(even, odd), first(vector))
}

/// The even and the odd sums of all pairs of blocks, a pair a register.
#[cfg(target_feature = "avx2")]
#[target_feature(enable = "avx2")]
#[inline]
fn w8_pairs(pairs: &[[[i32; 4]; 2]], eights: &[[Four; 2]]) -> [__m128i; 2] {
    let twice = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    let [mut even, mut odd] = [_mm256_setzero_si256(); 2];
    for (pair, x) in pairs.iter().zip(eights) {
        let (pair, x) = (cast(*pair), _mm256_permutevar8x32_epi32(_mm256_castsi128_si256(cast(*x)), twice));
        even = _mm256_add_epi32(even, _mm256_madd_epi16(_mm256_and_si256(pair, _mm256_set1_epi16(0xff)), x));
        odd = _mm256_add_epi32(odd, _mm256_madd_epi16(_mm256_srai_epi16::<8>(pair), x));
    }
    [even, odd].map(|sums| _mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256::<1>(sums)))
}

/// 4-bit weights.
#[target_feature(enable = "sse2")]
#[inline]
fn w4(blocks: &[i32], vector: &Vector) -> __m128i {
    let nibble = _mm_set1_epi16(0xf);
    // Row 0; 16 row 1 + row 0; row 2; 16 row 3 + row 2.
    let mut acc = [_mm_setzero_si128(); ROWS];
    let mut add = |blocks: __m128i, x: __m128i| {
        let lower = _mm_and_si128(blocks, _mm_set1_epi16(0xff));
        let upper = _mm_srai_epi16::<8>(blocks);
        let digits = [_mm_and_si128(blocks, nibble), lower, _mm_and_si128(upper, nibble), upper];
        for (acc, digits) in acc.iter_mut().zip(digits) {
            *acc = _mm_add_epi32(*acc, _mm_madd_epi16(digits, x));
        }
    };
    let (eights, rest) = eights(vector);
    let (pairs, last) = blocks.as_chunks::<4>();
    for (pair, x) in pairs.iter().zip(eights) {
        add(cast(*pair), cast(*x));
    }
    if let (Some(a), Some(x)) = (last.first_chunk(), rest) {
        add(low(*a), low(x));
    }
    let (a, b) = (fold(acc[0], acc[1]), fold(acc[2], acc[3]));
    let sums = _mm_add_epi32(_mm_unpacklo_epi64(a, b), _mm_unpackhi_epi64(a, b));
    // 16 times a sum of 4-bit weights fits, by the loader's bound.
    let sums = _mm_add_epi32(_mm_sub_epi32(sums, _mm_slli_epi64::<32>(sums)), first(vector));
    let odd = _mm_set1_epi64x(!0 << 32);
    let even = _mm_and_si128(sums, _mm_set1_epi64x(0xffff_ffff));
    _mm_or_si128(even, _mm_and_si128(_mm_srai_epi32::<4>(sums), odd))
}

/// 16-bit weights.
#[target_feature(enable = "sse2")]
#[inline]
fn w16(blocks: &[i32], vector: &Vector) -> __m128i {
    // Lanes are rows 0 and 1, then rows 2 and 3, each twice. Sums of the pairs' products p, modulo 2^32, and of
    // floor(p / 2^16) - 1: p may be 2^31, and only less 2^16 do all p fit.
    let (mut sums, mut upper) = ([_mm_setzero_si128(); 2], [_mm_setzero_si128(); 2]);
    let mut add = |halves: &[[i32; 4]; 2], x: __m128i| {
        for ((sum, upper), half) in sums.iter_mut().zip(&mut upper).zip(halves) {
            let p = _mm_madd_epi16(cast(*half), x);
            *sum = _mm_add_epi32(*sum, p);
            *upper = _mm_add_epi32(*upper, _mm_srai_epi32::<16>(_mm_add_epi32(p, _mm_set1_epi32(-1 << 16))));
        }
    };
    let (eights, rest) = eights(vector);
    let (pairs, last) = blocks.as_chunks::<4>().0.as_chunks::<2>().0.as_chunks::<2>();
    for ([a, b], x) in pairs.iter().zip(eights) {
        let x = cast(*x);
        add(a, _mm_unpacklo_epi64(x, x));
        add(b, _mm_unpackhi_epi64(x, x));
    }
    if let (Some(a), Some(x)) = (last.first(), rest) {
        add(a, _mm_unpacklo_epi64(low(x), low(x)));
    }
    let rows = |[a, b]: [__m128i; 2]| fold(_mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b));
    let upper = _mm_add_epi32(rows(upper), first(vector));
    // What the upper halves leave of the sums: below 2^31, for 2^15 pairs at most.
    let lower = _mm_sub_epi32(rows(sums), _mm_slli_epi32::<16>(upper));
    let lower = _mm_add_epi32(lower, _mm_set1_epi32(1 << (W16_SHIFT - 1)));
    _mm_add_epi32(_mm_slli_epi32::<{ 16 - W16_SHIFT as i32 }>(upper), _mm_srli_epi32::<{ W16_SHIFT as i32 }>(lower))
}
