//! The weight formats: how a register of weights meets the samples, and what the sums in its lanes are.

use super::TOGETHER;
use super::wide::Wide;
use crate::kernel::W16_SHIFT;
use crate::model::header::Weights;

/// Sums in lanes of the products of a record's blocks with one vector.
pub(super) trait Format: Copy {
    const BLOCK_WORDS: usize;
    /// Whether [`carry`](Self::carry) does something.
    const CARRIES: bool = false;

    fn zero() -> Self;
    /// Columns, as many as meet a register of weights or fewer, from the lower lanes to where their weights are.
    fn spread(columns: Wide) -> Wide;
    fn add(self, blocks: Wide, x: Wide) -> Self;
    fn carry(self) -> Self {
        self
    }
    /// The four rows' sums of each record, which begin with `first`.
    fn rows(sums: [Self; TOGETHER], first: Wide) -> Wide;
}

/// Lanes of the first are rows 0 and 2, then again; of the second rows 1 and 3.
#[derive(Clone, Copy)]
pub(super) struct W8([Wide; 2]);

impl Format for W8 {
    const BLOCK_WORDS: usize = Weights::W8.block_words();

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::set(0); 2])
    }

    #[inline(always)]
    fn spread(columns: Wide) -> Wide {
        columns.spread8()
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        Self(bytes(self.0, blocks, x))
    }

    #[inline(always)]
    fn rows(sums: [Self; TOGETHER], first: Wide) -> Wide {
        Wide::add(Wide::join(sums.map(|Self([even, odd])| words(even, odd))), first)
    }
}

/// Row 0; 16 row 1 + row 0; row 2; 16 row 3 + row 2.
#[derive(Clone, Copy)]
pub(super) struct W4([Wide; 4]);

impl Format for W4 {
    const BLOCK_WORDS: usize = Weights::W4.block_words();

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::set(0); 4])
    }

    #[inline(always)]
    fn spread(columns: Wide) -> Wide {
        columns
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        let Self([a, b, c, d]) = self;
        let ([b, d], nibble) = (bytes([b, d], blocks, x), Wide::set(0x000f_000f));
        let upper = Wide::upper_bytes(blocks);
        Self([a.dot(Wide::and(blocks, nibble), x), b, c.dot(Wide::and(upper, nibble), x), d])
    }

    #[inline(always)]
    fn rows(sums: [Self; TOGETHER], first: Wide) -> Wide {
        let sums = Wide::join(sums.map(|Self([a, b, c, d])| {
            let (ab, cd) = (words(a, b), words(c, d));
            Wide::add(Wide::low_pairs(ab, cd), Wide::high_pairs(ab, cd))
        }));
        // 16 times a sum of 4-bit weights fits, by the loader's bound.
        let sums = Wide::add(Wide::sub(sums, Wide::up(sums)), first);
        let odd = Wide::up(Wide::set(-1));
        Wide::add(Wide::and(Wide::sixteenth(sums), odd), Wide::sub(sums, Wide::and(sums, odd)))
    }
}

/// Lanes are rows 0 to 3, each twice: of the first the lower bytes, of the second the upper ones.
#[derive(Clone, Copy)]
pub(super) struct W16([Wide; 2]);

impl Format for W16 {
    const BLOCK_WORDS: usize = Weights::W16.block_words();
    const CARRIES: bool = true;

    #[inline(always)]
    fn zero() -> Self {
        Self([Wide::set(0); 2])
    }

    #[inline(always)]
    fn spread(columns: Wide) -> Wide {
        columns.spread16()
    }

    #[inline(always)]
    fn add(self, blocks: Wide, x: Wide) -> Self {
        Self(bytes(self.0, blocks, x))
    }

    #[inline(always)]
    fn carry(self) -> Self {
        let Self([lower, upper]) = self;
        Self([Wide::and(lower, Wide::set(0xff)), Wide::add(upper, Wide::shifted(lower))])
    }

    #[inline(always)]
    fn rows(sums: [Self; TOGETHER], first: Wide) -> Wide {
        const { assert!(W16_SHIFT == 8, "a digit is what is shifted out") };
        let lower = Wide::add(Wide::join_pairs(sums.map(|Self([lower, _])| lower)), first);
        Wide::add(Wide::join_pairs(sums.map(|Self([_, upper])| upper)), Wide::shifted(lower))
    }
}

/// Sums of the lower and of the upper bytes of the blocks' halfwords.
#[inline(always)]
fn bytes([lower, upper]: [Wide; 2], blocks: Wide, x: Wide) -> [Wide; 2] {
    [lower.dot(Wide::and(blocks, Wide::set(0x00ff_00ff)), x), upper.dot(Wide::upper_bytes(blocks), x)]
}

/// In each four lanes `a[0] + a[2], b[0] + b[2], a[1] + a[3], b[1] + b[3]`.
#[inline(always)]
fn words(a: Wide, b: Wide) -> Wide {
    Wide::add(Wide::low_words(a, b), Wide::high_words(a, b))
}
