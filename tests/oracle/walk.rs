//! The oracle: a quantized network by the definitions of docs/numeric.md, without a thought for speed.

use super::attention::Ring;
use cellstate::model::header::{Activation, Weights, stream_of};
use cellstate::model::layer::{Layer as Kind, Section};
use cellstate::model::more::{More, reach, row_words};
use cellstate::numeric::{sigmoid, tanh};
use cellstate_convert::quantize::{Layer, Quantized};
use fixed::types::I16F16;

pub(crate) type Vector = Vec<i128>;

/// `floor(v / 2^shift + 1/2)`.
pub(crate) fn round(v: i128, shift: u32) -> i128 {
    (2 * v + (1 << shift)).div_euclid(2 << shift)
}

pub(crate) fn clamp32(v: i128) -> i128 {
    v.clamp(i32::MIN.into(), i32::MAX.into())
}

pub(crate) fn clamp15(v: i128) -> i128 {
    v.clamp(-32767, 32767)
}

fn bits(v: i128) -> I16F16 {
    I16F16::from_bits(i32::try_from(v).expect("a pre-activation"))
}

pub(crate) fn tan(v: i128) -> i128 {
    tanh(bits(v)).to_bits().into()
}

fn sig(v: i128) -> i128 {
    sigmoid(bits(v)).to_bits().into()
}

fn hard_sig(v: i128) -> i128 {
    round(v + (1 << 15), 1).clamp(0, 32767)
}

fn gate(hard: bool, v: i128) -> i128 {
    if hard { hard_sig(v) } else { sig(v) }
}

fn activate(activation: Activation, z: i128) -> i128 {
    match activation {
        Activation::Linear | Activation::Softmax => z,
        Activation::Relu => z.max(0),
        Activation::Sigmoid => sig(z),
        Activation::Tanh => tan(z),
        Activation::HardSigmoid => hard_sig(z),
        Activation::Silu { shift } => round(round(z * sig(z), 15), shift.into()),
        Activation::Gelu { tanh, shift } => round(round(z * sig(normal(z, tanh)), 15), shift.into()),
    }
}

/// The odd polynomial of which a sigmoid is the normal distribution function.
fn normal(z: i128, tanh: bool) -> i128 {
    let [a, b, c] = if tanh { [1_713_444_047, 76_616_651, 0] } else { [1_712_634_813, 79_468_994, -754_847] };
    let x = z.clamp(-8 << 16, 8 << 16);
    let square = (x * x) >> 16;
    (x * (a + ((square * (b + ((square * c) >> 16))) >> 16))) >> 30
}

/// Sixteen-bit values, two a word.
pub(crate) fn halves(words: &[i32]) -> Vector {
    words.iter().flat_map(|w| [i128::from(*w as i16), i128::from((*w >> 16) as i16)]).collect()
}

/// The rows of a layer, record by record.
pub(crate) struct Rows<'a> {
    layer: &'a Layer,
    sections: Vec<Section>,
}

impl<'a> Rows<'a> {
    fn new(layer: &'a Layer, inputs: usize, second: usize) -> Self {
        let shape = layer.node.layer.shape(inputs, second);
        Self { layer, sections: shape.sections.into_iter().filter(|s| s.records > 0).collect() }
    }

    /// A row of a section on its vectors: its bias and all parts.
    fn one(&self, section: usize, row: usize, vectors: &[&[i128]]) -> i128 {
        let rows = &self.layer.sections[section];
        let mut z = i128::from(rows.biases[row]);
        let all = vectors.concat();
        let mut columns = &all[..];
        for part in &rows.products {
            let mine = columns.split_off(..part.weights[row].len()).unwrap();
            let sum: i128 = part.weights[row].iter().zip(mine).map(|(&w, x)| i128::from(w) * x).sum();
            let acc = if self.sections[section].weights == Weights::W16 { round(sum, 8) } else { sum };
            assert_eq!(i128::from(acc as i32), acc, "accumulator");
            z += round(acc * i128::from(part.multipliers[row]), 32);
        }
        assert!(columns.is_empty());
        z
    }

