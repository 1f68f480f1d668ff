//! The input map: raw sensor counts or floats to centred, scaled Q0.15 samples.
//!
//! The converter folds the centre and the gain of each feature back into the first layer, exactly, so the map costs no
//! accuracy: it only makes every feature fill its 16 bits.

use crate::numeric::rounding::saturate_q15;

/// One feature's map, as it stands in the words section.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Feature {
    /// Counts are multiplied by this; magnitude at most 32767.
    pub multiplier: i32,
    /// Then this is added (the centre, and the half that rounds the shift); magnitude at most `2^30`.
    pub bias: i32,
    /// Then the sum is shifted right by this, `0..=30`.
    pub shift: u32,
    /// Floats: subtracted first, in model units.
    pub centre: f32,
    /// Floats: Q0.15 units per model unit.
    pub gain: f32,
}

impl Feature {
    /// The feature as words of the blob.
    pub const fn to_words(self) -> [i32; 5] {
        let (centre, gain) = (self.centre.to_bits() as i32, self.gain.to_bits() as i32);
        [self.multiplier, self.bias, self.shift as i32, centre, gain]
    }

    /// The feature from words of the blob.
    pub const fn from_words(words: [i32; 5]) -> Self {
        let [multiplier, bias, shift, centre, gain] = words;
        Self {
            multiplier,
            bias,
            shift: shift as u32,
            centre: f32::from_bits(centre as u32),
            gain: f32::from_bits(gain as u32),
        }
    }

    /// Whether no sample can overflow: what the loader asks for.
    pub fn is_valid(self) -> bool {
        self.multiplier.unsigned_abs() <= 32767
            && self.bias.unsigned_abs() <= 1 << 30
            && self.shift <= 30
            && self.centre.is_finite()
            && self.gain.is_finite()
    }

    /// A raw count as Q0.15: `(count * multiplier + bias) >> shift`, saturated to `±32767`.
    ///
    /// The half that makes the shift round is part of the bias.
    #[inline(always)]
    pub fn map_count(self, count: i16) -> i16 {
        saturate_q15(i32::from(count).wrapping_mul(self.multiplier).wrapping_add(self.bias) >> (self.shift & 31))
    }

    /// A float in model units as Q0.15: `(x - centre) * gain`, rounded half up, saturated to `±32767`; NaN becomes 0.
    #[inline]
    pub fn map_float(self, x: f32) -> i16 {
        let v = ((x - self.centre) * self.gain).clamp(-32767.0, 32767.0) + 0.5;
        let whole = v as i32; // towards zero; NaN is 0
        saturate_q15(if whole as f32 > v { whole - 1 } else { whole })
    }
}
