//! SSE2: eight lanes in two registers.

use core::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_and_si128, _mm_castps_si128, _mm_castsi128_ps, _mm_loadu_si128, _mm_madd_epi16,
    _mm_mulhi_epu16, _mm_mullo_epi16, _mm_set1_epi32, _mm_shuffle_epi32, _mm_shuffle_ps, _mm_slli_epi64,
    _mm_srai_epi16, _mm_srai_epi32, _mm_srli_epi16, _mm_srli_epi32, _mm_sub_epi32, _mm_unpackhi_epi32,
    _mm_unpackhi_epi64, _mm_unpacklo_epi32, _mm_unpacklo_epi64,
};

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Wide([__m128i; 2]);

macro_rules! operations {
    ($($name:ident: $($x:ident),+ = $instruction:path;)+) => {$(
        #[inline(always)]
        pub(super) fn $name($($x: Self),+) -> Self {
            // SAFETY: every x86-64 core has SSE2.
            unsafe { Self([$instruction($($x.0[0]),+), $instruction($($x.0[1]),+)]) }
        }
    )+};
}

impl Wide {
    operations! {
        add: a, b = _mm_add_epi32;
        sub: a, b = _mm_sub_epi32;
        and: a, b = _mm_and_si128;
        madd: a, b = _mm_madd_epi16;
        mul_high: a, b = _mm_mulhi_epu16;
        mul_low: a, b = _mm_mullo_epi16;
        low_words: a, b = _mm_unpacklo_epi32;
        high_words: a, b = _mm_unpackhi_epi32;
        low_pairs: a, b = _mm_unpacklo_epi64;
        high_pairs: a, b = _mm_unpackhi_epi64;
        upper_bytes: a = _mm_srai_epi16::<8>;
        top_bits: a = _mm_srli_epi16::<15>;
        halves: a = _mm_srli_epi32::<16>;
        sixteenth: a = _mm_srai_epi32::<4>;
        shifted: a = _mm_srai_epi32::<8>;
        up: a = _mm_slli_epi64::<32>;
    }

    #[inline(always)]
    pub(super) fn set(word: i32) -> Self {
        // SAFETY: every x86-64 core has SSE2.
        Self([unsafe { _mm_set1_epi32(word) }; 2])
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        let (fours, _) = words.as_chunks();
        Self::four([&fours[0], &fours[1]])
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        let mut all = [0; LANES];
        for (all, &word) in all.iter_mut().zip(words) {
            *all = word;
        }
        Self::load(&all)
    }

    #[inline(always)]
    pub(super) fn four(words: [&[i32; 4]; LANES / 4]) -> Self {
        // SAFETY: as in `set`; the words are as many as the instruction reads, aligned or not.
        Self(words.map(|words| unsafe { _mm_loadu_si128(words.as_ptr().cast()) }))
    }

    #[inline(always)]
    pub(super) fn words(self) -> [[i32; 4]; LANES / 4] {
        self.0.map(bytemuck::cast)
    }

    #[inline(always)]
    pub(super) fn spread8(self) -> Self {
        // SAFETY: as in `set`.
        Self(unsafe { [_mm_shuffle_epi32::<0b01_01_00_00>(self.0[0]), _mm_shuffle_epi32::<0b11_11_10_10>(self.0[0])] })
    }

    #[inline(always)]
    pub(super) fn spread16(self) -> Self {
        // SAFETY: as in `set`.
        Self([unsafe { _mm_shuffle_epi32::<0b01_00_01_00>(self.0[0]) }; 2])
    }

    #[inline(always)]
    pub(super) fn dot(self, a: Self, b: Self) -> Self {
        Self::add(self, Self::madd(a, b))
    }

    #[inline(always)]
    pub(super) fn join([a, b]: [Self; LANES / 4]) -> Self {
        Self::add(Self([a.0[0], b.0[0]]), Self([a.0[1], b.0[1]]))
    }

    #[inline(always)]
    pub(super) fn join_pairs([a, b]: [Self; LANES / 4]) -> Self {
        let pairs = |k: usize, odd: bool| {
            // SAFETY: as in `set`.
            unsafe {
                let (a, b) = (_mm_castsi128_ps(a.0[k]), _mm_castsi128_ps(b.0[k]));
                let even = _mm_shuffle_ps::<0b10_00_10_00>(a, b);
                _mm_castps_si128(if odd { _mm_shuffle_ps::<0b11_01_11_01>(a, b) } else { even })
            }
        };
        let sums = Self::add(Self([pairs(0, false), pairs(1, false)]), Self([pairs(0, true), pairs(1, true)]));
        let swapped = Self([sums.0[1], sums.0[0]]);
        Self([Self::low_pairs(sums, swapped).0[0], Self::high_pairs(sums, swapped).0[0]])
    }
}
