//! Networks with random weights, for benches: a size is all there is to them.

use crate::emit;
use crate::quantize::calibrate::Calibration;
use crate::quantize::levers::uniform;
use crate::quantize::{Unquantizable, quantize};
use cellstate::model::header::Weights;
use cellstate_reference::{Activation, Attention, Dense, Gru, Layer, Lstm, Matrix, Network, Rnn, Source};
use clap::ValueEnum;

/// Steps of [`walk`].
pub const WALK_STEPS: usize = 64;

/// Uniform in -1..1.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// What a network is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One LSTM layer, forget gates biased by one.
    Lstm,
    /// Two of the same width, one behind the other.
    TwoLstms,
    /// One GRU layer whose reset gate acts after the product.
    GruAfter,
    /// One whose reset gate acts before it.
    GruBefore,
    /// One simple recurrent layer with tanh.
    Rnn,
    /// One linear layer.
    Dense,
    /// Self-attention over the latest 16 steps: heads of 32 values that share their keys.
    Attention,
}

/// Memories of [`Kind::Attention`].
pub const SLOTS: usize = 16;
/// The most values of one of its heads.
const HEAD: usize = 32;

/// One LSTM layer, see [`network`].
pub fn lstm(inputs: usize, units: usize) -> Network {
    network(Kind::Lstm, inputs, units)
}

/// A network with weights as frameworks initialize them.
pub fn network(kind: Kind, inputs: usize, units: usize) -> Network {
    let mut random = Uniform((inputs * 1000 + units) as u64);
    let mut matrix = |gates: usize, cols: usize| {
        let top = (6.0 / (cols + units) as f64).sqrt();
        let data: Vec<f64> = (0..gates * units * cols).map(|_| random.next() * top).collect();
        Matrix { rows: gates * units, cols, data }
    };
    let mut lstm = |inputs: usize| {
        let b = (0..4 * units).map(|row| if row % 4 == 1 { 1.0 } else { 0.0 }).collect();
        Layer::Lstm(Lstm::from_unit_major(matrix(4, inputs), matrix(4, units), b))
    };
    let layers = match kind {
        Kind::Lstm => vec![lstm(inputs)],
        Kind::TwoLstms => vec![lstm(inputs), lstm(units)],
        Kind::GruAfter | Kind::GruBefore => vec![Layer::Gru(Gru {
            w: matrix(3, inputs),
            u: matrix(3, units),
            b: vec![0.0; 3 * units],
            reset_after: (kind == Kind::GruAfter).then(|| vec![0.0; units]),
            gates: Activation::Sigmoid,
            initial: None,
        })],
        Kind::Rnn => vec![Layer::Rnn(Rnn {
            w: matrix(1, inputs),
            u: matrix(1, units),
            b: vec![0.0; units],
            activation: Activation::Tanh,
            initial: None,
        })],
        Kind::Attention => return attention(&mut random, inputs, units),
        Kind::Dense => {
            vec![Layer::Dense(Dense { w: matrix(1, inputs), b: vec![0.0; units], activation: Activation::Linear })]
        }
    };
    let named = layers.into_iter().enumerate().map(|(k, layer)| (format!("layer{k}"), layer));
    Network::chain(&format!("bench {inputs} {units}"), inputs, named.collect())
}

/// One layer of attention of the input over itself.
fn attention(random: &mut Uniform, inputs: usize, units: usize) -> Network {
    let (key, heads) = (units.min(HEAD), units.div_ceil(HEAD));
    let mut linear = |inputs: usize, outputs: usize| {
        let top = (6.0 / (inputs + outputs) as f64).sqrt();
        let data = (0..outputs * inputs).map(|_| random.next() * top).collect();
        let w = Matrix { rows: outputs, cols: inputs, data };
        Dense { w, b: vec![0.0; outputs], activation: Activation::Linear }
    };
    let matrices = [linear(inputs, heads * key), linear(inputs, key), linear(inputs, key), linear(heads * key, units)];
    let attention = Attention::projected(matrices, [heads, 1], SLOTS, 1.0 / (key as f64).sqrt());
    let layer = ("layer0".to_owned(), Layer::Attention(Box::new(attention)));
    let mut network = Network::chain(&format!("bench {inputs} {units}"), inputs, vec![layer]);
    network.nodes[0].from = vec![Source::Input; 2];
    network
}

/// The samples of a random walk, [`WALK_STEPS`] of them one after the other.
pub fn walk(inputs: usize) -> Vec<f64> {
    let mut random = Uniform(7);
    let mut x = vec![0.0f64; inputs];
    let mut samples = Vec::new();
    for _ in 0..WALK_STEPS {
        for x in &mut x {
            *x = 0.9 * *x + random.next();
        }
        samples.extend(&x);
    }
    samples
}

/// The blob of a [`network`], calibrated on [`walk`], with every weight rounded to the nearest: it is stepped for its cost.
///
/// # Errors
/// As of [`quantize`]; none, for sizes that fit a blob.
pub fn blob(kind: Kind, inputs: usize, units: usize, weights: Weights) -> Result<Vec<u8>, Unquantizable> {
    let network = network(kind, inputs, units);
    let mut calibration = Calibration::new(&network);
    for sample in walk(inputs).chunks_exact(inputs) {
        calibration.observe(sample);
    }
    let quantized = quantize(&network, &calibration, &uniform(&network, weights))?;
    Ok(emit::blob::blob(&network, &quantized, "bench"))
}
