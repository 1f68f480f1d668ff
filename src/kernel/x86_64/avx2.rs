//! AVX2: eight lanes.

use core::arch::x86_64::{
    __m256i, _mm_loadu_si128, _mm256_add_epi32, _mm256_and_si256, _mm256_castps_si256, _mm256_castsi128_si256,
    _mm256_castsi256_ps, _mm256_cmpgt_epi32, _mm256_inserti128_si256, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maskload_epi32, _mm256_mulhi_epu16, _mm256_mullo_epi16, _mm256_permute2x128_si256, _mm256_permute4x64_epi64,
    _mm256_permutevar8x32_epi32, _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_ps, _mm256_slli_epi64,
    _mm256_srai_epi16, _mm256_srai_epi32, _mm256_srli_epi16, _mm256_srli_epi32, _mm256_sub_epi32,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
};

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 8;

#[derive(Clone, Copy)]
pub(super) struct Wide(__m256i);

impl Wide {
    operations! {
        add: a, b = _mm256_add_epi32;
        sub: a, b = _mm256_sub_epi32;
        and: a, b = _mm256_and_si256;
        madd: a, b = _mm256_madd_epi16;
        mul_high: a, b = _mm256_mulhi_epu16;
        mul_low: a, b = _mm256_mullo_epi16;
        low_words: a, b = _mm256_unpacklo_epi32;
        high_words: a, b = _mm256_unpackhi_epi32;
        low_pairs: a, b = _mm256_unpacklo_epi64;
        high_pairs: a, b = _mm256_unpackhi_epi64;
        upper_bytes: a = _mm256_srai_epi16::<8>;
        top_bits: a = _mm256_srli_epi16::<15>;
        halves: a = _mm256_srli_epi32::<16>;
        sixteenth: a = _mm256_srai_epi32::<4>;
        shifted: a = _mm256_srai_epi32::<8>;
        up: a = _mm256_slli_epi64::<32>;
    }

    #[inline(always)]
    pub(super) fn set(word: i32) -> Self {
        // SAFETY: this file is compiled for cores with AVX2 alone.
        Self(unsafe { _mm256_set1_epi32(word) })
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        // SAFETY: as in `set`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        // SAFETY: as in `set`; the mask has a lane a word, and no other word is read.
        Self(unsafe {
            let lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
            _mm256_maskload_epi32(words.as_ptr(), _mm256_cmpgt_epi32(_mm256_set1_epi32(words.len() as i32), lanes))
        })
    }

    #[inline(always)]
    pub(super) fn four([a, b]: [&[i32; 4]; LANES / 4]) -> Self {
        // SAFETY: as in `set`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe {
            let [a, b] = [a, b].map(|words| _mm_loadu_si128(words.as_ptr().cast()));
            _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(a), b)
        })
    }

    #[inline(always)]
    pub(super) fn words(self) -> [[i32; 4]; LANES / 4] {
        bytemuck::cast(self.0)
    }

    #[inline(always)]
    fn permuted(self, lanes: __m256i) -> Self {
        // SAFETY: as in `set`.
        Self(unsafe { _mm256_permutevar8x32_epi32(self.0, lanes) })
    }

    #[inline(always)]
    pub(super) fn spread8(self) -> Self {
        // SAFETY: as in `set`.
        self.permuted(unsafe { _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3) })
    }

    #[inline(always)]
    pub(super) fn spread16(self) -> Self {
        // SAFETY: as in `set`.
        self.permuted(unsafe { _mm256_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1) })
    }

    #[inline(always)]
    pub(super) fn dot(self, a: Self, b: Self) -> Self {
        Self::add(self, Self::madd(a, b))
    }

    #[inline(always)]
    pub(super) fn join([a, b]: [Self; LANES / 4]) -> Self {
        // SAFETY: as in `set`.
        let halves =
            unsafe { [_mm256_permute2x128_si256::<0x20>(a.0, b.0), _mm256_permute2x128_si256::<0x31>(a.0, b.0)] };
        Self::add(Self(halves[0]), Self(halves[1]))
    }

    #[inline(always)]
    pub(super) fn join_pairs([a, b]: [Self; LANES / 4]) -> Self {
        // SAFETY: as in `set`.
        unsafe {
            let (a, b) = (_mm256_castsi256_ps(a.0), _mm256_castsi256_ps(b.0));
            let even = _mm256_castps_si256(_mm256_shuffle_ps::<0b10_00_10_00>(a, b));
            let odd = _mm256_castps_si256(_mm256_shuffle_ps::<0b11_01_11_01>(a, b));
            Self(_mm256_permute4x64_epi64::<0b11_01_10_00>(_mm256_add_epi32(even, odd)))
        }
    }
}
