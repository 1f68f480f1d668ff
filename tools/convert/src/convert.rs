//! The whole way from a network and calibration data to a blob.

use crate::data::Sequences;
use crate::emit::blob::blob;
use crate::eval::Units;
use crate::lower::lower;
use crate::quantize::calibrate::Calibration;
use crate::quantize::{Unquantizable, quantize};
use cellstate::model::header::Weights;
use cellstate_reference::Network;

/// A blob, with what it was calibrated on.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The bytes of the `.cell` file.
    pub blob: Vec<u8>,
    /// Calibration steps.
    pub steps: u64,
}

/// Calibrates, quantizes and lays out a network. The same inputs give the same bytes on every host.
///
/// `source` is named in the blob as its origin; `progress` is called once a sequence.
///
/// # Errors
/// [`Unquantizable`] names the layer that does not fit and says why.
pub fn convert(
    network: &Network,
    data: &Sequences,
    units: Units,
    weights: Weights,
    source: &str,
    mut progress: impl FnMut(),
) -> Result<Converted, Unquantizable> {
    let network = &lower(network);
    let mut calibration = Calibration::new(network);
    for sequence in &data.sequences {
        calibration.reset();
        for sample in sequence.steps() {
            calibration.observe(&units.to_model(network, sample));
        }
        progress();
    }
    let quantized = quantize(network, &calibration, weights)?;
    let provenance = format!(
        "{source}, {}, calibrated on {} steps of {} sequences, cellstate {}",
        weights.name(),
        calibration.steps,
        data.sequences.len(),
        env!("CARGO_PKG_VERSION"),
    );
    Ok(Converted { blob: blob(network, &quantized, &provenance), steps: calibration.steps })
}
