//! Where each weight of a block stands: the one home of the packed layout, for the converter and the loader.
//!
//! A *block* is four rows by four columns. Halfwords are columns, so that one 16-bit multiply of a packed pair meets the
//! packed pair of samples it belongs to.
//!
//! | format | words of a block | a halfword holds, for one column |
//! | --- | --- | --- |
//! | w8 | rows 0 1, columns 0 1; rows 2 3, columns 0 1; rows 0 1, columns 2 3; rows 2 3, columns 2 3 | even row + 128, odd row |
//! | w4 | columns 0 1; columns 2 3 | row 0 + 8, row 1 + 8, row 2 + 8, row 3, four bits each |
//! | w16 | row 0, columns 0 1; row 0, columns 2 3; row 1, ... | the weight |
//!
//! The lowest bits come first. All but the last row of a halfword are stored with an offset ([`W8_OFFSET`],
//! [`W4_OFFSET`]), which makes the halfword the plain sum `w_last 2^k + ... + w_0` of its digits: a kernel may multiply
//! it whole and take the digits apart afterwards. The offset times the sum of the samples is subtracted once a step.

use super::{COLUMNS, ROWS};
use crate::model::header::Weights;

/// What is added to the even rows of w8 weights.
pub const W8_OFFSET: i32 = 128;
/// What is added to the first three rows of w4 weights.
pub const W4_OFFSET: i32 = 8;

/// The weights of one block, row by row.
pub type Block = [[i32; COLUMNS]; ROWS];

/// Packs a block into its words; as many of them as the format has, the rest zero.
///
/// Weights must be within `-128..=127` for w8, `-8..=7` for w4, `-32768..=32767` for w16.
pub fn pack(weights: Weights, block: &Block) -> [i32; 2 * ROWS] {
    let mut words = [0; 2 * ROWS];
    for (r, row) in block.iter().enumerate() {
        for (c, &w) in row.iter().enumerate() {
            let (word, bit, offset, width) = place(weights, r, c);
            let digit = w.wrapping_add(offset) & (u32::MAX >> (32 - width)) as i32;
            if let Some(word) = words.get_mut(word) {
                *word |= digit << bit;
            }
        }
    }
    words
}

/// The weight at a row and column of a packed block.
#[inline(always)]
pub fn unpack(weights: Weights, words: &[i32], row: usize, column: usize) -> i32 {
    let (word, bit, offset, width) = place(weights, row, column);
    let word = words.get(word).copied().unwrap_or_default();
    let digit = word << ((32 - width - bit) & 31) >> ((32 - width) & 31);
    if offset == 0 { digit } else { (digit & (u32::MAX >> (32 - width)) as i32) - offset }
}

/// Word, lowest bit, offset and width of a weight.
#[inline(always)]
const fn place(weights: Weights, row: usize, column: usize) -> (usize, u32, i32, u32) {
    let (pair, half) = (column / 2, 16 * (column % 2) as u32);
    match weights {
        Weights::W8 if row.is_multiple_of(2) => (2 * pair + row / 2, half, W8_OFFSET, 8),
        Weights::W8 => (2 * pair + row / 2, half + 8, 0, 8),
        Weights::W4 if row < ROWS - 1 => (pair, half + 4 * row as u32, W4_OFFSET, 4),
        Weights::W4 => (pair, half + 12, 0, 4),
        Weights::W16 => (2 * row + pair, half, 0, 16),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_weight_comes_back() {
        for (weights, low, high) in [(Weights::W4, -8, 7), (Weights::W8, -128, 127), (Weights::W16, -32768, 32767)] {
            for seed in 0..1000i32 {
                let mut block = Block::default();
                for (k, w) in block.as_flattened_mut().iter_mut().enumerate() {
                    let v = seed.wrapping_mul(0x9E37_79B9u32 as i32).rotate_left(k as u32 * 7) >> 8;
                    *w = [low, high, 0, v.rem_euclid(high - low + 1) + low][((seed >> (2 * (k % 5))) & 3) as usize];
                }
                let words = pack(weights, &block);
                assert!(words[weights.block_words()..].iter().all(|&w| w == 0));
                for (r, row) in block.iter().enumerate() {
                    for (c, &w) in row.iter().enumerate() {
                        assert_eq!(unpack(weights, &words, r, c), w, "{weights:?} {r} {c}");
                    }
                }
            }
        }
    }
}
