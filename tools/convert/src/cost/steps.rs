//! Instructions of a step, estimated from recorded counts.
//!
//! Recorded are steps of one LSTM layer, in three parts. Each part is fitted for a core and a format of weights:
//!
//! * dot products, linear in blocks of four by four, in products (an LSTM's record has two), and a constant a layer;
//! * activations, a constant each, of which an LSTM unit has five;
//! * the rest, linear in units, in input features, and a constant.
//!
//! Another layer is charged by its own blocks and products at these rates. What it does besides was counted once on a
//! Cortex-M4, of GRUs, dense layers and two LSTMs in a row, and is charged in LSTM units; the test below has the counts.
//! Nothing was counted of the layers of which [`is_counted`] says so.

use super::fit::{Terms, dot, fit};
use super::recorded::{self, Recorded};
use cellstate::Model;
use cellstate::model::header::{Activation, Weights};
use cellstate::model::layer::Layer;
use cellstate::model::more::More;

/// How far an estimate of a single LSTM layer lies from its recorded count at most; a test asserts it.
pub const ERROR_BOUND: f64 = 0.01;
/// How far estimates of the other layers that were counted lie from their counts at most; a test asserts it. Off by more than
/// 2 % are layers of 16 units on the M4, and GRUs on Cortex-M0 and RISC-V.
pub const OTHERS_BOUND: f64 = 0.12;

/// Activations of an LSTM unit: three gates, the candidate, and the cell state's.
const LSTM_ACTIVATIONS: usize = 5;
/// What each layer has of the rest's constant; a step has the other part. By two LSTMs in a row on a Cortex-M4.
const LAYER_SHARE: f64 = 0.6;

/// The rates of one core and one format of weights.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// A block, a product, a layer.
    products: Terms,
    /// One activation.
    activation: f64,
    /// A unit, an input feature, a step with one layer.
    rest: Terms,
}

/// What a layer is charged for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Blocks of four rows by four columns.
    pub blocks: usize,
    /// Products of four rows with a vector.
    pub products: usize,
    /// Sigmoids and hyperbolic tangents.
    pub activations: usize,
    /// What it does besides, in units of an LSTM.
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
            products: fit(all.iter().map(|r| ([r.blocks() as f64, 2.0 * units(r), 1.0], r.mac as f64, size(r)))),
            activation: first.activation as f64 / (LSTM_ACTIVATIONS * first.hidden) as f64,
            rest: fit(all.iter().map(|r| ([units(r), r.input as f64, 1.0], r.rest as f64, size(r)))),
        })
    }

    /// One step of a layer.
    pub fn layer(&self, work: Work) -> f64 {
        let has_products = f64::from(u8::from(work.products > 0));
        dot(self.products, [work.blocks as f64, work.products as f64, has_products])
            + self.activation * work.activations as f64
            + dot(self.rest, [work.units as f64, 0.0, LAYER_SHARE])
    }

    /// What a step has besides its layers: the input map, and the walk.
    pub fn step(&self, inputs: usize) -> f64 {
        dot(self.rest, [0.0, inputs as f64, 1.0 - LAYER_SHARE])
    }
}

impl Work {
    /// What a layer does in one step on `inputs` values.
    pub fn new(layer: &Layer, inputs: usize) -> Self {
        let shape = layer.shape(inputs);
        let blocks = shape.sections.iter().map(|s| s.records * s.columns.iter().map(|c| c.div_ceil(4)).sum::<usize>());
        let products = shape.sections.iter().map(|s| s.records * s.columns.iter().filter(|&&c| c > 0).count());
        let width = layer.width();
        let fours = width.div_ceil(4);
        let squashed = |a: Activation| if a.is_squashing() { width } else { 0 };
        let (activations, units) = match *layer {
            Layer::Lstm { units, .. } | Layer::More(More::LstmVariant { units, .. }) => {
                (LSTM_ACTIVATIONS * usize::from(units), units.into())
            }
            Layer::Dense { activation, .. } => (squashed(activation), width * 5 / 8),
            Layer::More(More::Rnn { activation, .. }) => (squashed(activation), width * 9 / 8),
            Layer::More(More::Gru { reset_after: true, .. }) => (4 * width, 3 * width + fours),
            Layer::More(More::Gru { reset_after: false, .. }) => (4 * width, width * 7 / 2),
            // Mean, variance and gain are a pass each.
            Layer::More(More::Norm { .. }) => (0, 3 * width),
            Layer::More(More::Embedding { .. } | More::Window { .. } | More::Concat { .. }) => (0, fours),
        };
        Self { blocks: blocks.sum(), products: products.sum(), activations, units }
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
            sum += rates.step(model.inputs());
        }
        sum += rates.layer(Work::new(&node.layer, place.inputs)) * header.steps(node.from) as f64;
    }
    Some(sum)
}

