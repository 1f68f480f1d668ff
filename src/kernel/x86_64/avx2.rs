//! AVX2: eight lanes.

use core::arch::x86_64::{
    __m128i, __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_castsi128_si256,
    _mm256_castsi256_si128, _mm256_cmpgt_epi32, _mm256_extracti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maskload_epi32, _mm256_permutevar8x32_epi32, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_setr_epi32,
    _mm256_setzero_si256, _mm256_srai_epi16, _mm256_srai_epi32,
};

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 8;
/// Records that share a vector's loads.
pub(super) const TOGETHER: usize = 2;

#[derive(Clone, Copy)]
pub(super) struct Wide(__m256i);

impl Wide {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        // SAFETY: this file is compiled for cores with AVX2 alone.
        Self(unsafe { _mm256_setzero_si256() })
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        // SAFETY: as in `zero`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        // SAFETY: as in `zero`; the mask has a lane a word, and no other word is read.
        Self(unsafe {
            let mask =
                _mm256_cmpgt_epi32(_mm256_set1_epi32(words.len() as i32), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
            _mm256_maskload_epi32(words.as_ptr(), mask)
        })
    }

    #[inline(always)]
    pub(super) fn spread8(words: &[i32; LANES / 2]) -> Self {
        // SAFETY: as in `zero`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe {
            let x = _mm256_castsi128_si256(_mm_loadu_si128(words.as_ptr().cast()));
            _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3))
        })
    }

    #[inline(always)]
    pub(super) fn spread16(&[a, b]: &[i32; LANES / 4]) -> Self {
        // SAFETY: as in `zero`.
        Self(unsafe { _mm256_setr_epi32(a, b, a, b, a, b, a, b) })
    }

    #[inline(always)]
    fn plus(self, digits: __m256i, x: Self) -> Self {
        // SAFETY: as in `zero`.
        Self(unsafe { _mm256_add_epi32(self.0, _mm256_madd_epi16(digits, x.0)) })
    }

    #[inline(always)]
    pub(super) fn bytes([lower, upper]: [Self; 2], blocks: Self, x: Self) -> [Self; 2] {
        // SAFETY: as in `zero`.
        let digits = unsafe { [_mm256_and_si256(blocks.0, _mm256_set1_epi16(0xff)), _mm256_srai_epi16::<8>(blocks.0)] };
        [lower.plus(digits[0], x), upper.plus(digits[1], x)]
    }

    #[inline(always)]
    pub(super) fn nibbles([a, b, c, d]: [Self; 4], blocks: Self, x: Self) -> [Self; 4] {
        // SAFETY: as in `zero`.
        let digits = unsafe {
            let (nibble, upper) = (_mm256_set1_epi16(0xf), _mm256_srai_epi16::<8>(blocks.0));
            let lower = _mm256_and_si256(blocks.0, _mm256_set1_epi16(0xff));
            [_mm256_and_si256(blocks.0, nibble), lower, _mm256_and_si256(upper, nibble), upper]
        };
        [a.plus(digits[0], x), b.plus(digits[1], x), c.plus(digits[2], x), d.plus(digits[3], x)]
    }

    #[inline(always)]
    pub(super) fn carry([lower, upper]: [Self; 2]) -> [Self; 2] {
        // SAFETY: as in `zero`.
        unsafe {
            let carry = _mm256_srai_epi32::<8>(lower.0);
            [Self(_mm256_and_si256(lower.0, _mm256_set1_epi32(0xff))), Self(_mm256_add_epi32(upper.0, carry))]
        }
    }

    /// Its lower and its upper lanes.
    #[inline(always)]
    pub(super) fn halves(self) -> [__m128i; 2] {
        // SAFETY: as in `zero`.
        unsafe { [_mm256_castsi256_si128(self.0), _mm256_extracti128_si256::<1>(self.0)] }
    }
}
