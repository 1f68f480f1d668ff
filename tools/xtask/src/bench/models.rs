//! What is run: the sizes and formats that are measured.

use cellstate::model::header::Weights;

/// Inputs and hidden units.
pub(crate) const SIZES: [(usize, usize); 6] = [(3, 16), (6, 32), (12, 64), (40, 64), (28, 128), (64, 256)];
/// Of which the cycles are looked at: the one size for which a closed engine has published its own on a Cortex-M4.
pub(crate) const CYCLES_SIZE: (usize, usize) = (7, 32);
/// All weight formats.
pub(crate) const WEIGHTS: [Weights; 3] = [Weights::W8, Weights::W16, Weights::W4];
