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

use crate::kernel::{self, Four, ROWS, Vector, mul_high};
use crate::model::header::Weights;
use crate::numeric::activation::{gate_raw, tanh_raw};
use crate::numeric::rounding::saturate_q15;

/// Fractional bits of the 32-bit state.
pub const FRAC: u8 = 30;

/// One GRU layer of a checked model: its records in the order of [`Shape::sections`](crate::model::layer::Shape::sections).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gru<'a> {
    pub(crate) sections: [&'a [i32]; 4],
    pub(crate) weights: Weights,
    pub(crate) z_shift: u8,
    pub(crate) hard: bool,
}

impl Gru<'_> {
    /// One step with the reset gate after the product. Vectors are padded; `h_next` must not be `h`.
    pub(crate) fn step_after(&self, x: &[Four], h: &[Four], state: &mut [i32], h_next: &mut [i16]) {
        let count = state.len().div_ceil(ROWS);
        let (x, h) = ([Vector::new(self.weights, x)], [Vector::new(self.weights, h)]);
        let both = [x[0], h[0]];
        let [r, z, nx, nh] = self.sections;
        let gates = kernel::rows(self.weights, r, count, &both).zip(kernel::rows(self.weights, z, count, &both));
        let parts = kernel::rows(self.weights, nx, count, &x).zip(kernel::rows(self.weights, nh, count, &h));
        let units = state.chunks_mut(ROWS).zip(h_next.chunks_mut(ROWS));
        for (((r, z), (nx, nh)), (state, h_next)) in gates.zip(parts).zip(units) {
            for (k, (state, h_next)) in state.iter_mut().zip(h_next).enumerate() {
                let reset = gate_raw(self.hard, self.shifted(r, k));
                let n = at(nx, k).wrapping_add(mul_high(at(nh, k), reset << 16) << 1); // bounded by the loader
                (*state, *h_next) = self.update(*state, self.shifted(z, k), n);
            }
        }
    }

    /// One step with the reset gate before the product. `reset` is scratch, padded as `h`.
    pub(crate) fn step_before(
        &self,
        x: &[Four],
        h: &[Four],
        state: &mut [i32],
        h_next: &mut [i16],
        reset: &mut [Four],
    ) {
        let count = state.len().div_ceil(ROWS);
        let both = [Vector::new(self.weights, x), Vector::new(self.weights, h)];
        let [r, z, n, _] = self.sections;
        let hidden = bytemuck::cast_slice::<Four, i16>(h).chunks(ROWS);
        let scratch = bytemuck::cast_slice_mut::<Four, i16>(reset).chunks_mut(ROWS);
        for (r, (h, reset)) in kernel::rows(self.weights, r, count, &both).zip(hidden.zip(scratch)) {
            for (k, (h, reset)) in h.iter().zip(reset).enumerate() {
                let gate = gate_raw(self.hard, self.shifted(r, k));
                *reset = ((gate * i32::from(*h) + (1 << 14)) >> 15) as i16;
            }
        }
        let candidates = [Vector::new(self.weights, x), Vector::new(self.weights, reset)];
        let rows = kernel::rows(self.weights, z, count, &both).zip(kernel::rows(self.weights, n, count, &candidates));
        let units = state.chunks_mut(ROWS).zip(h_next.chunks_mut(ROWS));
        for ((z, n), (state, h_next)) in rows.zip(units) {
            for (k, (state, h_next)) in state.iter_mut().zip(h_next).enumerate() {
                (*state, *h_next) = self.update(*state, self.shifted(z, k), at(n, k));
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

#[inline(always)]
fn at(z: [i32; ROWS], k: usize) -> i32 {
    z.get(k).copied().unwrap_or(0)
}