/// Whether counts of every layer's kind lie behind the estimate.
pub fn is_counted(model: &Model) -> bool {
    model.nodes().all(|(node, _)| {
        matches!(
            node.layer,
            Layer::Lstm { .. } | Layer::Dense { .. } | Layer::More(More::Gru { .. } | More::Rnn { .. })
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMATS: [Weights; 3] = [Weights::W4, Weights::W8, Weights::W16];

    fn lstm(units: usize, weights: Weights) -> Layer {
        Layer::Lstm { units: units as u16, weights, cell_frac: 20, z_shift: 0, initial: false }
    }

    #[test]
    fn recorded_counts_are_met_within_the_bound() {
        let mut worst = (0.0f64, String::new());
        for r in recorded::recorded() {
            let weights = FORMATS.into_iter().find(|w| w.name() == r.weights).unwrap();
            let rates = Rates::new(&r.core, weights).unwrap();
            let work = Work::new(&lstm(r.hidden, weights), r.input);
            assert_eq!((work.blocks, work.products), (r.blocks(), 2 * r.hidden));
            let error = (rates.layer(work) + rates.step(r.input)) / r.instructions as f64 - 1.0;
            if error.abs() > worst.0.abs() {
                worst = (error, format!("{} {} {}, {}", r.core, r.weights, r.input, r.hidden));
            }
        }
        println!("largest error {:.2} % at {}", 100.0 * worst.0, worst.1);
        assert!(worst.0.abs() < ERROR_BOUND, "{worst:?}");
    }

    /// Layers of so many units.
    type Make<'a> = &'a dyn Fn(usize) -> Vec<Layer>;
    /// (inputs, units, instructions).
    type Counts = [(usize, usize, u64); 4];

    #[test]
    fn other_layers_are_met_within_their_bound() {
        let weights = Weights::W8;
        let gru = |units: usize, reset_after| {
            let units = units as u16;
            vec![Layer::More(More::Gru { units, weights, z_shift: 0, initial: false, hard: false, reset_after })]
        };
        let rnn = |units: usize| {
            let (units, activation) = (units as u16, Activation::Tanh);
            vec![Layer::More(More::Rnn { units, weights, activation, z_shift: 0, scale: 1.0, initial: false })]
        };
        let dense = |outputs: usize| {
            let (outputs, activation) = (outputs as u16, Activation::Linear);
            vec![Layer::Dense { outputs, weights, activation, z_shift: 0, scale: 1.0 }]
        };
        // `cargo xtask bench --weights w8 --core CORE --layers KIND`.
        let counted: [(&str, &str, Make, Counts); 7] = [
            (
                "cortex-m4",
                "two LSTMs",
                &|units| vec![lstm(units, weights); 2],
                [(3, 16, 7902), (12, 64, 64_658), (28, 128, 226_610), (64, 256, 848_650)],
            ),
            (
                "cortex-m4",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 4307), (12, 64, 24_315), (28, 128, 76_059), (64, 256, 267_219)],
            ),
            (
                "cortex-m4",
                "GRU, reset before",
                &|units| gru(units, false),
                [(3, 16, 4417), (12, 64, 24_549), (28, 128, 76_469), (64, 256, 267_989)],
            ),
            ("cortex-m4", "RNN", &rnn, [(3, 16, 1838), (12, 64, 8386), (28, 128, 25_490), (64, 256, 88_938)]),
            ("cortex-m4", "dense", &dense, [(3, 16, 874), (12, 64, 2706), (28, 128, 6914), (64, 256, 21_914)]),
            (
                "cortex-m0",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 9864), (12, 64, 75_352), (28, 128, 264_472), (64, 256, 999_868)],
            ),
            (
                "rv32imac",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 7742), (12, 64, 63_004), (28, 128, 226_244), (64, 256, 865_430)],
            ),
        ];
        for (core, name, make, counts) in counted {
            for (inputs, units, count) in counts {
                let rates = Rates::new(core, weights).unwrap();
                let mut sum = rates.step(inputs);
                let mut width = inputs;
                for layer in make(units) {
                    sum += rates.layer(Work::new(&layer, width));
                    width = layer.width();
                }
                let error = sum / count as f64 - 1.0;
                println!("{core} {name} ({inputs}, {units}): {:+.1} %", 100.0 * error);
                assert!(error.abs() < OTHERS_BOUND, "{core} {name} ({inputs}, {units}): {error}");
            }
        }
    }
}
