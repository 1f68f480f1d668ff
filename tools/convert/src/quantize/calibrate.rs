//! Means and ranges of the float network on representative data.

use super::moments::Moments;
use cellstate_reference::cell::{Trace, activate};
use cellstate_reference::{Activation, Evaluator, Layer, Lstm, Network, Source};

/// Mean and extremes of one quantity.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Range {
    /// The smallest value seen.
    pub low: f64,
    /// The largest value seen.
    pub high: f64,
    sum: f64,
    count: u64,
}

impl Default for Range {
    fn default() -> Self {
        Self { low: f64::INFINITY, high: f64::NEG_INFINITY, sum: 0.0, count: 0 }
    }
}

impl Range {
    /// Takes a value into account.
    pub fn observe(&mut self, v: f64) {
        self.low = self.low.min(v);
        self.high = self.high.max(v);
        self.sum += v;
        self.count += 1;
    }

    /// Takes all values of a vector into account.
    pub fn observe_all(&mut self, vector: &[f64]) {
        for &v in vector {
            self.observe(v);
        }
    }

    /// The mean of all values; 0 if there were none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum / self.count as f64 }
    }

    /// The largest magnitude; 0 if there were no values.
    pub fn magnitude(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.low.abs().max(self.high.abs()) }
    }

    /// The largest distance from the mean.
    pub fn spread(&self) -> f64 {
        if self.count == 0 { 0.0 } else { (self.high - self.mean()).max(self.mean() - self.low) }
    }
}

/// What one layer did.
#[derive(Clone, Debug, Default)]
pub struct LayerRanges {
    /// Each output.
    pub outputs: Vec<Range>,
    /// All pre-activations.
    pub pre: Range,
    /// All cell states.
    pub cell: Range,
    /// What its rows are multiplied by: its input, and a recurrent layer's hidden state before the step.
    pub joint: Moments,
    /// What its other rows are multiplied by: of an LSTM with projection what is projected, of a GRU that resets before the
    /// product its input and the reset hidden state.
    pub other: Moments,
    /// Attention's queries, keys and values, as they meet.
    pub parts: [Range; 3],
    /// Attention's context, which its last matrix takes.
    pub context: Moments,
    /// Of a small LSTM the same as `joint` for each row, weighted by what its gate tells.
    pub rows: Vec<Moments>,
}

/// The most numbers in all tables of the weighted moments.
const WEIGHTED: usize = 1 << 19;

/// For each row the square of what its pre-activation tells in the hidden state. What it tells in the cell state counts half
/// as it is, for steps to come, and half as far as the output gate lets it through.
fn tells(l: &Lstm, trace: &Trace) -> Vec<f64> {
    let slope = |z: f64| match l.gates {
        Activation::HardSigmoid { slope } => f64::from(u8::from((slope * z).abs() < 0.5)) * slope,
        gate => activate(gate, z) * (1.0 - activate(gate, z)),
    };
    let units = trace.z.as_chunks().0.iter().zip(trace.cell.iter().zip(&trace.cell_before));
    let each = units.flat_map(|(&[i, f, g, o], (c, before))| {
        let (open, candidate) = (activate(l.gates, i), activate(Activation::Tanh, g));
        let out = activate(Activation::Tanh, *c);
        let through = 0.5 + 0.5 * activate(l.gates, o) * (1.0 - out * out);
        let cell = [candidate * slope(i), before * slope(f), open * (1.0 - candidate * candidate)];
        let [i, f, g] = cell.map(|v| v * through);
        [i, f, g, out * slope(o)]
    });
    each.map(|v| v * v).collect()
}

impl LayerRanges {
    /// Queries into `joint`, memories into `other`.
    fn observe_attention(&mut self, trace: &Trace) {
        let [queries, keys, values] = &mut self.parts;
        for [source, key, value] in &trace.memories {
            self.other.observe([source, &[]]);
            keys.observe_all(key);
            values.observe_all(value);
        }
        if !trace.query.is_empty() {
            self.joint.observe([&trace.input, &[]]);
            self.context.observe([&trace.context, &[]]);
            queries.observe_all(&trace.query);
        }
    }

