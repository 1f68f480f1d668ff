//! One step of one layer.

use crate::attention::Ring;
use crate::layer::{Activation, Dense, Gru, Layer, Lstm, Rnn};
use crate::matrix::dot;

/// What one layer computed in one step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// The layer's input.
    pub input: Vec<f64>,
    /// A recurrent layer's hidden state before the step.
    pub before: Vec<f64>,
    /// Pre-activations, in the order of the rows; of a GRU those that the gates and the candidate end with.
    pub z: Vec<f64>,
    /// An LSTM's cell state.
    pub cell: Vec<f64>,
    /// An LSTM's cell state before the step.
    pub cell_before: Vec<f64>,
    /// Attention's query as it meets the keys.
    pub query: Vec<f64>,
    /// The memories that attention took in: source, key and value of each.
    pub memories: Vec<[Vec<f64>; 3]>,
    /// Attention's context, head after head.
    pub context: Vec<f64>,
    /// Attention's weights, head after head, the oldest memory first.
    pub weights: Vec<f64>,
    /// The output: a recurrent layer's hidden state, another's values.
    pub output: Vec<f64>,
}

/// What one layer carries from step to step.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    h: Vec<f64>,
    c: Vec<f64>,
    /// A window's inputs, the newest last.
    ring: Vec<Vec<f64>>,
    /// Inputs so far, and zeros before a causal window.
    seen: usize,
    /// Attention's memories.
    pub(crate) memories: Ring,
}

impl Memory {
    /// As it is before the first step.
    pub fn new(layer: &Layer, inputs: usize) -> Self {
        let (h, c) = match layer {
            Layer::Lstm(l) => (l.u.cols, l.units()),
            Layer::Gru(_) | Layer::Rnn(_) => (layer.outputs(inputs), 0),
            _ => (0, 0),
        };
        let zeros = match layer {
            Layer::Window { taps, dilation, causal: true, .. } => (taps - 1) * dilation,
            _ => 0,
        };
        let (h, c) = layer.initial().map_or((vec![0.0; h], vec![0.0; c]), |i| (i.h.clone(), i.c.clone()));
        Self { h, c, ring: vec![vec![0.0; inputs]; zeros], seen: zeros, memories: Ring::default() }
    }

    /// One step; none from a window that waits for more inputs.
    pub fn step(&mut self, layer: &Layer, x: &[f64]) -> Option<Trace> {
        let before = self.h.clone();
        let mut trace = match layer {
            Layer::Lstm(l) => lstm(l, x, &before, &mut self.c),
            Layer::Gru(g) => gru(g, x, &before),
            Layer::Rnn(r) => rnn(r, x, &before),
            Layer::Dense(d) => dense(d, x),
            Layer::Embedding(table) => {
                let row = x[0].clamp(0.0, (table.rows - 1) as f64);
                output(table.row(row.round() as usize).to_vec())
            }
            Layer::LayerNorm { scale, offset, epsilon, rms } => output(layer_norm(x, scale, offset, *epsilon, *rms)),
            Layer::Position(table) => {
                let row = table.row(self.seen.min(table.rows - 1));
                self.seen += 1;
                output(x.iter().zip(row).map(|(x, p)| x + p).collect())
            }
            Layer::Attention(a) => a.ask(&self.memories, x),
            // The sources, one after the other.
            Layer::Sum | Layer::Product => output(x.to_vec()),
            Layer::Affine { scale, offset } => {
                output(x.iter().zip(scale).zip(offset).map(|((x, s), o)| x * s + o).collect())
            }
            &Layer::Window { taps, dilation, stride, .. } => output(self.window(taps, dilation, stride, x)?),
        };
        if layer.is_recurrent() {
            self.h.clone_from(&trace.output);
        }
        trace.before = before;
        trace.input = x.to_vec();
        Some(trace)
    }

    fn window(&mut self, taps: usize, dilation: usize, stride: usize, x: &[f64]) -> Option<Vec<f64>> {
        let reach = (taps - 1) * dilation + 1;
        self.ring.push(x.to_vec());
        self.seen += 1;
        if self.ring.len() > reach {
            self.ring.remove(0);
        }
        let due = self.seen >= reach && (self.seen - reach).is_multiple_of(stride);
        due.then(|| self.ring.iter().step_by(dilation).flatten().copied().collect())
    }
}

fn output(output: Vec<f64>) -> Trace {
    Trace { output, ..Trace::default() }
}

