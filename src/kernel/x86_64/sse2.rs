//! SSE2: eight lanes in two registers.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_and_si128, _mm_madd_epi16, _mm_set1_epi16, _mm_set1_epi32, _mm_setr_epi32,
    _mm_setzero_si128, _mm_srai_epi16, _mm_srai_epi32,
};

use bytemuck::cast;

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 8;
/// Records that share a vector's loads.
pub(super) const TOGETHER: usize = 1;

#[derive(Clone, Copy)]
pub(super) struct Wide([__m128i; 2]);

impl Wide {
    #[inline(always)]
    pub(super) fn zero() -> Self {
        // SAFETY: every x86-64 core has SSE2.
        Self(unsafe { [_mm_setzero_si128(); 2] })
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        Self(cast(*words))
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        Self::load(&super::fill(words))
    }

    #[inline(always)]
    pub(super) fn spread8(&[a, b, c, d]: &[i32; LANES / 2]) -> Self {
        // SAFETY: as in `zero`.
        Self(unsafe { [_mm_setr_epi32(a, a, b, b), _mm_setr_epi32(c, c, d, d)] })
    }

    #[inline(always)]
    pub(super) fn spread16(&[a, b]: &[i32; LANES / 4]) -> Self {
        // SAFETY: as in `zero`.
        Self(unsafe { [_mm_setr_epi32(a, b, a, b); 2] })
    }

    #[inline(always)]
    fn plus(self, digits: [__m128i; 2], x: Self) -> Self {
        let Self([a, b]) = self;
        // SAFETY: as in `zero`.
        Self(unsafe {
            [_mm_add_epi32(a, _mm_madd_epi16(digits[0], x.0[0])), _mm_add_epi32(b, _mm_madd_epi16(digits[1], x.0[1]))]
        })
    }

    /// Sums of the lower and of the upper bytes of the blocks' halfwords.
    #[inline(always)]
    pub(super) fn bytes([lower, upper]: [Self; 2], blocks: Self, x: Self) -> [Self; 2] {
        // SAFETY: as in `zero`.
        let lowers = blocks.0.map(|b| unsafe { _mm_and_si128(b, _mm_set1_epi16(0xff)) });
        // SAFETY: as in `zero`.
        let uppers = blocks.0.map(|b| unsafe { _mm_srai_epi16::<8>(b) });
        [lower.plus(lowers, x), upper.plus(uppers, x)]
    }

    #[inline(always)]
    pub(super) fn nibbles([a, b, c, d]: [Self; 4], blocks: Self, x: Self) -> [Self; 4] {
        // SAFETY: as in `zero`.
        let and = |b: __m128i, mask| unsafe { _mm_and_si128(b, _mm_set1_epi16(mask)) };
        // SAFETY: as in `zero`.
        let upper = blocks.0.map(|b| unsafe { _mm_srai_epi16::<8>(b) });
        [
            a.plus(blocks.0.map(|b| and(b, 0xf)), x),
            b.plus(blocks.0.map(|b| and(b, 0xff)), x),
            c.plus(upper.map(|b| and(b, 0xf)), x),
            d.plus(upper, x),
        ]
    }

    #[inline(always)]
    pub(super) fn carry([lower, upper]: [Self; 2]) -> [Self; 2] {
        // SAFETY: as in `zero`.
        let rest = lower.0.map(|b| unsafe { _mm_and_si128(b, _mm_set1_epi32(0xff)) });
        let (Self([a, b]), Self([c, d])) = (lower, upper);
        // SAFETY: as in `zero`.
        let carried = unsafe { [_mm_add_epi32(c, _mm_srai_epi32::<8>(a)), _mm_add_epi32(d, _mm_srai_epi32::<8>(b))] };
        [Self(rest), Self(carried)]
    }

    /// Its lower and its upper lanes.
    #[inline(always)]
    pub(super) fn halves(self) -> [__m128i; 2] {
        self.0
    }
}
