//! A naive oracle of the integer network, and random networks to compare on.

use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Layer as Header, Weights};
use cellstate::numeric::{sigmoid, tanh};
use cellstate_convert::emit::blob::blob;
use cellstate_convert::quantize::rows::{Integers, Rows};
use cellstate_convert::quantize::{Layer, Quantized};
use cellstate_reference::{InputMap, Matrix, Network};
use fixed::types::I16F16;

/// `floor(v / 2^shift + 1/2)` without a thought for speed.
fn round(v: i128, shift: u32) -> i128 {
    (2 * v + (1 << shift)).div_euclid(2 << shift)
}

/// Hidden and cell states of every layer, by the definitions of docs/numeric.md.
pub(crate) struct Oracle<'a> {
    net: &'a Quantized,
    pub(crate) c: Vec<Vec<i128>>,
    pub(crate) out: Vec<Vec<i128>>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(net: &'a Quantized) -> Self {
        let zeros = || {
            net.layers
                .iter()
                .map(|l| vec![0; l.header.width()])
                .collect()
        };
        Self {
            net,
            c: zeros(),
            out: zeros(),
        }
    }

    pub(crate) fn step(&mut self, x: &[i16]) -> &[i128] {
        let mut x: Vec<i128> = x.iter().map(|&v| v.into()).collect();
        for (k, layer) in self.net.layers.iter().enumerate() {
            let h = self.out[k].clone();
            let product = |p: usize, r: usize, v: &[i128]| {
                let i = &layer.rows.products[p];
                let sum: i128 = i.weights[r]
                    .iter()
                    .zip(v)
                    .map(|(&w, x)| i128::from(w) * x)
                    .sum();
                let acc = if layer.header.weights() == Weights::W8 {
                    sum
                } else {
                    round(sum, 8)
                };
                assert_eq!(i128::from(acc as i32), acc, "accumulator");
                round(acc * i128::from(i.multipliers[r]), 32)
            };
            let z = |r: usize, shift: u8| {
                let u = if layer.rows.products.len() > 1 {
                    product(1, r, &h)
                } else {
                    0
                };
                let z = (i128::from(layer.rows.biases[r]) + product(0, r, &x) + u) << shift;
                i32::try_from(z).expect("pre-activation")
            };
            let sig = |v: i32| i128::from(sigmoid(I16F16::from_bits(v)).to_bits());
            let tan = |v: i32| i128::from(tanh(I16F16::from_bits(v)).to_bits());
            self.out[k] = match layer.header {
                Header::Lstm {
                    units,
                    cell_frac,
                    z_shift,
                    ..
                } => (0..usize::from(units))
                    .map(|j| {
                        let [i, f, g, o] = std::array::from_fn(|gate| z(4 * j + gate, z_shift));
                        let written = round(sig(i) * tan(g), 30 - u32::from(cell_frac));
                        let c = 2 * round(self.c[k][j] * sig(f), 16) + written;
                        self.c[k][j] = c.clamp(i32::MIN.into(), i32::MAX.into());
                        round(
                            sig(o) * tan(round(self.c[k][j], u32::from(cell_frac) - 16) as i32),
                            15,
                        )
                    })
                    .collect(),
                Header::Dense {
                    outputs,
                    activation,
                    z_shift,
                    ..
                } => (0..usize::from(outputs))
                    .map(|r| match (activation, z(r, z_shift)) {
                        (Activation::Linear | Activation::Softmax, z) => z.into(),
                        (Activation::Relu, z) => z.max(0).into(),
                        (Activation::Sigmoid, z) => sig(z),
                        (Activation::Tanh, z) => tan(z),
                    })
                    .map(|v: i128| {
                        if k + 1 == self.net.layers.len() {
                            v
                        } else {
                            v.clamp(-32767, 32767)
                        }
                    })
                    .collect(),
            };
            x.clone_from(&self.out[k]);
        }
        self.out.last().unwrap()
    }
}