    /// A row of a set of sections: the second's is added to the first's, if it is one that is.
    pub(crate) fn row(&self, set: usize, row: usize, vectors: &[&[i128]]) -> i128 {
        let first = (0..self.sections.len()).filter(|&k| !self.sections[k].added).nth(set).unwrap();
        match (self.sections.get(first + 1).filter(|s| s.added), vectors) {
            (Some(_), [x, h]) => self.one(first, row, &[x]) + self.one(first + 1, row, &[h]),
            _ => self.one(first, row, vectors),
        }
    }
}

/// What a node carries from step to step.
#[derive(Clone, Default)]
pub(crate) struct Memory {
    pub(crate) c: Vector,
    pub(crate) h: Vector,
    inputs: Vec<Vector>,
    seen: usize,
    ring: Ring,
}

impl Memory {
    fn new(layer: &Layer, inputs: usize) -> Self {
        let kind = layer.node.layer;
        let (cells, width) = (kind.cells(), kind.width());
        let mut memory = Self { c: vec![0; cells], h: vec![0; width], ..Self::default() };
        match kind {
            Kind::More(More::Window { taps, dilation, causal: true, .. }) => {
                let mut zeros = halves(&layer.extra);
                zeros.truncate(inputs);
                memory.seen = reach(taps, dilation) - 1;
                memory.inputs = vec![zeros; memory.seen];
            }
            Kind::Lstm { initial: true, .. }
            | Kind::More(
                More::Gru { initial: true, .. }
                | More::Rnn { initial: true, .. }
                | More::LstmVariant { initial: true, .. },
            ) => {
                let packed = width.div_ceil(4) * 2;
                let (c, h) = layer.extra[layer.extra.len() - cells - packed..].split_at(cells);
                memory.c = c.iter().map(|&v| v.into()).collect();
                memory.h = halves(h)[..width].to_vec();
            }
            _ => {}
        }
        memory
    }

