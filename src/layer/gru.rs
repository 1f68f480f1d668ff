//! Gated recurrent unit.
//!
//! Cho et al. 2014: `r, z = sigmoid(W x + U h + b)`, `h = z h + (1 - z) n`, and the candidate `n` either way that
//! frameworks have it: `tanh(W x + b + r (U h + b'))`, the reset gate after the product (Keras's `reset_after`, PyTorch),
//! or `tanh(W x + U (r h) + b)`, before it.
//!
//! | quantity | format |
//! | --- | --- |
//! | `x`, `h` | Q0.15 |
//! | pre-activations | as an LSTM's: Q16.16 after the left shift by `z_shift` |
//! | gates and candidate | Q0.15 |
//! | `r v` of a product `v` | `2 mul_high(v, r << 16)` |
//! | `r h` | Q0.15, rounded half up |
//! | the state behind `h` | i32 with [`FRAC`] fractional bits: 16 would not decay where `z` is near 1 |

use super::sums::{Sums, at};
use crate::kernel::{Four, ROWS, mul_high};
use crate::model::layer::SECTIONS;
use crate::numeric::activation::{gate_raw, tanh_raw};
use crate::numeric::rounding::saturate_q15;

/// Fractional bits of the 32-bit state.
pub const FRAC: u8 = 30;

/// One GRU layer of a checked model: its records in the order of [`Shape::sections`](crate::model::layer::Shape::sections).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gru<'a> {
    pub(crate) sections: [&'a [i32]; SECTIONS],
    pub(crate) z_shift: u8,
    pub(crate) hard: bool,
}

impl Gru<'_> {
    /// One step with the reset gate after the product. Vectors are padded; `h_next` must not be `h`.
    #[inline(never)] // one for each way that the matrices stand
    pub(crate) fn step_after(&self, sums: &impl Sums, state: &mut [i32], h_next: &mut [i16]) {
        let count = state.len().div_ceil(ROWS);
        let [ra, rb, za, zb, nx, nh] = self.sections;
        let gates = sums.rows([ra, rb], count).zip(sums.rows([za, zb], count));
        let parts = sums.input(nx, count).zip(sums.hidden(nh, count));
        let units = state.chunks_mut(ROWS).zip(h_next.chunks_mut(ROWS));
        for (((r, z), (nx, nh)), (state, h_next)) in gates.zip(parts).zip(units) {
            for (k, (state, h_next)) in state.iter_mut().zip(h_next).enumerate() {
                let reset = gate_raw(self.hard, self.shifted(r, k));
                let n = at(nx, k).wrapping_add(mul_high(at(nh, k), reset << 16) << 1); // bounded by the loader
                (*state, *h_next) = self.update(*state, self.shifted(z, k), n);
            }
        }
    }

    /// The first half of a step with the reset gate before the product: the reset hidden state into `reset`, padded as `h`.
    #[inline(never)]
    pub(crate) fn reset(&self, sums: &impl Sums, h: &[Four], reset: &mut [Four]) {
        let [ra, rb, ..] = self.sections;
        let count = h.len();
        let hidden = bytemuck::cast_slice::<Four, i16>(h).chunks(ROWS);
        let scratch = bytemuck::cast_slice_mut::<Four, i16>(reset).chunks_mut(ROWS);
        for (r, (h, reset)) in sums.rows([ra, rb], count).zip(hidden.zip(scratch)) {
            for (k, (h, reset)) in h.iter().zip(reset).enumerate() {
                let gate = gate_raw(self.hard, self.shifted(r, k));
                *reset = ((gate * i32::from(*h) + (1 << 14)) >> 15) as i16;
            }
        }
    }

    /// The second half, the candidates' sums being of the reset hidden state.
    #[inline(never)]
    pub(crate) fn step_before<S: Sums>(&self, [sums, candidates]: [&S; 2], state: &mut [i32], h_next: &mut [i16]) {
        let count = state.len().div_ceil(ROWS);
        let [_, _, za, zb, na, nb] = self.sections;
        let rows = sums.rows([za, zb], count).zip(candidates.rows([na, nb], count));
        let units = state.chunks_mut(ROWS).zip(h_next.chunks_mut(ROWS));
        for ((z, n), (state, h_next)) in rows.zip(units) {
            for (k, (state, h_next)) in state.iter_mut().zip(h_next).enumerate() {
                (*state, *h_next) = self.update(*state, self.shifted(z, k), at(n, k));
            }
        }
    }

    /// The gates of a step unit by unit: reset, update, candidate. `candidates` are sums of the reset hidden state, for a reset
    /// gate before the product.
    pub(crate) fn gates<S: Sums>(
        &self,
        [sums, candidates]: [&S; 2],
        reset_after: bool,
        units: usize,
        mut visit: impl FnMut(usize, &[i16]),
    ) {
        let count = units.div_ceil(ROWS);
        let [ra, rb, za, zb, na, nb] = self.sections;
        let mut tell = |four: usize, r: [i32; ROWS], z: [i32; ROWS], n: &dyn Fn(usize, i32) -> i32| {
            for k in 0..ROWS.min(units.saturating_sub(four * ROWS)) {
                let reset = gate_raw(self.hard, self.shifted(r, k));
                let update = gate_raw(self.hard, self.shifted(z, k));
                let candidate = tanh_raw(n(k, reset) << (self.z_shift & 31));
                visit(four * ROWS + k, &[reset, update, candidate].map(|gate| gate as i16));
            }
        };
        let gates = sums.rows([ra, rb], count).zip(sums.rows([za, zb], count));
        if reset_after {
            let parts = sums.input(na, count).zip(sums.hidden(nb, count));
            for (four, ((r, z), (nx, nh))) in gates.zip(parts).enumerate() {
                tell(four, r, z, &|k, reset| at(nx, k).wrapping_add(mul_high(at(nh, k), reset << 16) << 1));
            }
        } else {
            for (four, ((r, z), n)) in gates.zip(candidates.rows([na, nb], count)).enumerate() {
                tell(four, r, z, &|k, _| at(n, k));
            }
        }
    }

    #[inline(always)]
    fn shifted(&self, z: [i32; ROWS], k: usize) -> i32 {
        at(z, k) << (self.z_shift & 31)
    }

    /// From the former state and the pre-activations of update gate and candidate to the new state and hidden state.
    #[inline(always)]
    fn update(&self, state: i32, z: i32, n: i32) -> (i32, i16) {
        let z = gate_raw(self.hard, z);
        let n = tanh_raw(n << (self.z_shift & 31));
        let kept = mul_high(state, z << 16) << 1;
        let state = ((32768 - z) * n).saturating_add(kept); // the product is Q0.30, at most 2^30
        (state, saturate_q15(((state >> (FRAC - 16)) + 1) >> 1))
    }
}
