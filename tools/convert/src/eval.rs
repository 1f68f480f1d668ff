//! The integer model beside the float network, step by step on the same samples.

use crate::beside::Recurrent;
use crate::data::Sequences;
use crate::lower::{device_index, lower};
use cellstate::layer::input::Feature;
use cellstate::{Model, Session, State};
use cellstate_reference::{Evaluator, Network, Source};
use std::collections::BTreeMap;

/// The largest state that the host gives a model, in bytes.
pub const STATE_BYTES: usize = 1 << 20;

/// What the samples in a data file are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Units {
    /// Raw sensor counts, which the input map of `model.toml` turns into model units.
    Counts,
    /// The units that the model was trained on.
    Model,
}

impl Units {
    /// A sample of a stream in model units.
    pub fn to_model(self, network: &Network, stream: usize, sample: &[f64]) -> Vec<f64> {
        let features = network.features(stream);
        match self {
            Units::Counts => network.input.apply(features, sample),
            Units::Model => sample.iter().take(features.len()).copied().collect(),
        }
    }

    /// A sample of a stream in Q0.15, by the model's own input map.
    pub fn to_device(self, model: &Model, stream: usize, sample: &[f64]) -> Vec<i16> {
        let header = model.header();
        let (first, width) = (header.first_feature(stream), header.stream_width(stream));
        let one = |(feature, &v): (Feature, &f64)| match self {
            // Counts beyond 16 bits saturate as the sensor would.
            Units::Counts => feature.map_count(v.round() as i16),
            Units::Model => feature.map_float(v as f32),
        };
        model.features().skip(first).take(width).zip(sample).map(one).collect()
    }
}

/// Which steps are scored against the label of their sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Score {
    /// The last of each sequence.
    Sequence,
    /// Every one that has a label and brought a new output.
    Step,
}

/// One recurrent layer's hidden state against float.
#[derive(Clone, Copy, Debug, Default)]
pub struct HiddenError {
    signal: f64,
    noise: f64,
    max: f64,
    count: u64,
}

impl HiddenError {
    fn observe(&mut self, float: f64, integer: f64) {
        let e = integer - float;
        self.signal += float * float;
        self.noise += e * e;
        self.max = self.max.max(e.abs());
        self.count += 1;
    }

    fn add(&mut self, other: &Self) {
        self.signal += other.signal;
        self.noise += other.noise;
        self.max = self.max.max(other.max);
        self.count += other.count;
    }

    /// Signal-to-noise ratio in dB.
    pub fn snr_db(&self) -> f64 {
        10.0 * (self.signal / self.noise).log10()
    }

    /// Root of the mean square error.
    pub fn rms(&self) -> f64 {
        (self.noise / self.count.max(1) as f64).sqrt()
    }

    /// The largest error.
    pub fn max(&self) -> f64 {
        self.max
    }
}

/// Values that hit the end of their range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Saturations {
    /// Input values beyond the calibrated range with its headroom.
    pub inputs: u64,
    /// Cell states at the end of 32 bits.
    pub cells: u64,
}

/// The comparison.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Steps compared.
    pub steps: u64,
    /// Scored steps, and how many of them each side got right.
    pub scored: u64,
    /// Right by the float network.
    pub right_float: u64,
    /// Right by the integer model.
    pub right_int: u64,
    /// Scored steps on which both sides decided alike.
    pub agree: u64,
    /// Each recurrent layer with its name.
    pub hidden: Vec<(String, HiddenError)>,
    /// Values at the end of their range.
    pub saturations: Saturations,
    /// How often a label met the float network's decision and the integer model's: (label, float, integer).
    pub decisions: BTreeMap<(i64, i64, i64), u64>,
}

impl Report {
    /// All recurrent layers together.
    pub fn all_hidden(&self) -> HiddenError {
        let mut all = HiddenError::default();
        self.hidden.iter().for_each(|(_, e)| all.add(e));
        all
    }

    /// Share of scored steps that the float network got right; none without labels.
    pub fn accuracy_float(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.right_float as f64 / self.scored as f64)
    }

    /// Share of scored steps that the integer model got right; none without labels.
    pub fn accuracy_int(&self) -> Option<f64> {
        (self.scored > 0).then(|| self.right_int as f64 / self.scored as f64)
    }

    /// The JSON object that `docs/cli.md` documents.
    pub fn json(&self) -> serde_json::Value {
        let all = self.all_hidden();
        let layers = self.hidden.iter().map(|(name, e)| {
            serde_json::json!({ "layer": name, "snr_db": e.snr_db(), "rms_error": e.rms(), "max_abs_error": e.max() })
        });
        serde_json::json!({
            "accuracy_float": self.accuracy_float(),
            "accuracy_int": self.accuracy_int(),
            "snr_db": all.snr_db(),
            "rms_error": all.rms(),
            "max_abs_error": all.max(),
            "saturations": self.saturations.inputs + self.saturations.cells,
            "saturated_inputs": self.saturations.inputs,
            "saturated_cells": self.saturations.cells,
            "steps": self.steps,
            "layers": layers.collect::<Vec<_>>(),
        })
    }
}