    fn step(&mut self, layer: &Layer, inputs: usize, x: &[i128], wide: bool) -> Option<Vector> {
        let rows = Rows::new(layer, inputs, 0);
        let row = |set: usize, row: usize, vectors: &[&[i128]]| rows.row(set, row, vectors);
        let h = self.h.clone();
        let out: Vector = match layer.node.layer {
            Kind::Lstm { units, cell_frac, z_shift, .. } => {
                self.lstm(units, cell_frac, false, 1, |_| [0; 3], |r| row(0, r, &[x, &h]) << z_shift)
            }
            Kind::More(More::LstmVariant { units, cell_frac, z_shift, hard, peephole, projection, .. }) => {
                let peep = |k: usize| match peephole {
                    Some(_) => std::array::from_fn(|g| layer.extra[3 * k + g].into()),
                    None => [0; 3],
                };
                let shift = u32::from(cell_frac) + u32::from(peephole.unwrap_or(0)) - 16;
                let out = self.lstm(units, cell_frac, hard, shift, peep, |r| row(0, r, &[x, &h]) << z_shift);
                if projection == 0 {
                    out
                } else {
                    (0..usize::from(projection)).map(|r| clamp15(row(1, r, &[&out]))).collect()
                }
            }
            Kind::More(More::Gru { units, z_shift, hard, reset_after, .. }) => {
                let units = usize::from(units);
                let r: Vector = (0..units).map(|k| gate(hard, row(0, k, &[x, &h]) << z_shift)).collect();
                let reset: Vector = r.iter().zip(&h).map(|(r, h)| round(r * h, 15)).collect();
                let unit = |k: usize| {
                    let keep = gate(hard, row(1, k, &[x, &h]) << z_shift);
                    let n = if reset_after {
                        row(2, k, &[x]) + 2 * round(row(3, k, &[&h]) * r[k], 16)
                    } else {
                        row(2, k, &[x, &reset])
                    };
                    clamp32((32768 - keep) * tan(n << z_shift) + 2 * round(self.c[k] * keep, 16))
                };
                self.c = (0..units).map(unit).collect();
                self.c.iter().map(|&c| clamp15(round(c, 15))).collect()
            }
            Kind::More(More::Rnn { units, activation, z_shift, .. }) => {
                let value = |k: usize| clamp15(activate(activation, row(0, k, &[x, &h]) << z_shift));
                (0..usize::from(units)).map(value).collect()
            }
            Kind::Dense { outputs, activation, z_shift, .. } => {
                let value = |k: usize| activate(activation, row(0, k, &[x]) << z_shift);
                (0..usize::from(outputs)).map(|k| if wide { value(k) } else { clamp15(value(k)) }).collect()
            }
            Kind::More(More::Embedding { rows, width, weights, .. }) => {
                let words = row_words(width.into(), weights);
                let row = &layer.extra[x[0].clamp(0, i128::from(rows) - 1) as usize * words..][..words];
                let bytes: Vec<u8> = row.iter().flat_map(|w| w.to_le_bytes()).collect();
                let value = |k: usize| match weights {
                    Weights::W16 => i128::from(i16::from_le_bytes([bytes[2 * k], bytes[2 * k + 1]])),
                    _ => i128::from(bytes[k] as i8) * 256,
                };
                (0..usize::from(width)).map(value).collect()
            }
            Kind::More(More::Norm { shift, epsilon, rms, .. }) => {
                let n = x.len() as i128;
                let sum = if rms { 0 } else { x.iter().sum() };
                let squares: i128 = x.iter().map(|v| v * v).sum();
                let root = ((n * squares - sum * sum + i128::from(epsilon)) as u128).isqrt().max(1) as i128;
                let value = |(k, x): (usize, &i128)| {
                    let normal = (((n * x - sum) << 16) + root).div_euclid(2 * root);
                    let (gain, bias) = (layer.extra[k], layer.extra[k + n as usize]);
                    clamp15((normal * i128::from(gain) + i128::from(bias)) >> shift)
                };
                x.iter().enumerate().map(value).collect()
            }
            Kind::More(More::Window { taps, dilation, stride, .. }) => {
                let reach = reach(taps, dilation);
                self.inputs.push(x.to_vec());
                self.seen += 1;
                let due = self.seen >= reach && (self.seen - reach).is_multiple_of(stride.into());
                let latest = &self.inputs[self.inputs.len().saturating_sub(reach)..];
                return due.then(|| latest.iter().step_by(dilation.into()).flatten().copied().collect());
            }
            Kind::More(More::Concat { .. }) => x.to_vec(),
            Kind::More(More::Join { width, product, shift, .. }) => {
                let (ma, mb) = (i128::from(layer.extra[0]), i128::from(layer.extra[1]));
                let (a, b) = x.split_at(width.into());
                let of = |(a, b): (&i128, &i128)| if product { a * b * ma } else { a * ma + b * mb };
                a.iter().zip(b).map(|p| clamp15(round(of(p), shift.into()))).collect()
            }
            Kind::More(More::Position { rows, shift, width, .. }) => {
                let words = usize::from(width).div_ceil(4) * 2;
                let row = halves(&layer.extra[1 + self.seen.min(usize::from(rows) - 1) * words..][..words]);
                self.seen += 1;
                let value = |(x, p): (&i128, &i128)| clamp15(round(x * i128::from(layer.extra[0]), shift.into()) + p);
                x.iter().zip(&row).map(value).collect()
            }
            Kind::More(More::Attention(_)) => unreachable!("it has two sources, of one stream or two"),
        };
        self.h.clone_from(&out);
        Some(out)
    }

    fn lstm(
        &mut self,
        units: u16,
        cell_frac: u8,
        hard: bool,
        shift: u32,
        peephole: impl Fn(usize) -> [i128; 3],
        z: impl Fn(usize) -> i128,
    ) -> Vector {
        let frac = u32::from(cell_frac);
        let mut out = Vec::new();
        for k in 0..usize::from(units) {
            let [pi, pf, po] = peephole(k);
            let look = |z: i128, c: i128, p: i128| clamp32(z + round(c * p, shift));
            let i = gate(hard, look(z(4 * k), self.c[k], pi));
            let f = gate(hard, look(z(4 * k + 1), self.c[k], pf));
            let written = round(i * tan(z(4 * k + 2)), 30 - frac);
            self.c[k] = clamp32(2 * round(self.c[k] * f, 16) + written);
            let o = gate(hard, look(z(4 * k + 3), self.c[k], po));
            out.push(round(o * tan(round(self.c[k], frac - 16)), 15));
        }
        out
    }
}

/// A network with its state.
pub(crate) struct Oracle<'a> {
    net: &'a Quantized,
    wide: Vec<bool>,
    pub(crate) memories: Vec<Memory>,
    /// What each node yielded in the latest run.
    pub(crate) outputs: Vec<Vec<Vector>>,
    samples: Vec<Vector>,
    /// The latest samples of each stream.
    inputs: Vec<Vec<Vector>>,
}