/// A small generator of random numbers, so that a network follows from one seed.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        (self.next() >> 11) % n
    }

    pub(crate) fn i16(&mut self) -> i16 {
        match self.below(8) {
            0 => i16::MAX,
            1 => i16::MIN,
            _ => self.next() as i16,
        }
    }
}

/// A random network of LSTMs and dense layers, weights at their extremes included, that the loader accepts.
pub(crate) fn random(rng: &mut Rng) -> (Quantized, Vec<u8>) {
    let inputs = 1 + rng.below(9) as usize;
    let count = 1 + rng.below(4) as usize;
    let mut width = inputs;
    let mut layers = Vec::new();
    for k in 0..count {
        let last = k + 1 == count;
        let weights = if rng.below(2) == 0 {
            Weights::W8
        } else {
            Weights::W16
        };
        let units = 1 + rng.below(13) as u16;
        let z_shift = if rng.below(3) == 0 {
            rng.below(6) as u8
        } else {
            0
        };
        let header = if rng.below(3) > 0 {
            Header::Lstm {
                units,
                weights,
                cell_frac: 17 + rng.below(14) as u8,
                z_shift,
            }
        } else {
            let activation = match rng.below(if last { 5 } else { 4 }) {
                0 => Activation::Linear,
                1 => Activation::Relu,
                2 => Activation::Sigmoid,
                3 => Activation::Tanh,
                _ => Activation::Softmax,
            };
            let z_shift = if matches!(activation, Activation::Sigmoid | Activation::Tanh) {
                z_shift
            } else {
                0
            };
            Header::Dense {
                outputs: units,
                weights,
                activation,
                z_shift,
                scale: 0.5,
            }
        };
        let lstm = matches!(header, Header::Lstm { .. });
        let rows = if lstm {
            4 * usize::from(units)
        } else {
            usize::from(units)
        };
        let columns = if lstm {
            vec![width, units.into()]
        } else {
            vec![width]
        };
        let top: i32 = if weights == Weights::W8 { 127 } else { 32767 };
        let products = columns.iter().map(|&columns| Integers {
            weights: (0..rows)
                .map(|_| {
                    (0..columns)
                        .map(|_| {
                            [top, -top, 0, (rng.next() as i32) % (top + 1)][rng.below(4) as usize]
                        })
                        .collect()
                })
                .collect(),
            // Small enough that the sum stays within a seventh of the range at the widest, large enough to saturate gates.
            multipliers: (0..rows)
                .map(|_| (rng.below(1 << 30) >> (z_shift as u32 + rng.below(12) as u32)) as i32)
                .collect(),
        });
        let products = products.collect();
        let biases = (0..rows)
            .map(|_| ((rng.next() as i32) >> (4 + rng.below(16))) >> z_shift)
            .collect();
        layers.push(Layer {
            header,
            rows: Rows { biases, products },
        });
        width = units.into();
    }
    let features = (0..inputs)
        .map(|_| Feature {
            multiplier: 1,
            bias: 0,
            shift: 0,
            centre: 0.0,
            gain: 1.0,
        })
        .collect();
    let net = Quantized { features, layers };
    let network = Network {
        name: "random".into(),
        layers: vec![cellstate_reference::Layer::Dense(
            cellstate_reference::Dense {
                name: String::new(),
                w: Matrix::from_fn(1, inputs, |_, _| 0.0),
                b: vec![0.0],
                activation: cellstate_reference::Activation::Linear,
            },
        )],
        labels: Vec::new(),
        input: InputMap::identity(inputs),
    };
    let bytes = blob(&network, &net, "random");
    (net, bytes)
}

/// A copy that begins at a multiple of 4.
pub(crate) fn aligned(bytes: &[u8]) -> Vec<u32> {
    bytes
        .chunks(4)
        .map(|c| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0))))
        .collect()
}

/// The bytes of [`aligned`].
pub(crate) fn bytes(words: &[u32], len: usize) -> &[u8] {
    &bytemuck::cast_slice(words)[..len]
}
