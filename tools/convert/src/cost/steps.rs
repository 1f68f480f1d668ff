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
use crate::quantize::levers;
use cellstate::Model;
use cellstate::model::header::{Activation, Weights};
use cellstate::model::layer::{Layer, Section};
use cellstate::model::more::{Attention, More};

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
        self.products(work)
            + self.activation * work.activations as f64
            + dot(self.rest, [work.units as f64, 0.0, LAYER_SHARE])
    }

    /// The products of a layer.
    fn products(&self, work: Work) -> f64 {
        let has_products = f64::from(u8::from(work.products > 0));
        dot(self.products, [work.blocks as f64, work.products as f64, has_products])
    }

    /// What a step has besides its layers: the input map, and the walk.
    pub fn step(&self, inputs: usize) -> f64 {
        dot(self.rest, [0.0, inputs as f64, 1.0 - LAYER_SHARE])
    }
}

impl Work {
    /// The products of records.
    fn of(s: &Section) -> Self {
        let blocks = s.records * s.parts().map(|c| c.div_ceil(4)).sum::<usize>();
        Self { blocks, products: s.records * s.parts().count(), ..Self::default() }
    }

    /// Attention over a full ring: its matrices' work, the products with keys and values, an exponential a slot and head.
    fn attention(a: &Attention, blocks: usize, products: usize) -> Self {
        let (heads, slots) = (usize::from(a.heads), a.padded_slots());
        let (key, value) = (usize::from(a.key), usize::from(a.value));
        let ring = heads * slots * (key + value) / 16;
        let sums = heads * (slots / 4 + value / 4);
        let tanhs = if a.additive { heads * slots * key } else { 0 };
        // A 16-bit block costs what an 8-bit one does, or less.
        Self {
            blocks: blocks + ring,
            products: products + sums,
            activations: heads * slots + tanhs,
            units: heads * slots / 2,
        }
    }

    /// What a layer does in one step on `inputs` values.
    pub fn new(layer: &Layer, inputs: usize, second: usize) -> Self {
        let shape = layer.shape(inputs, second);
        let works = shape.sections.iter().map(Self::of);
        let (blocks, products) = works.fold((0, 0), |(b, p), w| (b + w.blocks, p + w.products));
        let width = layer.width();
        let fours = width.div_ceil(4);
        let squashed = |a: Activation| if a.is_squashing() { width } else { 0 };
        let (activations, units) = match *layer {
            Layer::Lstm { units, .. } | Layer::More(More::LstmVariant { units, .. }) => {
                (LSTM_ACTIVATIONS * usize::from(units), units.into())
            }
            Layer::Dense { activation, .. } => (squashed(activation), (width / 4).saturating_sub(2)),
            Layer::More(More::Rnn { activation, .. }) => (squashed(activation), width * 13 / 8 + 12),
            Layer::More(More::Gru { reset_after: true, .. }) => (4 * width, 3 * width + fours + 1),
            Layer::More(More::Gru { reset_after: false, .. }) => (4 * width, width * 7 / 2 + 16),
            // Mean, variance and gain are a pass each.
            Layer::More(More::Norm { .. }) => (0, 3 * width),
            Layer::More(More::Join { .. } | More::Position { .. }) => (0, width / 2),
            Layer::More(More::Attention(a)) => return Self::attention(&a, blocks, products),
            Layer::More(More::Embedding { .. } | More::Window { .. } | More::Concat { .. }) => (0, fours),
        };
        Self { blocks, products, activations, units }
    }
}

/// Instructions of the longest step of a model: one sample of a streaming model, the whole window of a windowed one at its
/// end. None for a core of which nothing is recorded.
pub fn instructions(model: &Model, core: &str) -> Option<f64> {
    let header = model.header();
    let mut sum = 0.0;
    for (k, (node, place)) in model.nodes().enumerate() {
        // Layers without weights move values; which format stands beside them hardly matters.
        let weights = levers::formats(&node.layer).map_or(Weights::W8, |f| f.w);
        let rates = Rates::new(core, weights)?;
        if k == 0 {
            sum += rates.step(model.inputs());
        }
        let mut step = rates.layer(Work::new(&node.layer, place.inputs, place.second));
        for section in node.layer.shape(place.inputs, place.second).sections.iter().filter(|s| s.weights != weights) {
            let work = Work::of(section);
            step += Rates::new(core, section.weights)?.products(work) - rates.products(work);
        }
        sum += step * header.steps(node.from) as f64;
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

    use cellstate::model::more::Formats;

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
            let work = Work::new(&lstm(r.hidden, weights), r.input, 0);
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
        let formats = Formats::of(weights);
        let gru = |units: usize, reset_after| {
            let units = units as u16;
            vec![Layer::More(More::Gru { units, formats, z_shift: 0, initial: false, hard: false, reset_after })]
        };
        let rnn = |units: usize| {
            let (units, activation) = (units as u16, Activation::Tanh);
            vec![Layer::More(More::Rnn { units, formats, activation, z_shift: 0, scale: 1.0, initial: false })]
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
                [(3, 16, 7960), (12, 64, 64_716), (28, 128, 226_668), (64, 256, 848_708)],
            ),
            (
                "cortex-m4",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 4509), (12, 64, 24_805), (28, 128, 76_933), (64, 256, 268_861)],
            ),
            (
                "cortex-m4",
                "GRU, reset before",
                &|units| gru(units, false),
                [(3, 16, 4860), (12, 64, 25_424), (28, 128, 77_920), (64, 256, 270_592)],
            ),
            ("cortex-m4", "RNN", &rnn, [(3, 16, 2206), (12, 64, 9318), (28, 128, 27_174), (64, 256, 92_126)]),
            ("cortex-m4", "dense", &dense, [(3, 16, 737), (12, 64, 1969), (28, 128, 5377), (64, 256, 18_777)]),
            (
                "cortex-m0",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 9787), (12, 64, 75_314), (28, 128, 264_482), (64, 256, 999_974)],
            ),
            (
                "rv32imac",
                "GRU, reset after",
                &|units| gru(units, true),
                [(3, 16, 8035), (12, 64, 63_405), (28, 128, 226_789), (64, 256, 866_263)],
            ),
        ];
        for (core, name, make, counts) in counted {
            for (inputs, units, count) in counts {
                let rates = Rates::new(core, weights).unwrap();
                let mut sum = rates.step(inputs);
                let mut width = inputs;
                for layer in make(units) {
                    sum += rates.layer(Work::new(&layer, width, 0));
                    width = layer.width();
                }
                let error = sum / count as f64 - 1.0;
                println!("{core} {name} ({inputs}, {units}): {:+.1} %", 100.0 * error);
                assert!(error.abs() < OTHERS_BOUND, "{core} {name} ({inputs}, {units}): {error}");
            }
        }
    }
}