impl<'a> Oracle<'a> {
    pub(crate) fn new(net: &'a Quantized, wide: Vec<bool>) -> Self {
        let outputs = vec![Vec::new(); net.layers.len()];
        let mut oracle =
            Self { net, wide, memories: Vec::new(), outputs, samples: Vec::new(), inputs: vec![Vec::new(); 4] };
        oracle.reset();
        oracle
    }

    fn width(&self, source: u8) -> usize {
        match stream_of(source) {
            Some(k) => self.net.streams.get(k).map_or(self.net.features.len(), |&n| n.into()),
            None => self.net.layers[source as usize - 1].node.layer.width(),
        }
    }

    /// The stream on whose steps a source has new values.
    pub(crate) fn stream(&self, source: u8) -> usize {
        stream_of(source).unwrap_or_else(|| self.stream(self.net.layers[source as usize - 1].node.from))
    }

    fn reset(&mut self) {
        self.memories = self.net.layers.iter().map(|l| Memory::new(l, self.width(l.node.from))).collect();
    }

    /// One step of a stream; whether the network ran.
    pub(crate) fn step(&mut self, stream: usize, x: &[i16]) -> bool {
        let masked = self.net.mask.as_ref().is_some_and(|m| m == x);
        if self.net.window == 0 {
            if !masked {
                self.inputs[stream] = vec![x.iter().map(|&v| v.into()).collect()];
                self.run(stream);
            }
            return !masked;
        }
        self.samples.push(if masked { Vec::new() } else { x.iter().map(|&v| v.into()).collect() });
        if self.samples.len() < usize::from(self.net.window) {
            return false;
        }
        let samples: Vec<Vector> = std::mem::take(&mut self.samples).into_iter().filter(|x| !x.is_empty()).collect();
        if !samples.is_empty() {
            self.reset();
            self.inputs[0] = samples;
            self.run(0);
            return true;
        }
        false
    }

    fn sequence(&self, source: u8) -> &[Vector] {
        stream_of(source).map_or_else(|| &self.outputs[source as usize - 1], |k| &self.inputs[k])
    }

    fn run(&mut self, stream: usize) {
        for (k, layer) in self.net.layers.iter().enumerate() {
            let node = layer.node;
            let runs = self.stream(node.from) == stream;
            if let Kind::More(More::Attention(a)) = node.layer {
                let new = if self.stream(a.memory) == stream { self.sequence(a.memory).to_vec() } else { Vec::new() };
                let queries = if runs { self.sequence(node.from).to_vec() } else { Vec::new() };
                let rows = Rows::new(layer, self.width(node.from), self.width(a.memory));
                let mut new = new.iter();
                let mut done = Vec::new();
                let ring = &mut self.memories[k].ring;
                for x in &queries {
                    let count = if a.causal { 1 } else { new.len() };
                    new.by_ref().take(count).for_each(|m| ring.remember(&a, &rows, &layer.extra, m));
                    done.push(ring.ask(&a, &rows, &layer.extra, x));
                }
                new.for_each(|m| ring.remember(&a, &rows, &layer.extra, m));
                if runs {
                    done.drain(..if node.last { done.len().saturating_sub(1) } else { 0 });
                    self.outputs[k] = done;
                }
                continue;
            }
            if !runs {
                continue;
            }
            let inputs: Vec<Vector> = match node.layer.second() {
                Some(second) => {
                    let both = self.sequence(node.from).iter().zip(self.sequence(second));
                    both.map(|(a, b)| a.iter().chain(b).copied().collect()).collect()
                }
                None => self.sequence(node.from).to_vec(),
            };
            let mut order: Vec<usize> = (0..inputs.len()).collect();
            if node.backward {
                order.reverse();
            }
            let width = self.width(node.from);
            let step = |&t: &usize| self.memories[k].step(layer, width, &inputs[t], self.wide[k]);
            let mut done: Vec<Vector> = order.iter().filter_map(step).collect();
            if node.last {
                done.drain(..done.len().saturating_sub(1));
            }
            if node.backward {
                done.reverse();
            }
            self.outputs[k] = done;
        }
    }
}
