//! Random networks in integers, for tests: any shape, any layer, any format, weights at their extremes.

use crate::emit::blob::{blob, halves};
use crate::quantize::rows::{Integers, Rows};
use crate::quantize::{Layer, Quantized};
use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Node, Weights};
use cellstate::model::layer::{Layer as Kind, Section};
use cellstate::model::more::{Formats, More};
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

    /// Once in `n`.
    pub fn once_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
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

/// What a source is to the nodes behind it.
#[derive(Clone, Copy)]
struct Source {
    width: u16,
    steps: u16,
}

/// A random network that the loader accepts, weights at their extremes included.
pub fn random(rng: &mut Rng) -> (Quantized, Vec<u8>) {
    let most = if rng.once_in(4) { 40 } else { 9 };
    let indexed = rng.once_in(8);
    let inputs = if indexed { 1 } else { 1 + rng.below(most) as u16 };
    let window = if rng.once_in(5) { 1 + rng.below(5) as u16 } else { 0 };
    let count = 1 + rng.below(5);
    let mut sources = vec![Source { width: inputs, steps: window.max(1) }];
    let mut layers: Vec<Layer> = Vec::new();
    for k in 0..count {
        let last = k + 1 == count;
        let from = if rng.once_in(4) { rng.below(sources.len() as u64) as u8 } else { sources.len() as u8 - 1 };
        let source = sources[from as usize];
        let kind = if k == 0 && indexed { embedding(rng) } else { kind(rng, &sources, from, last) };
        let walks = window > 0 && kind.is_recurrent();
        let ends = window > 0 && rng.once_in(3);
        let node = Node {
            from,
            backward: walks && rng.once_in(3),
            last: ends,
            steps: if ends { 1 } else { source.steps },
            layer: kind,
        };
        let shape = kind.shape(source.width.into());
        let extra = extra(rng, &kind, source.width.into());
        let rows = shape.sections.iter().filter(|s| s.records > 0).map(|s| rows(rng, s, &kind)).collect();
        layers.push(Layer { node, sections: rows, extra });
        sources.push(Source { width: kind.width() as u16, steps: node.steps });
    }
    let mut heads = vec![layers.len() as u8 - 1];
    if rng.once_in(4) {
        let scaled = |l: &Layer| !matches!(l.node.layer, Kind::More(More::Window { .. } | More::Concat { .. }));
        heads.extend(layers.iter().rposition(scaled).map(|k| k as u8));
    }
    let features = (0..inputs).map(|_| Feature { multiplier: 1, bias: 0, shift: 0, centre: 0.0, gain: 1.0 }).collect();
    let mask = rng.once_in(4).then(|| (0..inputs).map(|_| i16::MAX).collect());
    let net = Quantized { features, mask, window, heads, layers };
    let bytes = blob(&Network::chain("random", inputs.into(), Vec::new()), &net, "random");
    (net, bytes)
}

fn weights(rng: &mut Rng) -> Weights {
    [Weights::W4, Weights::W8, Weights::W16][rng.below(3) as usize]
}

/// Formats of both matrices: alike, or each its own, with groups that a step can hold.
fn formats(rng: &mut Rng, weights: Weights, inputs: usize) -> Formats {
    if rng.once_in(2) {
        return Formats::of(weights);
    }
    let group = 4 * (1 + rng.below(4)) as u16;
    let formats = Formats { w: weights, u: self::weights(rng), group: if rng.once_in(2) { group } else { 0 } };
    // Forty units, at most.
    if formats.fit([inputs, 40]) { formats } else { Formats { group: 0, ..formats } }
}

fn embedding(rng: &mut Rng) -> Kind {
    let weights = if rng.once_in(2) { Weights::W8 } else { Weights::W16 };
    Kind::More(More::Embedding { rows: 1 + rng.below(30) as u16, width: 1 + rng.below(9) as u16, weights, scale: 0.5 })
}

