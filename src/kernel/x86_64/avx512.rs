//! AVX-512: sixteen lanes. Products and their sum are one instruction with VNNI, two without.

use core::arch::x86_64::{
    __m512i, _mm_loadu_si128, _mm512_add_epi32, _mm512_and_si512, _mm512_castps_si512, _mm512_castsi128_si512,
    _mm512_castsi512_ps, _mm512_dpwssd_epi32, _mm512_inserti32x4, _mm512_loadu_si512, _mm512_madd_epi16,
    _mm512_maskz_loadu_epi32, _mm512_mulhi_epu16, _mm512_mullo_epi16, _mm512_permutex_epi64, _mm512_permutexvar_epi32,
    _mm512_set1_epi32, _mm512_setr_epi32, _mm512_shuffle_i64x2, _mm512_shuffle_ps, _mm512_slli_epi64,
    _mm512_srai_epi16, _mm512_srai_epi32, _mm512_srli_epi16, _mm512_srli_epi32, _mm512_sub_epi32,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// 32-bit lanes of a [`Wide`].
pub(super) const LANES: usize = 16;

#[derive(Clone, Copy)]
pub(super) struct Wide(__m512i);

impl Wide {
    operations! {
        add: a, b = _mm512_add_epi32;
        sub: a, b = _mm512_sub_epi32;
        and: a, b = _mm512_and_si512;
        madd: a, b = _mm512_madd_epi16;
        mul_high: a, b = _mm512_mulhi_epu16;
        mul_low: a, b = _mm512_mullo_epi16;
        low_words: a, b = _mm512_unpacklo_epi32;
        high_words: a, b = _mm512_unpackhi_epi32;
        low_pairs: a, b = _mm512_unpacklo_epi64;
        high_pairs: a, b = _mm512_unpackhi_epi64;
        upper_bytes: a = _mm512_srai_epi16::<8>;
        top_bits: a = _mm512_srli_epi16::<15>;
        halves: a = _mm512_srli_epi32::<16>;
        sixteenth: a = _mm512_srai_epi32::<4>;
        shifted: a = _mm512_srai_epi32::<8>;
        up: a = _mm512_slli_epi64::<32>;
    }

    #[inline(always)]
    pub(super) fn set(word: i32) -> Self {
        // SAFETY: this file is compiled for cores with AVX-512 F and BW alone.
        Self(unsafe { _mm512_set1_epi32(word) })
    }

    #[inline(always)]
    pub(super) fn load(words: &[i32; LANES]) -> Self {
        // SAFETY: as in `set`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    pub(super) fn part(words: &[i32]) -> Self {
        let mask = (1u32 << words.len().min(LANES)) - 1;
        // SAFETY: as in `set`; the mask has one bit a word, and no other word is read.
        Self(unsafe { _mm512_maskz_loadu_epi32(mask as u16, words.as_ptr()) })
    }

    #[inline(always)]
    pub(super) fn four([a, b, c, d]: [&[i32; 4]; LANES / 4]) -> Self {
        // SAFETY: as in `set`; the words are as many as the instruction reads, aligned or not.
        Self(unsafe {
            let [a, b, c, d] = [a, b, c, d].map(|words| _mm_loadu_si128(words.as_ptr().cast()));
            let ab = _mm512_inserti32x4::<1>(_mm512_castsi128_si512(a), b);
            _mm512_inserti32x4::<3>(_mm512_inserti32x4::<2>(ab, c), d)
        })
    }

    #[inline(always)]
    pub(super) fn words(self) -> [[i32; 4]; LANES / 4] {
        // SAFETY: both are sixteen words of any bits.
        unsafe { core::mem::transmute(self.0) }
    }

    #[inline(always)]
    fn permuted(self, lanes: __m512i) -> Self {
        // SAFETY: as in `set`.
        Self(unsafe { _mm512_permutexvar_epi32(lanes, self.0) })
    }

    #[inline(always)]
    pub(super) fn spread8(self) -> Self {
        // SAFETY: as in `set`.
        self.permuted(unsafe { _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7) })
    }

    #[inline(always)]
    pub(super) fn spread16(self) -> Self {
        // SAFETY: as in `set`.
        self.permuted(unsafe { _mm512_setr_epi32(0, 1, 0, 1, 0, 1, 0, 1, 2, 3, 2, 3, 2, 3, 2, 3) })
    }

    #[inline(always)]
    pub(super) fn dot(self, a: Self, b: Self) -> Self {
        if cfg!(target_feature = "avx512vnni") {
            // SAFETY: as in `set`, and with VNNI.
            Self(unsafe { _mm512_dpwssd_epi32(self.0, a.0, b.0) })
        } else {
            Self::add(self, Self::madd(a, b))
        }
    }

    /// The sums of halves: those of the first, then those of the second.
    #[inline(always)]
    fn halved(a: Self, b: Self) -> Self {
        // SAFETY: as in `set`.
        let halves = unsafe { [_mm512_shuffle_i64x2::<0x44>(a.0, b.0), _mm512_shuffle_i64x2::<0xee>(a.0, b.0)] };
        Self::add(Self(halves[0]), Self(halves[1]))
    }

    #[inline(always)]
    pub(super) fn join([a, b, c, d]: [Self; LANES / 4]) -> Self {
        let (a, b) = (Self::halved(a, b).0, Self::halved(c, d).0);
        // SAFETY: as in `set`.
        let quarters = unsafe { [_mm512_shuffle_i64x2::<0x88>(a, b), _mm512_shuffle_i64x2::<0xdd>(a, b)] };
        Self::add(Self(quarters[0]), Self(quarters[1]))
    }

    #[inline(always)]
    pub(super) fn join_pairs([a, b, c, d]: [Self; LANES / 4]) -> Self {
        let pairs = |a: Self, b: Self| {
            // SAFETY: as in `set`.
            unsafe {
                let (a, b) = (_mm512_castsi512_ps(a.0), _mm512_castsi512_ps(b.0));
                let even = _mm512_castps_si512(_mm512_shuffle_ps::<0b10_00_10_00>(a, b));
                let odd = _mm512_castps_si512(_mm512_shuffle_ps::<0b11_01_11_01>(a, b));
                Self(_mm512_add_epi32(even, odd))
            }
        };
        // SAFETY: as in `set`.
        Self(unsafe { _mm512_permutex_epi64::<0b11_01_10_00>(Self::halved(pairs(a, b), pairs(c, d)).0) })
    }
}
