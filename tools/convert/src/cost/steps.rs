//! Instructions of a step, estimated from recorded counts.
//!
//! Recorded are steps of one LSTM layer, in three parts. Each part is fitted for a core and a format of weights:
//!
//! * dot products, linear in blocks of four by four products, in records, and a constant a layer;
//! * activations, a constant each, of which an LSTM unit has five;
//! * the rest, linear in units, in input features, and a constant a layer.
//!
//! Another layer is charged by its own blocks, records, activations and units at the LSTM's rates. That is a guess: nothing
//! is recorded of it. So is the second of two layers: what one layer and one step cost cannot be told apart, and each is
//! charged both. The demo's LSTM and dense layer come out some per cent too high by it.

use super::fit::{Terms, dot, fit};
use super::recorded::{self, Recorded};
use cellstate::Model;
use cellstate::model::header::{Activation, Weights};
use cellstate::model::layer::Layer;
use cellstate::model::more::More;

/// How far an estimate of a single LSTM layer lies from its recorded count at most; a test asserts it.
pub const ERROR_BOUND: f64 = 0.01;
/// How far the estimate of the demo's model, an LSTM layer and a dense one, lies from its count; a test asserts it.
pub const DEMO_BOUND: f64 = 0.05;

/// Activations of an LSTM unit: three gates, the candidate, and the cell state's.
const LSTM_ACTIVATIONS: usize = 5;

/// The rates of one core and one format of weights.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// A block, a record, a layer.
    products: Terms,
    /// One activation.
    activation: f64,
    /// A unit, an input feature, a layer.
    rest: Terms,
}

/// What a layer is charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Blocks of four rows by four columns.
    pub blocks: usize,
    /// Records: four rows with their biases and multipliers.
    pub records: usize,
    /// Sigmoids and hyperbolic tangents.
    pub activations: usize,
    /// Units, or values that are moved.
    pub units: usize,
}

impl Rates {
    /// The rates that come closest to what was recorded; none for a core or weights of which nothing is.
    pub fn new(core: &str, weights: Weights) -> Option<Self> {
        let all: Vec<&Recorded> = recorded::of(core, Some(weights.name())).collect();
        let first = all.first()?;
        let size = |r: &Recorded| r.instructions as f64;
        let units = |r: &Recorded| r.hidden as f64;
        Some(Self {
            products: fit(all.iter().map(|r| ([r.blocks() as f64, units(r), 1.0], r.mac as f64, size(r)))),
            activation: first.activation as f64 / (LSTM_ACTIVATIONS * first.hidden) as f64,
            rest: fit(all.iter().map(|r| ([units(r), r.input as f64, 1.0], r.rest as f64, size(r)))),
        })
    }

    /// One step of a layer.
    pub fn layer(&self, work: Work) -> f64 {
        let has_records = f64::from(u8::from(work.records > 0));
        dot(self.products, [work.blocks as f64, work.records as f64, has_records])
            + self.activation * work.activations as f64
            + dot(self.rest, [work.units as f64, 0.0, 1.0])
    }

    /// The input map.
    pub fn features(&self, inputs: usize) -> f64 {
        self.rest[1] * inputs as f64
    }
}

impl Work {
    /// What a layer does in one step on `inputs` values.
    pub fn new(layer: &Layer, inputs: usize) -> Self {
        let shape = layer.shape(inputs);
        let blocks = shape.sections.iter().map(|s| s.records * s.columns.iter().map(|c| c.div_ceil(4)).sum::<usize>());
        let width = layer.width();
        let squashed = |a: Activation| if a.is_squashing() { width } else { 0 };
        let (activations, units) = match *layer {
            Layer::Lstm { units, .. } | Layer::More(More::LstmVariant { units, .. }) => {
                (LSTM_ACTIVATIONS * usize::from(units), units.into())
            }
            Layer::Dense { activation, .. } | Layer::More(More::Rnn { activation, .. }) => {
                (squashed(activation), width)
            }
            Layer::More(More::Gru { .. }) => (3 * width, width),
            // Mean, variance and gain are a pass each.
            Layer::More(More::Norm { .. }) => (0, 3 * width),
            Layer::More(More::Embedding { .. } | More::Window { .. } | More::Concat { .. }) => (0, width),
        };
        let records = shape.sections.iter().map(|s| s.records).sum();
        Self { blocks: blocks.sum(), records, activations, units }
    }
}

/// Instructions of the longest step of a model: one sample of a streaming model, the whole window of a windowed one at its
/// end. None for a core of which nothing is recorded.
pub fn instructions(model: &Model, core: &str) -> Option<f64> {
    let header = model.header();
    let mut sum = 0.0;
    for (k, (node, place)) in model.nodes().enumerate() {
        // Layers without weights move values; which format stands beside them hardly matters.
        let rates = Rates::new(core, node.layer.weights().unwrap_or(Weights::W8))?;
        if k == 0 {
            sum += rates.features(model.inputs());
        }
        sum += rates.layer(Work::new(&node.layer, place.inputs)) * header.steps(node.from) as f64;
    }
    Some(sum)
}

/// Whether counts of every layer's kind lie behind the estimate: of LSTM layers, and dense ones as the demo's.
pub fn is_recorded(model: &Model) -> bool {
    model.nodes().all(|(node, _)| matches!(node.layer, Layer::Lstm { .. } | Layer::Dense { .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_counts_are_met_within_the_bound() {
        let mut worst = (0.0f64, String::new());
        for r in recorded::recorded() {
            let weights = [Weights::W4, Weights::W8, Weights::W16].into_iter().find(|w| w.name() == r.weights).unwrap();
            let rates = Rates::new(&r.core, weights).unwrap();
            let layer = Layer::Lstm { units: r.hidden as u16, weights, cell_frac: 20, z_shift: 0, initial: false };
            let work = Work::new(&layer, r.input);
            assert_eq!((work.blocks, work.records), (r.blocks(), r.hidden));
            let error = (rates.layer(work) + rates.features(r.input)) / r.instructions as f64 - 1.0;
            if error.abs() > worst.0.abs() {
                worst = (error, format!("{} {} {}, {}", r.core, r.weights, r.input, r.hidden));
            }
        }
        println!("largest error {:.2} % at {}", 100.0 * worst.0, worst.1);
        assert!(worst.0.abs() < ERROR_BOUND, "{worst:?}");
    }
}
