//! The error over time: integer model and float network side by side on one long stream, with no reset.

use crate::beside::Recurrent;
use crate::data::Sequences;
use crate::eval::{Units, run};
use crate::lower::lower;
use cellstate::{Model, Session};
use cellstate_reference::{Evaluator, Network};

/// The stream has at least this many steps.
pub const LEAST_STEPS: usize = 10_000;
/// The most steps of the data that are used.
pub const MOST_STEPS: usize = 50_000;
/// The parts of the stream whose errors are kept apart.
pub const PARTS: usize = 100;
/// Steps at the beginning of the stream of which values are kept.
const KEPT_STEPS: usize = 240;
/// Values kept of an output, and of each recurrent layer.
const KEPT_OUTPUTS: usize = 8;
const KEPT_UNITS: usize = 4;
/// Cell states kept of each layer.
const KEPT_CELLS: usize = 100_000;

/// One value at the beginning of the stream: float beside integer.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// The label of an output, or which unit.
    pub name: String,
    /// (step, float, integer), of the steps that brought a new one.
    pub points: Vec<(usize, f64, f64)>,
}

/// What a layer did.
#[derive(Clone, Debug, Default)]
pub struct LayerTrace {
    /// The layer's name.
    pub name: String,
    /// Some of its units.
    pub units: Vec<Trace>,
    /// Cell states of the float network, evenly from all of the stream; none of layers without one.
    pub cells_float: Vec<f64>,
    /// Those of the integer model.
    pub cells_int: Vec<f64>,
}

/// The stream.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    /// Steps of the stream.
    pub steps: usize,
    /// How often the data was repeated in it.
    pub passes: usize,
    /// Error of the hidden states, of the outputs for a model without any: sum of squares and number of each of [`PARTS`].
    parts: Vec<(f64, u64)>,
    /// Outputs at the beginning.
    pub outputs: Vec<Trace>,
    /// Recurrent layers.
    pub layers: Vec<LayerTrace>,
}

impl Drift {
    /// Error RMS of each of `count` equal parts of the run, `count` a divisor of [`PARTS`].
    pub fn rms(&self, count: usize) -> Vec<f64> {
        let sum = |c: &[(f64, u64)]| c.iter().fold((0.0, 0), |a, p| (a.0 + p.0, a.1 + p.1));
        let root = |(squares, n): (f64, u64)| (squares / n.max(1) as f64).sqrt();
        self.parts.chunks(PARTS / count).map(|c| root(sum(c))).collect()
    }

    /// The trend: by how much the error of each part of the second half differs from that of the same samples in the first
    /// half, in the median. A line through the parts would follow the data as much as the time, and a mean the few moments at
    /// which a decision falls a step earlier or later.
    pub fn trend(&self) -> f64 {
        let parts = self.rms(PARTS);
        let (first, second) = parts.split_at(PARTS / 2);
        // Of nothing and nothing the ratio is one.
        let ratio = |(a, b): (&f64, &f64)| (b + f64::MIN_POSITIVE) / (a + f64::MIN_POSITIVE);
        let mut ratios: Vec<f64> = first.iter().zip(second).map(ratio).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2] - 1.0
    }

    /// Whether the second half is worse than the first by a tenth or more.
    pub fn grows(&self) -> bool {
        self.trend() > 0.1
    }
}

/// Streams the data end to end, an even number of times and at least `least` steps, usually [`LEAST_STEPS`]; of longer data
/// than [`MOST_STEPS`] the first of them.
///
/// # Errors
/// A sentence as of [`run`].
pub fn drift(model: &Model, network: &Network, data: &Sequences, units: Units, least: usize) -> Result<Drift, String> {
    let network = &lower(network);
    let pass = data.steps().clamp(1, MOST_STEPS);
    let passes = least.div_ceil(pass).next_multiple_of(2);
    let stream = data.stream(MOST_STEPS, passes);
    let mut watch = Watch::new(model, network, pass * passes);
    watch.drift.passes = passes;
    let mut float = Evaluator::new(network);
    run(model, &stream, units, |session, _, t| {
        let sequence = &stream.sequences[0];
        let of = sequence.stream(t);
        let (scores, new) = float.step_stream(of, &units.to_model(network, of, sequence.step(t)));
        let scores = if new { scores.to_vec() } else { Vec::new() };
        watch.step(t, &float, &scores, session);
    })?;
    Ok(watch.drift)
}

