//! The float64 evaluation of a [`Network`], one step at a time.

use crate::network::{Activation, Dense, Layer, Lstm, Network};

/// What one layer computed in the latest step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// Pre-activations, in the order of the rows.
    pub z: Vec<f64>,
    /// An LSTM's cell state; empty for a dense layer.
    pub cell: Vec<f64>,
    /// The output: an LSTM's hidden state, a dense layer's activations.
    pub output: Vec<f64>,
}

/// A network with its state.
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    network: &'a Network,
    layers: Vec<Trace>,
}

impl<'a> Evaluator<'a> {
    /// Begins with every hidden and cell state at zero.
    pub fn new(network: &'a Network) -> Self {
        let layers = network.layers.iter().map(fresh).collect();
        Self { network, layers }
    }

    /// Sets every hidden and cell state to zero.
    pub fn reset(&mut self) {
        self.layers = self.network.layers.iter().map(fresh).collect();
    }

    /// One time step on a sample in model units; returns the last layer's output.
    ///
    /// # Panics
    /// If the sample is shorter than the network's input.
    pub fn step(&mut self, x: &[f64]) -> &[f64] {
        let mut done: &mut [Trace] = &mut [];
        let mut rest = self.layers.as_mut_slice();
        for layer in &self.network.layers {
            let (trace, after) = rest.split_first_mut().expect("one trace per layer");
            let input = done.first().map_or(x, |t| &t.output);
            match layer {
                Layer::Lstm(l) => lstm(l, input, trace),
                Layer::Dense(d) => dense(d, input, trace),
            }
            done = std::slice::from_mut(trace);
            rest = after;
        }
        &self.layers[self.layers.len() - 1].output
    }

    /// What each layer computed in the latest step.
    pub fn layers(&self) -> &[Trace] {
        &self.layers
    }
}

fn fresh(layer: &Layer) -> Trace {
    let cells = if let Layer::Lstm(l) = layer { l.units() } else { 0 };
    Trace { z: Vec::new(), cell: vec![0.0; cells], output: vec![0.0; layer.outputs()] }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + libm::exp(-z))
}

/// Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, as in Keras and PyTorch.
fn lstm(l: &Lstm, x: &[f64], t: &mut Trace) {
    t.z = (0..l.b.len()).map(|r| dot(l.w.row(r), x) + dot(l.u.row(r), &t.output) + l.b[r]).collect();
    for ((z, c), h) in t.z.chunks_exact(4).zip(&mut t.cell).zip(&mut t.output) {
        *c = sigmoid(z[1]) * *c + sigmoid(z[0]) * libm::tanh(z[2]);
        *h = sigmoid(z[3]) * libm::tanh(*c);
    }
}

fn dense(d: &Dense, x: &[f64], t: &mut Trace) {
    t.z = d.b.iter().enumerate().map(|(r, b)| dot(d.w.row(r), x) + b).collect();
    t.output = match d.activation {
        Activation::Linear => t.z.clone(),
        Activation::Relu => t.z.iter().map(|z| z.max(0.0)).collect(),
        Activation::Sigmoid => t.z.iter().map(|&z| sigmoid(z)).collect(),
        Activation::Tanh => t.z.iter().map(|&z| libm::tanh(z)).collect(),
        Activation::Softmax => softmax(&t.z),
    };
}

/// Exponentials over their sum, shifted by the largest so that none overflows.
pub fn softmax(z: &[f64]) -> Vec<f64> {
    let top = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let e: Vec<f64> = z.iter().map(|z| libm::exp(z - top)).collect();
    let sum: f64 = e.iter().sum();
    e.iter().map(|e| e / sum).collect()
}
