//! LSTMs with hard sigmoids, peepholes (Gers et al. 2002), a projection of the hidden state (Sak et al. 2014), or matrices in
//! formats of their own.
//!
//! As [`lstm`](super::lstm), and:
//!
//! | quantity | format |
//! | --- | --- |
//! | peephole weights | i16 with a layer's number of fractional bits |
//! | a peephole's product | exact in 64 bits, rounded half up to Q16.16, added with saturation |
//! | projected hidden state | i16, saturated to `±32767` units of the layer's scale |

use super::dense::{Dense, Outputs};
use super::lstm::{Update, gates};
use super::sums::Sums;
use crate::kernel::{Four, ROWS};
use crate::model::header::{Activation, Weights};
use crate::numeric::activation::gate_raw;

/// One such layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LstmVariant<'a> {
    pub(crate) sections: [&'a [i32]; 2],
    /// Three words a unit, for i, f and o; or none.
    pub(crate) peepholes: &'a [i32],
    pub(crate) projection: &'a [i32],
    /// Of the projection.
    pub(crate) weights: Weights,
    pub(crate) cell_frac: u8,
    pub(crate) z_shift: u8,
    pub(crate) hard: bool,
    pub(crate) peephole_frac: u8,
}

impl LstmVariant<'_> {
    /// One step up to `o tanh(c)`, which `out` receives: the hidden state, or what is projected to it.
    #[inline(never)] // one for each way that the matrices stand
    pub(crate) fn step(&self, sums: &impl Sums, cell: &mut [i32], out: &mut [i16]) {
        let update = Update::new(self.cell_frac, self.z_shift);
        let rows = sums.rows(self.sections, cell.len());
        let (peepholes, _) = self.peepholes.as_chunks::<3>();
        let shift = u32::from(self.cell_frac) + u32::from(self.peephole_frac) - 16;
        for (k, (z, (c, out))) in rows.zip(cell.iter_mut().zip(out)).enumerate() {
            let peephole = peepholes.get(k).copied().unwrap_or_default();
            (*c, *out) = update.step_variant(*c, z, self.hard, peephole, shift);
        }
    }

    /// The projection of what [`step`](Self::step) yielded.
    pub(crate) fn project(&self, hidden: &[Four], out: &mut [[i16; ROWS]]) {
        let dense =
            Dense { records: self.projection, weights: self.weights, activation: Activation::Linear, z_shift: 0 };
        dense.step(hidden, Outputs::Narrow(out));
    }

    /// The gates of such a step, unit by unit, in the order of the rows; of an LSTM without peepholes.
    pub(crate) fn gates(&self, sums: &impl Sums, units: usize, mut visit: impl FnMut(usize, &[i16])) {
        for (unit, z) in sums.rows(self.sections, units).enumerate() {
            visit(unit, &gates(z.map(|z| z << (self.z_shift & 31)), |z| gate_raw(self.hard, z)));
        }
    }
}