struct Watch {
    recurrent: Vec<Recurrent>,
    /// Every how many cell states one is kept.
    stride: usize,
    drift: Drift,
}

impl Watch {
    fn new(model: &Model, network: &Network, steps: usize) -> Self {
        let recurrent: Vec<Recurrent> = Recurrent::all(network).collect();
        let trace = |name: String| Trace { name, points: Vec::new() };
        let output = |k: usize| trace(model.label(k).map_or_else(|| format!("output {k}"), str::to_owned));
        let layer = |r: &Recurrent| {
            let width = network.width(cellstate_reference::Source::Node(r.node));
            let count = width.min(KEPT_UNITS);
            let units = (0..count).map(|u| trace(format!("unit {}", u * width / count))).collect();
            LayerTrace { name: network.nodes[r.node].name.clone(), units, ..LayerTrace::default() }
        };
        let widest = model.nodes().map(|(n, _)| n.layer.width()).max().unwrap_or(1);
        let drift = Drift {
            steps,
            passes: 1,
            parts: vec![(0.0, 0); PARTS],
            outputs: (0..model.outputs().min(KEPT_OUTPUTS)).map(output).collect(),
            layers: recurrent.iter().map(layer).collect(),
        };
        Self { recurrent, stride: (steps * widest).div_ceil(KEPT_CELLS), drift }
    }

    fn step(&mut self, t: usize, float: &Evaluator, scores: &[f64], session: &Session) {
        let part = (t * PARTS / self.drift.steps).min(PARTS - 1);
        let output = session.output();
        if output.is_new() {
            let mut integer = vec![0.0f32; output.len()];
            output.probabilities(&mut integer);
            for ((k, &f), &i) in scores.iter().enumerate().zip(&integer) {
                if let Some(trace) = self.drift.outputs.get_mut(k).filter(|_| t < KEPT_STEPS) {
                    trace.points.push((t, f, i.into()));
                }
                if self.recurrent.is_empty() {
                    self.drift.parts[part].0 += (f - f64::from(i)).powi(2);
                    self.drift.parts[part].1 += 1;
                }
            }
        }
        for (recurrent, layer) in self.recurrent.iter().zip(&mut self.drift.layers) {
            let Some(trace) = recurrent.float(float) else { continue };
            let hidden: Vec<f64> = recurrent.hidden(session).collect();
            for (f, i) in trace.output.iter().zip(&hidden) {
                self.drift.parts[part].0 += (f - i).powi(2);
                self.drift.parts[part].1 += 1;
            }
            let count = layer.units.len();
            for (n, unit) in layer.units.iter_mut().enumerate().filter(|_| t < KEPT_STEPS) {
                let u = n * trace.output.len() / count;
                unit.points.push((t, trace.output[u], hidden[u]));
            }
            let Some(cell) = session.cell(recurrent.device) else { continue };
            // A GRU's 32-bit state is its hidden state.
            let cells = if trace.cell.is_empty() { &trace.output } else { &trace.cell };
            let unit = 1.0 / f64::from(1u32 << cell.frac_bits);
            for (u, (&f, &i)) in cells.iter().zip(cell.raw).enumerate() {
                if (t * cells.len() + u).is_multiple_of(self.stride) {
                    layer.cells_float.push(f);
                    layer.cells_int.push(f64::from(i) * unit);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(error: impl Fn(usize) -> f64) -> Drift {
        Drift { parts: (0..PARTS).map(|k| (error(k).powi(2), 1)).collect(), ..Drift::default() }
    }

    #[test]
    fn a_growing_error_is_told_from_a_steady_one() {
        let steady = of(|k| 1.0 + (k % 50) as f64);
        assert!(steady.trend().abs() < 1e-9 && !steady.grows(), "{}", steady.trend());
        let growing = of(|k| 1.0 + k as f64 / 100.0);
        assert!((growing.trend() - 0.4).abs() < 0.01 && growing.grows(), "{}", growing.trend());
        let once = of(|k| if k == 70 { 100.0 } else { 1.0 });
        assert!(!once.grows() && once.rms(2)[1] > 10.0, "{}", once.trend());
        assert_eq!(of(|_| 0.0).trend().to_bits(), 0.0f64.to_bits());
    }
}
