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

use crate::kernel::{self, Four, ROWS, Vector, mul_high};
use crate::model::header::Weights;
use crate::numeric::activation::{sigmoid_raw, tanh_raw};

/// The smallest and largest number of fractional bits of a cell state: magnitudes up to `2^14` and down to 2.
pub const CELL_FRAC: core::ops::RangeInclusive<u8> = 17..=30;

/// One LSTM layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lstm<'a> {
    pub(crate) records: &'a [i32],
    pub(crate) weights: Weights,
    pub(crate) cell_frac: u8,
    pub(crate) z_shift: u8,
}

impl Lstm<'_> {
    /// One time step. `x` and `h` are padded; `h_next` receives the new hidden state and must not be `h`.
    pub(crate) fn step(&self, x: &[Four], h: &[Four], cell: &mut [i32], h_next: &mut [i16]) {
        let update = Update::new(self.cell_frac, self.z_shift);
        let vectors = [Vector::new(self.weights, x), Vector::new(self.weights, h)];
        kernel::units(self.weights, self.records, &vectors, cell, h_next, move |c, z| update.step(c, z));
    }
}

/// The cell update of a layer: what is the same for all its units.
#[derive(Clone, Copy)]
struct Update {
    z_shift: u32,
    /// The shift from Q0.30 to the cell state's format, and half of its last bit.
    write_shift: u32,
    write_half: i32,
    /// One less than the shift from the cell state's format to Q16.16.
    read_shift: u32,
}

impl Update {
    #[inline(always)]
    fn new(cell_frac: u8, z_shift: u8) -> Self {
        let frac = u32::from(cell_frac);
        let write_shift = 30u32.wrapping_sub(frac) & 31;
        let read_shift = frac.wrapping_sub(17) & 31;
        Self { z_shift: (z_shift & 31).into(), write_shift, write_half: 1 << write_shift >> 1, read_shift }
    }

    /// From the four sums of a unit to its new cell state and hidden state.
    ///
    /// `2 * mul_high(c, f << 16)` is `f c`: twice a rounded half, so that one `SMMULR` and one `QDADD` do it on Arm.
    #[inline(always)]
    fn step(self, c: i32, z: [i32; ROWS]) -> (i32, i16) {
        let [zi, zf, zg, zo] = z;
        let (i, f) = (sigmoid_raw(zi << self.z_shift), sigmoid_raw(zf << self.z_shift));
        let (g, o) = (tanh_raw(zg << self.z_shift), sigmoid_raw(zo << self.z_shift));
        let kept = mul_high(c, f << 16) << 1; // |kept| < 2^31, for f < 1
        let written = (i * g + self.write_half) >> self.write_shift; // i g is Q0.30, below 2^30
        let c = written.saturating_add(kept);
        // shift_right(c, cell_frac - 16), which is at least 1: the half is added one bit above.
        let t = tanh_raw(((c >> self.read_shift) + 1) >> 1);
        (c, ((o * t + (1 << 14)) >> 15) as i16)
    }
}
