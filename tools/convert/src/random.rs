//! Random networks in integers, for tests: any shape, any format, weights at their extremes.

use crate::emit::blob::blob;
use crate::quantize::rows::{Integers, Rows};
use crate::quantize::{Layer, Quantized};
use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Layer as Header, Weights};
use cellstate_reference::Network;

/// A small generator of random numbers, so that a network follows from one seed.
#[derive(Clone, Debug)]
pub struct Rng(pub u64);

impl Rng {
    /// 64 bits.
    #[allow(clippy::should_implement_trait, reason = "it has no end")]
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    /// 16 bits; the extremes more often.
    pub fn i16(&mut self) -> i16 {
        match self.below(8) {
            0 => i16::MAX,
            1 => i16::MIN,
            _ => self.next() as i16,
        }
    }
}

/// A random network of LSTMs and dense layers, weights at their extremes included, that the loader accepts.
pub fn random(rng: &mut Rng) -> (Quantized, Vec<u8>) {
    let most = if rng.below(4) == 0 { 40 } else { 9 };
    let inputs = 1 + rng.below(most) as usize;
    let count = 1 + rng.below(4) as usize;
    let mut width = inputs;
    let mut layers = Vec::new();
    for k in 0..count {
        let last = k + 1 == count;
        let weights = [Weights::W4, Weights::W8, Weights::W16][rng.below(3) as usize];
        let most = if rng.below(4) == 0 { 40 } else { 13 };
        let units = 1 + rng.below(most) as u16;
        let z_shift = if rng.below(3) == 0 { rng.below(6) as u8 } else { 0 };
        let header = if rng.below(3) > 0 {
            Header::Lstm { units, weights, cell_frac: 17 + rng.below(14) as u8, z_shift }
        } else {
            let activation = match rng.below(if last { 5 } else { 4 }) {
                0 => Activation::Linear,
                1 => Activation::Relu,
                2 => Activation::Sigmoid,
                3 => Activation::Tanh,
                _ => Activation::Softmax,
            };
            let z_shift = if matches!(activation, Activation::Sigmoid | Activation::Tanh) { z_shift } else { 0 };
            Header::Dense { outputs: units, weights, activation, z_shift, scale: 0.5 }
        };
        let lstm = matches!(header, Header::Lstm { .. });
        let rows = if lstm { 4 * usize::from(units) } else { usize::from(units) };
        let columns = if lstm { vec![width, units.into()] } else { vec![width] };
        let top = (1i32 << (weights.bits() - 1)) - 1;
        let products = columns.iter().map(|&columns| Integers {
            weights: (0..rows)
                .map(|_| {
                    (0..columns)
                        .map(|_| [top, -top - 1, 0, (rng.next() as i32) % (top + 1)][rng.below(4) as usize])
                        .collect()
                })
                .collect(),
            // Small enough that the sum stays within a seventh of the range at the widest, large enough to saturate gates.
            multipliers: (0..rows)
                .map(|_| (rng.below(1 << 30) >> (z_shift as u32 + rng.below(12) as u32)) as i32 & !0xffff)
                .collect(),
        });
        let products = products.collect();
        let biases = (0..rows).map(|_| ((rng.next() as i32) >> (4 + rng.below(16))) >> z_shift).collect();
        layers.push(Layer { header, rows: Rows { biases, products } });
        width = units.into();
    }
    let features = (0..inputs).map(|_| Feature { multiplier: 1, bias: 0, shift: 0, centre: 0.0, gain: 1.0 }).collect();
    let net = Quantized { features, layers };
    let network = Network::chain("random", inputs, Vec::new());
    let bytes = blob(&network, &net, "random");
    (net, bytes)
}