fn kind(rng: &mut Rng, sources: &[Source], from: u8, last: bool) -> Kind {
    let most = if rng.once_in(4) { 40 } else { 13 };
    let units = 1 + rng.below(most) as u16;
    let weights = weights(rng);
    let z_shift = if rng.once_in(3) { rng.below(6) as u8 } else { 0 };
    let cell_frac = 18 + rng.below(13) as u8;
    let initial = rng.once_in(4);
    let hard = rng.once_in(3);
    let squashing = |a: Activation| if a.is_squashing() { z_shift } else { 0 };
    let Source { width, steps } = sources[from as usize];
    let formats = formats(rng, weights, width.into());
    match rng.below(if last { 10 } else { 12 }) {
        0..=2 => Kind::Lstm { units, weights, cell_frac, z_shift, initial },
        3 => Kind::More(More::Gru { units, formats, z_shift, initial, hard, reset_after: rng.once_in(2) }),
        4 => {
            let activation = activation(rng, false);
            Kind::More(More::Rnn { units, formats, activation, z_shift: squashing(activation), scale: 0.5, initial })
        }
        5 | 6 => Kind::More(More::LstmVariant {
            units,
            formats,
            cell_frac,
            z_shift,
            initial,
            hard,
            peephole: rng.once_in(2).then(|| rng.below(16) as u8),
            projection: if rng.once_in(2) { 1 + rng.below(units.into()) as u16 } else { 0 },
            scale: 0.5,
        }),
        7 if width < 60 => {
            Kind::More(More::Norm { width, shift: rng.below(30) as u8, scale: 0.5, epsilon: rng.next() >> 20 })
        }
        10 if width < 20 => {
            let taps = 1 + rng.below(4) as u16;
            let [dilation, stride] = [0; 2].map(|_: u16| 1 + rng.below(3) as u16);
            Kind::More(More::Window { width: taps * width, taps, dilation, stride, causal: rng.once_in(2) })
        }
        11 if width < 60 => {
            let same = |s: &&Source| s.steps == steps;
            let second = sources.iter().rev().position(|s| same(&s) && s.width < 60).unwrap_or(0);
            let second = (sources.len() - 1 - second) as u8;
            Kind::More(More::Concat { width: width + sources[second as usize].width, second })
        }
        _ => {
            let activation = activation(rng, last);
            Kind::Dense { outputs: units, weights, activation, z_shift: squashing(activation), scale: 0.5 }
        }
    }
}

fn activation(rng: &mut Rng, softmax: bool) -> Activation {
    match rng.below(if softmax { 6 } else { 5 }) {
        0 => Activation::Linear,
        1 => Activation::Relu,
        2 => Activation::Sigmoid,
        3 => Activation::Tanh,
        4 => Activation::HardSigmoid,
        _ => Activation::Softmax,
    }
}

/// Rows of a section: multipliers small enough that a sum stays within a quarter of the range, large enough to saturate.
fn rows(rng: &mut Rng, section: &Section, kind: &Kind) -> Rows {
    let z_shift = match kind {
        Kind::Lstm { z_shift, .. }
        | Kind::Dense { z_shift, .. }
        | Kind::More(More::Gru { z_shift, .. } | More::Rnn { z_shift, .. } | More::LstmVariant { z_shift, .. }) => {
            u32::from(*z_shift)
        }
        Kind::More(_) => 0,
    };
    // A dense layer's last record may be cut short; the records of an LSTM are whole.
    let gated = matches!(kind, Kind::Lstm { .. } | Kind::More(More::LstmVariant { .. }));
    let rows = if gated { 4 * section.records } else { kind.width().min(4 * section.records) };
    let top = section.weights.top() as i32;
    let products = section.parts().map(|columns| Integers {
        weights: (0..rows)
            .map(|_| {
                (0..columns)
                    .map(|_| [top, -top - 1, 0, (rng.next() as i32) % (top + 1)][rng.below(4) as usize])
                    .collect()
            })
            .collect(),
        multipliers: (0..rows)
            .map(|_| (rng.below(1 << 30) >> (z_shift + rng.below(12) as u32)) as i32 & !0xffff)
            .collect(),
    });
    let products = products.collect();
    let biases = (0..rows).map(|_| ((rng.next() as i32) >> (4 + rng.below(16))) >> z_shift).collect();
    Rows { biases, products }
}

fn extra(rng: &mut Rng, kind: &Kind, inputs: usize) -> Vec<i32> {
    let shape = kind.shape(inputs);
    let mut values = |n: usize| -> Vec<i16> { (0..n).map(|_| rng.i16().max(-32767)).collect() };
    let wide = |v: Vec<i16>| -> Vec<i32> { v.into_iter().map(i32::from).collect() };
    let mut words = match *kind {
        Kind::More(More::LstmVariant { units, peephole: Some(_), .. }) => wide(values(3 * usize::from(units))),
        Kind::More(More::Norm { width, .. }) => wide(values(2 * usize::from(width))),
        Kind::More(More::Window { causal: true, .. }) => halves(&values(inputs)),
        Kind::More(More::Embedding { .. }) => (0..shape.extra).map(|_| rng.next() as i32).collect(),
        _ => Vec::new(),
    };
    if words.len() < shape.extra {
        words.extend((0..shape.cells).map(|_| rng.next() as i32));
        let hidden: Vec<i16> = (0..kind.width()).map(|_| rng.i16()).collect();
        words.extend(halves(&hidden));
    }
    words
}