/// The logistic function.
pub fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// An activation of single values; softmax is of all together, and here as linear.
pub fn activate(activation: Activation, z: f64) -> f64 {
    match activation {
        Activation::Linear | Activation::Softmax => z,
        Activation::Relu => z.max(0.0),
        Activation::Sigmoid => sigmoid(z),
        Activation::HardSigmoid { slope } => (slope * z + 0.5).clamp(0.0, 1.0),
        Activation::Tanh => libm::tanh(z),
        Activation::Silu => z * sigmoid(z),
        Activation::Gelu { tanh: false } => 0.5 * z * (1.0 + libm::erf(z * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::Gelu { tanh: true } => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (z + 0.044_715 * z * z * z);
            0.5 * z * (1.0 + libm::tanh(inner))
        }
    }
}

/// Hochreiter and Schmidhuber 1997 with the forget gate and the peepholes of Gers et al. 2000 and 2002 and the projection of
/// Sak et al. 2014, as in Keras, PyTorch and ONNX.
fn lstm(l: &Lstm, x: &[f64], h: &[f64], c: &mut [f64]) -> Trace {
    let mut z: Vec<f64> = (0..l.b.len()).map(|r| dot(l.w.row(r), x) + dot(l.u.row(r), h) + l.b[r]).collect();
    let mut hidden = vec![0.0; c.len()];
    let cell_before = c.to_vec();
    for (k, ((z, c), h)) in z.chunks_exact_mut(4).zip(&mut *c).zip(&mut hidden).enumerate() {
        let [pi, pf, po] = l.peephole.as_ref().map_or([0.0; 3], |p| p[k]);
        z[0] += pi * *c;
        z[1] += pf * *c;
        *c = activate(l.gates, z[1]) * *c + activate(l.gates, z[0]) * libm::tanh(z[2]);
        z[3] += po * *c;
        *h = activate(l.gates, z[3]) * libm::tanh(*c);
    }
    let output = l.projection.as_ref().map_or_else(|| hidden.clone(), |p| p.times(&hidden));
    Trace { z, cell: c.to_vec(), cell_before, output, ..Trace::default() }
}

/// Cho et al. 2014, with the reset gate before or after the recurrent product.
fn gru(g: &Gru, x: &[f64], h: &[f64]) -> Trace {
    let units = g.units();
    let mut z: Vec<f64> = (0..3 * units).map(|r| dot(g.w.row(r), x) + g.b[r]).collect();
    let gate = |z: f64| activate(g.gates, z);
    for k in 0..units {
        z[3 * k] += dot(g.u.row(3 * k), h);
        z[3 * k + 1] += dot(g.u.row(3 * k + 1), h);
    }
    let reset: Vec<f64> = (0..units).map(|k| gate(z[3 * k]) * h[k]).collect();
    for k in 0..units {
        let n = g.u.row(3 * k + 2);
        z[3 * k + 2] += match &g.reset_after {
            Some(bias) => gate(z[3 * k]) * (dot(n, h) + bias[k]),
            None => dot(n, &reset),
        };
    }
    let next = |k: usize| {
        let keep = gate(z[3 * k + 1]);
        keep * h[k] + (1.0 - keep) * libm::tanh(z[3 * k + 2])
    };
    let output = (0..units).map(next).collect();
    Trace { z, output, ..Trace::default() }
}

fn rnn(r: &Rnn, x: &[f64], h: &[f64]) -> Trace {
    let z: Vec<f64> = (0..r.b.len()).map(|k| dot(r.w.row(k), x) + dot(r.u.row(k), h) + r.b[k]).collect();
    let output = z.iter().map(|&z| activate(r.activation, z)).collect();
    Trace { z, output, ..Trace::default() }
}

fn dense(d: &Dense, x: &[f64]) -> Trace {
    let z: Vec<f64> = d.b.iter().enumerate().map(|(r, b)| dot(d.w.row(r), x) + b).collect();
    let output = match d.activation {
        Activation::Softmax => softmax(&z),
        other => z.iter().map(|&z| activate(other, z)).collect(),
    };
    Trace { z, output, ..Trace::default() }
}

/// Ba et al. 2016; the variance is that of the population.
fn layer_norm(x: &[f64], scale: &[f64], offset: &[f64], epsilon: f64, rms: bool) -> Vec<f64> {
    let n = x.len() as f64;
    let mean = if rms { 0.0 } else { x.iter().sum::<f64>() / n };
    let variance = x.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n;
    let factor = 1.0 / (variance + epsilon).sqrt();
    x.iter().zip(scale).zip(offset).map(|((v, s), o)| (v - mean) * factor * s + o).collect()
}

/// Exponentials over their sum, shifted by the largest so that none overflows.
pub fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| libm::exp(z - top)).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}
