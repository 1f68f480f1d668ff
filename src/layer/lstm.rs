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

use crate::kernel::{self, Four, ROWS, Vector, add_twice, mul_high};
use crate::model::header::Weights;
#[cfg(feature = "layers")]
use crate::numeric::activation::gate_raw;
use crate::numeric::activation::{sigmoid_raw, tanh_raw};

/// The smallest and largest number of fractional bits of a cell state: magnitudes up to `2^13` and down to 2.
///
/// With 17 the rounding of a saturated cell state to Q16.16 would need a 33rd bit.
pub const CELL_FRAC: core::ops::RangeInclusive<u8> = 18..=30;

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
    #[inline]
    pub(crate) fn step(&self, x: &[Four], h: &[Four], cell: &mut [i32], h_next: &mut [i16]) {
        let update = Update::new(self.cell_frac, self.z_shift);
        let vectors = [Vector::new(self.weights, x), Vector::new(self.weights, h)];
        kernel::units(self.weights, self.records, &vectors, cell, h_next, move |c, z| update.step(c, z));
    }

    /// The gates of such a step, unit by unit, in the order of the rows.
    pub(crate) fn gates(&self, x: &[Four], h: &[Four], units: usize, mut visit: impl FnMut(usize, [i16; ROWS])) {
        let vectors = [Vector::new(self.weights, x), Vector::new(self.weights, h)];
        for (unit, z) in kernel::rows(self.weights, self.records, units, &vectors).enumerate() {
            visit(unit, gates(z.map(|z| z << (self.z_shift & 31)), sigmoid_raw));
        }
    }
}

/// The gates of pre-activations in Q16.16.
pub(super) fn gates([i, f, g, o]: [i32; ROWS], sigmoid: impl Fn(i32) -> i32) -> [i16; ROWS] {
    [sigmoid(i), sigmoid(f), tanh_raw(g), sigmoid(o)].map(|gate| gate as i16)
}

/// The cell update of a layer: what is the same for all its units.
#[derive(Clone, Copy)]
pub(super) struct Update {
    z_shift: u32,
    /// The shift from Q0.30 to the cell state's format, and half of its last bit.
    write_shift: u32,
    write_half: i32,
    /// One less than the shift from the cell state's format to Q16.16.
    read_shift: u32,
}

impl Update {
    #[inline(always)]
    pub(super) fn new(cell_frac: u8, z_shift: u8) -> Self {
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
        let c = self.cell(c, i, f, g);
        (c, self.hidden(c, o))
    }

    /// The same with hard sigmoids or peepholes, whose products are shifted right by `shift`.
    #[cfg(feature = "layers")]
    #[inline(always)]
    pub(super) fn step_variant(
        self,
        c: i32,
        z: [i32; ROWS],
        hard: bool,
        [pi, pf, po]: [i32; 3],
        shift: u32,
    ) -> (i32, i16) {
        let [zi, zf, zg, zo] = z.map(|z| z << self.z_shift);
        // shift_right(c p, shift), and shift is at least 1.
        let look = |z: i32, c: i32, p: i32| {
            let product = (((i64::from(c) * i64::from(p)) >> (shift - 1)) + 1) >> 1;
            (i64::from(z) + product).clamp(i32::MIN.into(), i32::MAX.into()) as i32
        };
        let (i, f) = (gate_raw(hard, look(zi, c, pi)), gate_raw(hard, look(zf, c, pf)));
        let c = self.cell(c, i, f, tanh_raw(zg));
        (c, self.hidden(c, gate_raw(hard, look(zo, c, po))))
    }

    #[inline(always)]
    fn cell(self, c: i32, i: i32, f: i32, g: i32) -> i32 {
        let kept = mul_high(c, f << 16); // half of f c, below 2^30, for f < 1
        let written = (i * g + self.write_half) >> self.write_shift; // i g is Q0.30, below 2^30
        add_twice(written, kept)
    }

    #[inline(always)]
    fn hidden(self, c: i32, o: i32) -> i16 {
        // shift_right(c, cell_frac - 16), which is at least 1: the half is added one bit above.
        let t = tanh_raw(((c >> self.read_shift) + 1) >> 1);
        ((o * t + (1 << 14)) >> 15) as i16
    }
}
