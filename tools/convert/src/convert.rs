//! The whole way from a network and calibration data to a blob.

use crate::budget::{self, OverBudget};
use crate::data::Sequences;
use crate::emit::vectors::Vectors;
use crate::eval::Units;
use crate::lower::lower;
use crate::measure::Recording;
use crate::quantize::Unquantizable;
use crate::quantize::calibrate::Calibration;
use crate::quantize::levers::{Format, Plan, uniform};
use crate::search::{Bench, Choice};
use cellstate_reference::Network;

/// The formats of a blob whose matrices may have one each.
const MIXED: &str = "weights within a budget";

/// A blob, with what it was calibrated on.
#[derive(Clone, Debug)]
pub struct Converted {
    /// The bytes of the `.cell` file.
    pub blob: Vec<u8>,
    /// Calibration steps.
    pub steps: u64,
    /// What was done with each layer that has weights.
    pub choices: Vec<Choice>,
}

/// Calibrates, quantizes and lays out a network. The same inputs give the same bytes on every host.
///
/// `source` is named in the blob as its origin; `self_test` is how many steps it is to have of [`Vectors`]; `progress` is
/// called once a sequence.
///
/// # Errors
/// [`Unquantizable`] names the layer that does not fit and says why.
pub fn convert(
    network: &Network,
    data: &Sequences,
    units: Units,
    format: impl Into<Format>,
    source: &str,
    self_test: u16,
    progress: impl FnMut(),
) -> Result<Converted, Unquantizable> {
    let network = &lower(network);
    let format = format.into();
    let plan = uniform(network, format);
    let vectors = Vectors { data, units, steps: self_test };
    finish(network, vectors, format.weights.name(), source, progress, |_| Ok(plan))
}

/// The same with a format for each matrix, so that the blob has at most `flash` bytes: see [`budget`].
///
/// # Errors
/// [`OverBudget`] if there is no such blob.
pub fn convert_within(
    network: &Network,
    data: &Sequences,
    units: Units,
    flash: usize,
    source: &str,
    self_test: u16,
    progress: impl FnMut(),
) -> Result<Converted, OverBudget> {
    let network = &lower(network);
    let vectors = Vectors { data, units, steps: self_test };
    finish(network, vectors, MIXED, source, progress, |bench| {
        budget::formats(bench, flash, &provenance(source, MIXED, data))
    })
}

/// Sequences of calibration data from which on half of them only judge.
const APART: usize = 8;

fn provenance(source: &str, weights: &str, data: &Sequences) -> String {
    format!(
        "{source}, {weights}, calibrated on {} steps of {} sequences, cellstate {}",
        data.steps(),
        data.sequences.len(),
        env!("CARGO_PKG_VERSION"),
    )
}

fn finish<E: From<Unquantizable>>(
    network: &Network,
    vectors: Vectors,
    weights: &str,
    source: &str,
    mut progress: impl FnMut(),
    formats: impl FnOnce(&Bench) -> Result<Plan, E>,
) -> Result<Converted, E> {
    let Vectors { data, units, .. } = vectors;
    let mut calibration = Calibration::new(network);
    // Levers are tried on every second sequence, and by what the others tell: one that fits its data too well is seen.
    let mut others = Calibration::new(network);
    let apart = data.sequences.len() >= APART;
    let mut recording = Recording::new(network, data, units);
    for (k, sequence) in data.sequences.iter().enumerate() {
        calibration.reset();
        others.reset();
        let judges = !apart || k.is_multiple_of(2);
        let kept = judges && recording.begin(sequence);
        for (t, sample) in sequence.steps().enumerate() {
            let stream = sequence.stream(t);
            let sample = units.to_model(network, stream, sample);
            calibration.observe_stream(stream, &sample);
            if kept {
                recording.observe(network, calibration.evaluator());
            }
            if apart && !judges {
                others.observe_stream(stream, &sample);
            }
        }
        progress();
    }
    let known = if apart { &others } else { &calibration };
    let bench = Bench { network, calibration: known, recording: &recording, vectors };
    let mut plan = formats(&bench)?;
    let choices = bench.levers(&mut plan);
    let blob = Bench { calibration: &calibration, ..bench }.blob(&plan, &provenance(source, weights, data))?;
    Ok(Converted { blob, steps: calibration.steps, choices })
}
