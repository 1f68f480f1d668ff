//! Long short-term memory: one pass over the records, gates to hidden state without a buffer between.
//!
//! Hochreiter and Schmidhuber 1997 with the forget gate of Gers, Schmidhuber and Cummins 2000, as in Keras and PyTorch:
//! `c = f c + i g`, `h = o tanh(c)`, with `i, f, o` the sigmoid and `g` the tanh of `W x + U h + b`.
//!
//! | quantity | format |
//! | --- | --- |
//! | `x`, `h` | Q0.15 |
//! | accumulators | i32; of i16 weights, 64 bits shifted right by 8 |
//! | pre-activation | `(b + mul_high(W x, mw) + mul_high(U h, mu)) << z_shift`, Q16.16 |
//! | gates | Q0.15 |
//! | `c` | i32 with `cell_frac` fractional bits, saturating |

use super::{dot4, take4};
use crate::kernel::COLUMNS;
use crate::model::header::Weights;
use crate::numeric::activation::{sigmoid_raw, tanh_raw};
use crate::numeric::rounding::{mul_high, shift_right};

/// The smallest and largest number of fractional bits of a cell state: magnitudes up to `2^14` and down to 2.
pub const CELL_FRAC: core::ops::RangeInclusive<u8> = 17..=30;

/// One LSTM layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lstm<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) record_words: usize,
    /// Words of a record's `W` blocks.
    pub(crate) w_words: usize,
    pub(crate) weights: Weights,
    pub(crate) cell_frac: u8,
    pub(crate) z_shift: u8,
}

impl Lstm<'_> {
    /// One time step. `x` and `h` are padded; `h_next` receives the new hidden state and must not be `h`.
    pub(crate) fn step(&self, x: &[[i16; COLUMNS]], h: &[[i16; COLUMNS]], cell: &mut [i32], h_next: &mut [i16]) {
        let records = self.records.chunks_exact(self.record_words.max(1));
        for ((mut record, c), h_next) in records.zip(cell).zip(h_next) {
            let record = &mut record;
            let (bias, mw, mu) = (take4(record), take4(record), take4(record));
            let (w, u) = record.split_at_checked(self.w_words).unwrap_or_default();
            let acc_w = dot4(self.weights, w, x);
            let acc_u = dot4(self.weights, u, h);
            let z = |k: usize| (bias[k] + mul_high(acc_w[k], mw[k]) + mul_high(acc_u[k], mu[k])) << (self.z_shift & 31);
            (*c, *h_next) = update(*c, [z(0), z(1), z(2), z(3)], self.cell_frac);
        }
    }
}

/// The cell update from the four pre-activations in Q16.16: the new cell state and hidden state.
///
/// `2 * mul_high(c, f << 16)` is `f c`: twice a rounded half, so that one `SMMULR` and one `QDADD` do it on Arm.
#[inline(always)]
pub(crate) fn update(c: i32, z: [i32; 4], cell_frac: u8) -> (i32, i16) {
    let frac = u32::from(cell_frac);
    let (i, f, g, o) = (sigmoid_raw(z[0]), sigmoid_raw(z[1]), tanh_raw(z[2]), sigmoid_raw(z[3]));
    let kept = mul_high(c, f << 16) << 1; // |kept| < 2^31, for f < 1
    let written = shift_right(i * g, 30u32.wrapping_sub(frac) & 31); // i g is Q0.30
    let c = written.saturating_add(kept);
    let t = tanh_raw(shift_right(c, frac.wrapping_sub(16) & 31));
    (c, shift_right(o * t, 15) as i16)
}