    fn observe(&mut self, layer: &Layer, trace: &Trace) {
        self.outputs.iter_mut().zip(&trace.output).for_each(|(r, &v)| r.observe(v));
        trace.z.iter().for_each(|&v| self.pre.observe(v));
        trace.cell.iter().for_each(|&v| self.cell.observe(v));
        if matches!(layer, Layer::Lstm(_) | Layer::Gru(_) | Layer::Rnn(_) | Layer::Dense(_)) {
            self.joint.observe([&trace.input, &trace.before]);
        }
        if let Layer::Attention(_) = layer {
            self.observe_attention(trace);
        }
        if let Layer::Lstm(l) = layer {
            let (rows, width) = (l.b.len(), trace.input.len() + trace.before.len());
            if rows * width * width <= WEIGHTED {
                self.rows.resize(rows, Moments::default());
                for (moments, weight) in self.rows.iter_mut().zip(tells(l, trace)) {
                    moments.observe_weighted([&trace.input, &trace.before], weight);
                }
            }
        }
        match layer {
            Layer::Lstm(l) if l.projection.is_some() => {
                let open = |k: usize| activate(l.gates, trace.z[4 * k + 3]);
                let hidden = |(k, c): (usize, &f64)| open(k) * activate(Activation::Tanh, *c);
                self.other.observe([&trace.cell.iter().enumerate().map(hidden).collect::<Vec<_>>(), &[]]);
            }
            Layer::Gru(g) if g.reset_after.is_none() => {
                let reset = |(k, h): (usize, &f64)| activate(g.gates, trace.z[3 * k]) * h;
                let reset: Vec<f64> = trace.before.iter().enumerate().map(reset).collect();
                self.other.observe([&trace.input, &reset]);
            }
            _ => {}
        }
    }
}

/// The network run over calibration data, step by step, with its state carried through each sequence.
#[derive(Clone, Debug)]
pub struct Calibration<'a> {
    network: &'a Network,
    evaluator: Evaluator<'a>,
    /// Each input feature.
    pub inputs: Vec<Range>,
    /// Each layer.
    pub layers: Vec<LayerRanges>,
    /// Number of steps.
    pub steps: u64,
}

impl<'a> Calibration<'a> {
    /// Begins with nothing seen.
    pub fn new(network: &'a Network) -> Self {
        let width = |k| network.width(Source::Node(k));
        let layers = (0..network.nodes.len())
            .map(|k| LayerRanges { outputs: vec![Range::default(); width(k)], ..Default::default() });
        Self {
            network,
            evaluator: Evaluator::new(network),
            inputs: vec![Range::default(); network.inputs()],
            layers: layers.collect(),
            steps: 0,
        }
    }

    /// Begins a new sequence.
    pub fn reset(&mut self) {
        self.evaluator.reset();
    }

    /// One sample in model units.
    pub fn observe(&mut self, x: &[f64]) {
        self.observe_stream(0, x);
    }

    /// One sample of a stream in model units.
    pub fn observe_stream(&mut self, stream: usize, x: &[f64]) {
        let features = self.network.features(stream);
        self.inputs[features].iter_mut().zip(x).for_each(|(r, &v)| r.observe(v));
        self.evaluator.step_stream(stream, x);
        for (k, (seen, node)) in self.layers.iter_mut().zip(&self.network.nodes).enumerate() {
            self.evaluator.traces(k).iter().for_each(|trace| seen.observe(&node.layer, trace));
        }
        self.steps += 1;
    }

    /// The network as the latest sample left it.
    pub fn evaluator(&self) -> &Evaluator<'a> {
        &self.evaluator
    }
}