/// A session on the heap of the host, stepped by samples in either unit.
///
/// `visit` receives the session and the index of the step within its sequence. A sequence begins with a reset.
///
/// # Errors
/// A sentence if the model's state is larger than a megabyte, or a sample has the wrong width or a stream that the model does
/// not have.
pub fn run(
    model: &Model,
    data: &Sequences,
    units: Units,
    mut visit: impl FnMut(&Session, usize, usize),
) -> Result<(), String> {
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(model, &mut state).map_err(|e| e.to_string())?;
    data.fit_streams(model.streams())?;
    for (s, sequence) in data.sequences.iter().enumerate() {
        session.reset();
        for (t, sample) in sequence.steps().enumerate() {
            let stream = sequence.stream(t);
            let width = model.header().stream_width(stream);
            // What stands behind a narrower stream's values is padding.
            let sample = if sequence.has_streams() { sample.get(..width).unwrap_or(sample) } else { sample };
            let done = match units {
                // Counts beyond 16 bits saturate as the sensor would.
                Units::Counts => {
                    session.step_stream_i16(stream, &sample.iter().map(|&v| v.round() as i16).collect::<Vec<_>>()).err()
                }
                Units::Model => {
                    session.step_stream_f32(stream, &sample.iter().map(|&v| v as f32).collect::<Vec<_>>()).err()
                }
            };
            if let Some(e) = done {
                return Err(format!("sequence {s}, step {t}: {e}"));
            }
            visit(&session, s, t);
        }
    }
    Ok(())
}

/// Compares a blob with the network that it was made from.
///
/// # Errors
/// A sentence if the two have other shapes, or the data has another number of features.
pub fn compare(
    model: &Model,
    network: &Network,
    data: &Sequences,
    units: Units,
    score: Score,
    mut progress: impl FnMut(),
) -> Result<Report, String> {
    let network = &lower(network);
    let header = model.header();
    let same = (0..network.nodes.len()).all(|k| {
        let device = header.nodes.get(device_index(network, k));
        device.is_some_and(|n| n.layer.width() == network.width(Source::Node(k)))
    });
    if !same || network.inputs() != model.inputs() {
        return Err("the blob and the reference model have different layers".to_owned());
    }
    let recurrent: Vec<Recurrent> = Recurrent::all(network).collect();
    let named = |r: &Recurrent| (network.nodes[r.node].name.clone(), HiddenError::default());
    let mut report = Report { hidden: recurrent.iter().map(named).collect(), ..Report::default() };
    let mut float = Evaluator::new(network);
    let features: Vec<_> = model.features().collect();
    run(model, data, units, |session, s, t| {
        if t == 0 {
            float.reset();
            progress();
        }
        let sequence = &data.sequences[s];
        let stream = sequence.stream(t);
        let x = units.to_model(network, stream, sequence.step(t));
        let beyond = |(x, f): (&f64, &Feature)| ((x - f64::from(f.centre)) * f64::from(f.gain)).abs() > 32767.5;
        report.saturations.inputs +=
            x.iter().zip(&features[network.features(stream)]).filter(|&p| beyond(p)).count() as u64;
        let scores = float.step_stream(stream, &x).0.to_vec();
        for (layer, (_, error)) in recurrent.iter().zip(&mut report.hidden) {
            for (f, i) in layer.float(&float).into_iter().flat_map(|t| &t.output).zip(layer.hidden(session)) {
                error.observe(*f, i);
            }
            let cell = session.cell(layer.device).map_or(&[][..], |c| c.raw);
            report.saturations.cells += cell.iter().filter(|&&c| c == i32::MAX || c == i32::MIN).count() as u64;
        }
        report.steps += 1;
        let scored = match score {
            // The latest output that there is, for the last samples may be padding or of another stream.
            Score::Sequence => t + 1 == sequence.len(),
            Score::Step => session.output().is_new(),
        };
        if let Some(label) = sequence.label(t).filter(|_| scored) {
            let (f, i) = (decide_float(&scores), decide_int(session));
            report.scored += 1;
            report.right_float += u64::from(f == label);
            report.right_int += u64::from(i == label);
            report.agree += u64::from(f == i);
            *report.decisions.entry((label, f, i)).or_default() += 1;
        }
    })?;
    Ok(report)
}

/// The class: the largest score, or for a single output whether it is above one half.
fn decide_float(scores: &[f64]) -> i64 {
    if let [one] = scores {
        return i64::from(*one > 0.5);
    }
    let best = scores.iter().enumerate().fold((0, f64::NEG_INFINITY), |b, (k, &v)| if v > b.1 { (k, v) } else { b });
    best.0 as i64
}

fn decide_int(session: &Session) -> i64 {
    let output = session.output();
    if output.len() == 1 { i64::from(output.value(0).unwrap_or(0.0) > 0.5) } else { output.argmax() as i64 }
}
