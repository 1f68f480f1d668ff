//! Random networks in integers, for tests: any shape, any layer, any format, weights at their extremes.

use crate::emit::blob::{blob, halves};
use crate::quantize::rows::{Integers, Rows};
use crate::quantize::{Layer, Quantized};
use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Node, Weights};
use cellstate::model::layer::{Layer as Kind, Section, Shape};
use cellstate::model::more::{Attention, Formats, More};
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
    /// Its number in the header.
    number: u8,
    /// The stream that it is of.
    stream: usize,
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
    let streams = if window == 0 && !indexed && rng.once_in(4) {
        (0..2 + rng.below(2)).map(|_| 1 + rng.below(9) as u16).collect()
    } else {
        Vec::new()
    };
    let inputs = if streams.is_empty() { inputs } else { streams.iter().sum() };
    let mut sources =
        vec![Source { number: 0, stream: 0, width: streams.first().copied().unwrap_or(inputs), steps: window.max(1) }];
    for (k, &width) in streams.iter().enumerate().skip(1) {
        sources.push(Source { number: (256 - k) as u8, stream: k, width, steps: 1 });
    }
    let mut layers: Vec<Layer> = Vec::new();
    for k in 0..count {
        let last = k + 1 == count;
        let from = if rng.once_in(4) { rng.below(sources.len() as u64) as usize } else { sources.len() - 1 };
        let source = sources[from];
        let kind = if k == 0 && indexed { embedding(rng) } else { kind(rng, &sources, source, last) };
        let walks = window > 0 && kind.is_recurrent();
        let ends = window > 0 && rng.once_in(3);
        let node = Node {
            from: source.number,
            backward: walks && rng.once_in(3),
            last: ends,
            steps: if ends { 1 } else { source.steps },
            layer: kind,
        };
        let second = kind.second().and_then(|second| sources.iter().find(|s| s.number == second));
        let shape = kind.shape(source.width.into(), second.map_or(0, |s| s.width.into()));
        let extra = extra(rng, &kind, &shape, source.width.into());
        let sections = shape.sections.iter().enumerate().filter(|(_, s)| s.records > 0);
        let rows = sections.map(|(k, s)| rows(rng, s, k, &kind)).collect();
        layers.push(Layer { node, sections: rows, extra });
        sources.push(Source {
            number: layers.len() as u8,
            stream: source.stream,
            width: kind.width() as u16,
            steps: node.steps,
        });
    }
    let mut heads = vec![layers.len() as u8 - 1];
    if rng.once_in(4) {
        let scaled = |l: &Layer| !matches!(l.node.layer, Kind::More(More::Window { .. } | More::Concat { .. }));
        heads.extend(layers.iter().rposition(scaled).map(|k| k as u8));
    }
    let features = (0..inputs).map(|_| Feature { multiplier: 1, bias: 0, shift: 0, centre: 0.0, gain: 1.0 }).collect();
    let mask = (streams.is_empty() && rng.once_in(4)).then(|| (0..inputs).map(|_| i16::MAX).collect());
    let net = Quantized { features, mask, window, streams, heads, layers };
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

fn kind(rng: &mut Rng, sources: &[Source], source: Source, last: bool) -> Kind {
    let most = if rng.once_in(4) { 40 } else { 13 };
    let units = 1 + rng.below(most) as u16;
    let weights = weights(rng);
    let z_shift = if rng.once_in(3) { rng.below(6) as u8 } else { 0 };
    let cell_frac = 18 + rng.below(13) as u8;
    let initial = rng.once_in(4);
    let hard = rng.once_in(3);
    let squashing = |a: Activation| if a.is_squashing() || a.output_shift().is_some() { z_shift } else { 0 };
    let Source { width, steps, .. } = source;
    let formats = formats(rng, weights, width.into());
    // Another source of the same width and steps, if there is one; samples only of the stream that the node is of.
    let near = |s: &&Source| s.stream == source.stream || (s.number > 0 && usize::from(s.number) <= sources.len());
    let like = |s: &&Source| near(s) && (s.width, s.steps) == (width, steps);
    match rng.below(if last { 14 } else { 16 }) {
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
        7 if width < 60 => Kind::More(More::Norm {
            width,
            shift: rng.below(30) as u8,
            scale: 0.5,
            epsilon: rng.next() >> 20,
            rms: rng.once_in(2),
        }),
        8 => {
            let product = rng.once_in(2);
            let shift = 1 + rng.below(if product { 47 } else { 31 }) as u8;
            let second = sources.iter().find(like).map_or(source.number, |s| s.number);
            Kind::More(More::Join { width, second, product, shift, scale: 0.5 })
        }
        9 => {
            let (rows, shift) = (1 + rng.below(12) as u16, 1 + rng.below(31) as u8);
            Kind::More(More::Position { width, rows, shift, scale: 0.5 })
        }
        10 | 11 => attention(rng, sources, source),
        14 if width < 20 => {
            let taps = 1 + rng.below(4) as u16;
            let [dilation, stride] = [0; 2].map(|_: u16| 1 + rng.below(3) as u16);
            Kind::More(More::Window { width: taps * width, taps, dilation, stride, causal: rng.once_in(2) })
        }
        15 if width < 60 => {
            let same = |s: &&Source| near(s) && s.steps == steps && s.width < 60;
            let second = sources.iter().rev().find(same).copied().unwrap_or(source);
            Kind::More(More::Concat { width: width + second.width, second: second.number })
        }
        _ => {
            let activation = activation(rng, last);
            Kind::Dense { outputs: units, weights, activation, z_shift: squashing(activation), scale: 0.5 }
        }
    }
}

