//! What is run: the sizes and formats that are measured, and packs of blobs for the firmware.

use cellstate::model::header::Weights;
use cellstate_app::trial;

/// Inputs and hidden units.
pub(crate) const SIZES: [(usize, usize); 6] = [(3, 16), (6, 32), (12, 64), (40, 64), (28, 128), (64, 256)];
/// Of which the cycles are looked at: the one size for which a closed engine has published its own on a Cortex-M4.
pub(crate) const CYCLES_SIZE: (usize, usize) = (7, 32);
/// All weight formats.
pub(crate) const WEIGHTS: [Weights; 3] = [Weights::W8, Weights::W16, Weights::W4];

/// A pack of trials for the firmware: each blob with its number of steps.
pub(crate) fn pack(trials: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0; trial::PACK_PREFIX];
    for (steps, blob) in trials {
        out.extend(steps.to_le_bytes());
        out.extend((blob.len() as u32).to_le_bytes());
        out.extend(blob);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let len = (out.len() as u32).to_le_bytes();
    out[..4].copy_from_slice(&len);
    out
}
