//! AVX-512: sixteen lanes. Products and their sum are one instruction with VNNI, two without.

use core::arch::x86_64::{
    __m128i, __m512i, _mm256_add_epi32, _mm256_castsi256_si128, _mm256_extracti128_si256, _mm256_loadu_si256,
    _mm512_add_epi32, _mm512_and_si512, _mm512_castsi256_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64,
    _mm512_loadu_si512, _mm512_maskz_loadu_epi32, _mm512_permutexvar_epi32, _mm512_set1_epi16, _mm512_set1_epi32,
    _mm512_setr_epi32, _mm512_setzero_si512, _mm512_srai_epi16, _mm512_srai_epi32,
};

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 16;
/// Records that share a vector's loads.
pub(super) const TOGETHER: usize = 4;

#[derive(Clone, Copy)]
pub(super) struct Wide(__m512i);

impl Wide {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        // SAFETY: this file is compiled for cores with AVX-512 F and BW alone.
        Self(unsafe { _mm512_setzero_si512() })
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        // SAFETY: as in `zero`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        let mask = (1u32 << words.len().min(LANES)) - 1;
        // SAFETY: as in `zero`; the mask has one bit a word, and no other word is read.
        Self(unsafe { _mm512_maskz_loadu_epi32(mask as u16, words.as_ptr()) })
    }

    #[inline(always)]
    pub(super) fn spread8(words: &[i32; LANES / 2]) -> Self {
        // SAFETY: as in `zero`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe {
            let x = _mm512_castsi256_si512(_mm256_loadu_si256(words.as_ptr().cast()));
            _mm512_permutexvar_epi32(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x)
        })
    }

    #[inline(always)]
    pub(super) fn spread16(&[a, b, c, d]: &[i32; LANES / 4]) -> Self {
        // SAFETY: as in `zero`.
        Self(unsafe { _mm512_setr_epi32(a, b, a, b, a, b, a, b, c, d, c, d, c, d, c, d) })
    }

    #[inline(always)]
    fn plus(self, digits: __m512i, x: Self) -> Self {
        // SAFETY: as in `zero`, and with VNNI where that is used.
        Self(unsafe {
            #[cfg(target_feature = "avx512vnni")]
            let sum = core::arch::x86_64::_mm512_dpwssd_epi32(self.0, digits, x.0);
            #[cfg(not(target_feature = "avx512vnni"))]
            let sum = _mm512_add_epi32(self.0, core::arch::x86_64::_mm512_madd_epi16(digits, x.0));
            sum
        })
    }

    #[inline(always)]
    pub(super) fn bytes([lower, upper]: [Self; 2], blocks: Self, x: Self) -> [Self; 2] {
        // SAFETY: as in `zero`.
        let digits = unsafe { [_mm512_and_si512(blocks.0, _mm512_set1_epi16(0xff)), _mm512_srai_epi16::<8>(blocks.0)] };
        [lower.plus(digits[0], x), upper.plus(digits[1], x)]
    }

    #[inline(always)]
    pub(super) fn nibbles([a, b, c, d]: [Self; 4], blocks: Self, x: Self) -> [Self; 4] {
        // SAFETY: as in `zero`.
        let digits = unsafe {
            let (nibble, upper) = (_mm512_set1_epi16(0xf), _mm512_srai_epi16::<8>(blocks.0));
            let lower = _mm512_and_si512(blocks.0, _mm512_set1_epi16(0xff));
            [_mm512_and_si512(blocks.0, nibble), lower, _mm512_and_si512(upper, nibble), upper]
        };
        [a.plus(digits[0], x), b.plus(digits[1], x), c.plus(digits[2], x), d.plus(digits[3], x)]
    }

    #[inline(always)]
    pub(super) fn carry([lower, upper]: [Self; 2]) -> [Self; 2] {
        // SAFETY: as in `zero`.
        unsafe {
            let carry = _mm512_srai_epi32::<8>(lower.0);
            [Self(_mm512_and_si512(lower.0, _mm512_set1_epi32(0xff))), Self(_mm512_add_epi32(upper.0, carry))]
        }
    }

    /// The sums of its lower and of its upper lanes, by eights.
    #[inline(always)]
    pub(super) fn halves(self) -> [__m128i; 2] {
        // SAFETY: as in `zero`.
        unsafe {
            let sum = _mm256_add_epi32(_mm512_castsi512_si256(self.0), _mm512_extracti64x4_epi64::<1>(self.0));
            [_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum)]
        }
    }
}