/// Attention of any kind: what has no matrix is one head's.
fn attention(rng: &mut Rng, sources: &[Source], query: Source) -> Kind {
    let memory = sources[rng.below(sources.len() as u64) as usize];
    let kv_heads = 1 + rng.below(2) as u8;
    let heads = kv_heads * (1 + rng.below(2) as u8);
    let [key, value] = [0; 2].map(|_| 4 * (1 + rng.below(3) as u16));
    let split = if memory.width > 4 && rng.once_in(2) { 4 } else { 0 };
    let [keys, values] = if split == 0 { [memory.width; 2] } else { [split, memory.width - split] };
    let q = heads > 1 || query.width > key || rng.once_in(2);
    let k = kv_heads > 1 || keys > key || rng.once_in(2);
    let v = kv_heads > 1 || values > value || rng.once_in(2);
    let o = rng.once_in(2);
    let width = if o { 1 + rng.below(13) as u16 } else { u16::from(heads) * value };
    Kind::More(More::Attention(Attention {
        width,
        memory: memory.number,
        split,
        heads,
        kv_heads,
        key,
        value,
        slots: 1 + rng.below(11) as u16,
        causal: rng.once_in(2),
        additive: rng.once_in(3),
        projections: [q, k, v, o].iter().enumerate().map(|(bit, &has)| u8::from(has) << bit).sum(),
        weights: weights(rng),
        z_shift: rng.below(4) as u8,
        rotary: rng.once_in(2),
        ages: rng.once_in(2),
        scale: 0.5,
    }))
}

fn activation(rng: &mut Rng, softmax: bool) -> Activation {
    match rng.below(if softmax { 8 } else { 5 }) {
        0 => Activation::Linear,
        1 => Activation::Relu,
        2 => Activation::Sigmoid,
        3 => Activation::Tanh,
        4 => Activation::HardSigmoid,
        5 => Activation::Silu { shift: rng.below(20) as u8 },
        6 => Activation::Gelu { tanh: rng.once_in(2), shift: rng.below(20) as u8 },
        _ => Activation::Softmax,
    }
}

/// Rows of a section: multipliers small enough that a sum stays within a quarter of the range, large enough to saturate.
fn rows(rng: &mut Rng, section: &Section, index: usize, kind: &Kind) -> Rows {
    let z_shift = match kind {
        Kind::Lstm { z_shift, .. }
        | Kind::Dense { z_shift, .. }
        | Kind::More(More::Gru { z_shift, .. } | More::Rnn { z_shift, .. } | More::LstmVariant { z_shift, .. }) => {
            u32::from(*z_shift)
        }
        Kind::More(_) => 0,
    };
    // A dense layer's last record may be cut short; the records of an LSTM are whole.
    let gated = matches!(kind, Kind::Lstm { .. } | Kind::More(More::LstmVariant { .. }))
        || (matches!(kind, Kind::More(More::Attention(_))) && index < 3);
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

fn extra(rng: &mut Rng, kind: &Kind, shape: &Shape, inputs: usize) -> Vec<i32> {
    if let Kind::More(More::Attention(a)) = kind {
        let [head, angles, ages, weights] = a.extra_words();
        let mut words = vec![0; head / 2];
        words.extend((0..head / 2).map(|_| (rng.next() >> 33) as i32 & !0xffff));
        words.extend((0..angles).map(|_| rng.next() as i32));
        words.extend((0..ages).map(|_| (rng.next() as i32) >> (2 + rng.below(12))));
        words.extend((0..weights).map(|_| rng.next() as i32));
        return words;
    }
    let mut values = |n: usize| -> Vec<i16> { (0..n).map(|_| rng.i16().max(-32767)).collect() };
    let wide = |v: Vec<i16>| -> Vec<i32> { v.into_iter().map(i32::from).collect() };
    let mut words = match *kind {
        Kind::More(More::LstmVariant { units, peephole: Some(_), .. }) => wide(values(3 * usize::from(units))),
        Kind::More(More::Norm { width, .. }) => wide(values(2 * usize::from(width))),
        Kind::More(More::Join { .. }) => wide(values(2)),
        Kind::More(More::Position { width, rows, .. }) => {
            let mut words = wide(values(1));
            (0..rows).for_each(|_| words.extend(halves(&values(width.into()))));
            words
        }
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
