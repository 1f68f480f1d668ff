//! What a node of the network computes.

use crate::attention::Attention;
use crate::matrix::Matrix;

/// What follows a dense layer's or a simple recurrent layer's matrices.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// Nothing.
    Linear,
    /// `max(0, z)`.
    Relu,
    /// The logistic function.
    Sigmoid,
    /// `slope z + 1/2`, limited to 0..=1.
    HardSigmoid {
        /// 1/5 in Keras 2 and ONNX, 1/6 in Keras 3 and PyTorch.
        slope: f64,
    },
    /// The hyperbolic tangent.
    Tanh,
    /// Exponentials over their sum.
    Softmax,
    /// `z` times the logistic function of `z`.
    Silu,
    /// `z` times the normal distribution function of `z`, or its usual approximation by a hyperbolic tangent.
    Gelu {
        /// Whether it is the approximation.
        tanh: bool,
    },
}

/// The hidden state, and an LSTM's cell state, before the first step.
#[derive(Clone, Debug, PartialEq)]
pub struct Initial {
    /// Hidden state.
    pub h: Vec<f64>,
    /// Cell state; empty for layers without one.
    pub c: Vec<f64>,
}

/// Long short-term memory: `[i f g o] = W x + U h + b`; `c = f c + i tanh(g)`; `h = o tanh(c)`, then projected.
///
/// Rows are unit by unit, and within a unit in the order i, f, g, o: row `4 u + gate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// `4H x I`, input weights.
    pub w: Matrix,
    /// `4H x P`, recurrent weights; `P` is the width of the hidden state: `H` without projection.
    pub u: Matrix,
    /// `4H` biases.
    pub b: Vec<f64>,
    /// The function of i, f and o: a sigmoid, hard or not.
    pub gates: Activation,
    /// A unit's weights of its own cell state: the former one into i and f, the new one into o.
    pub peephole: Option<Vec<[f64; 3]>>,
    /// `P x H`: the hidden state is this times `o tanh(c)`.
    pub projection: Option<Matrix>,
    /// Zeros if none.
    pub initial: Option<Initial>,
}

impl Lstm {
    /// From matrices whose rows are gate by gate, as every framework stores them: row `gate * H + unit`.
    ///
    /// `gates` gives the framework's order: the position in its matrices of i, f, g and o. The result has sigmoid gates and
    /// no peepholes, projection or initial state.
    pub fn from_gate_major(gates: [usize; 4], w: &Matrix, u: &Matrix, b: &[f64]) -> Self {
        let units = b.len() / 4;
        let source = |row: usize| gates[row % 4] * units + row / 4;
        let b = (0..4 * units).map(|r| b[source(r)]).collect();
        Self::from_unit_major(w.gather(4 * units, source), u.gather(4 * units, source), b)
    }

    /// From matrices whose rows are in this type's order: sigmoid gates, no peepholes, projection or initial state.
    pub fn from_unit_major(w: Matrix, u: Matrix, b: Vec<f64>) -> Self {
        Self { w, u, b, gates: Activation::Sigmoid, peephole: None, projection: None, initial: None }
    }

    /// Number of cells, `H`.
    pub fn units(&self) -> usize {
        self.b.len() / 4
    }
}

/// Gated recurrent unit: `r, z = sigmoid(W x + U h + b)`, `n = tanh(...)`, `h = z h + (1 - z) n`.
///
/// Rows are unit by unit, and within a unit in the order r, z, n: row `3 u + gate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Gru {
    /// `3H x I`, input weights.
    pub w: Matrix,
    /// `3H x H`, recurrent weights.
    pub u: Matrix,
    /// `3H` biases.
    pub b: Vec<f64>,
    /// The candidate. With `H` recurrent biases `bn` the reset gate acts after the product, `n = tanh(W x + b + r (U h +
    /// bn))`: Keras's `reset_after`, PyTorch, ONNX's `linear_before_reset`. Without, before: `n = tanh(W x + b + U (r h))`.
    pub reset_after: Option<Vec<f64>>,
    /// The function of r and z: a sigmoid, hard or not.
    pub gates: Activation,
    /// Zeros if none.
    pub initial: Option<Initial>,
}

impl Gru {
    /// From matrices whose rows are gate by gate: row `gate * H + unit`; `gates` is the position of r, z and n in them.
    ///
    /// `recurrent` is the second bias of frameworks that have one; with `reset_after` its part of n stays apart.
    pub fn from_gate_major(
        gates: [usize; 3],
        w: &Matrix,
        u: &Matrix,
        b: &[f64],
        recurrent: &[f64],
        reset_after: bool,
    ) -> Self {
        let units = b.len() / 3;
        let source = |row: usize| gates[row % 3] * units + row / 3;
        let second = |row: usize| recurrent.get(source(row)).copied().unwrap_or(0.0);
        let apart = |row: usize| reset_after && row % 3 == 2;
        Self {
            w: w.gather(3 * units, source),
            u: u.gather(3 * units, source),
            b: (0..3 * units).map(|r| b[source(r)] + if apart(r) { 0.0 } else { second(r) }).collect(),
            reset_after: reset_after.then(|| (0..units).map(|k| second(3 * k + 2)).collect()),
            gates: Activation::Sigmoid,
            initial: None,
        }
    }

    /// Number of hidden units, `H`.
    pub fn units(&self) -> usize {
        self.b.len() / 3
    }
}

/// Elman's recurrent layer: `h = activation(W x + U h + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Rnn {
    /// `H x I`, input weights.
    pub w: Matrix,
    /// `H x H`, recurrent weights.
    pub u: Matrix,
    /// `H` biases.
    pub b: Vec<f64>,
    /// What follows; not softmax.
    pub activation: Activation,
    /// Zeros if none.
    pub initial: Option<Initial>,
}

/// A fully connected layer: `activation(W x + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// `outputs x inputs`.
    pub w: Matrix,
    /// One bias an output.
    pub b: Vec<f64>,
    /// What follows.
    pub activation: Activation,
}

/// What a node of the network computes.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Gated recurrent unit.
    Gru(Gru),
    /// Simple recurrent layer.
    Rnn(Rnn),
    /// Fully connected.
    Dense(Dense),
    /// A row of the table, `vocabulary x width`, by an index that is the only feature.
    Embedding(Matrix),
    /// `scale (x - mean) / sqrt(variance + epsilon) + offset` over the features of one step; with `rms` the mean is taken as
    /// zero, and the variance is the mean square (Zhang and Sennrich 2019).
    LayerNorm {
        /// One a feature.
        scale: Vec<f64>,
        /// One a feature.
        offset: Vec<f64>,
        /// In the square root.
        epsilon: f64,
        /// Whether the mean stays.
        rms: bool,
    },
    /// `scale x + offset` by feature: normalization with constant statistics.
    Affine {
        /// One a feature.
        scale: Vec<f64>,
        /// One a feature.
        offset: Vec<f64>,
    },
    /// The sum of its sources, value by value.
    Sum,
    /// The product of its sources, value by value.
    Product,
    /// The input plus the row of the table that is the number of steps so far; the last row past its end.
    Position(Matrix),
    /// Attention over a ring of memories.
    Attention(Box<Attention>),
    /// The last `taps` inputs, `dilation` apart, joined with the oldest first; every `stride`-th of them.
    ///
    /// A convolution over time is this and a dense layer; so is flattening a sequence.
    Window {
        /// How many inputs an output holds.
        taps: usize,
        /// Steps from one tap to the next.
        dilation: usize,
        /// Steps from one output to the next.
        stride: usize,
        /// Whether inputs before the first are zeros, so that the first step yields an output; otherwise the first comes
        /// when all taps are there.
        causal: bool,
    },
}

impl Layer {
    /// Width of the output for inputs of width `inputs`: of a sum or product that of each source.
    pub fn outputs(&self, inputs: usize) -> usize {
        match self {
            Layer::Lstm(l) => l.u.cols,
            Layer::Gru(g) => g.units(),
            Layer::Rnn(r) => r.u.cols,
            Layer::Dense(d) => d.w.rows,
            Layer::Embedding(table) | Layer::Position(table) => table.cols,
            Layer::LayerNorm { .. } | Layer::Affine { .. } | Layer::Sum | Layer::Product => inputs,
            Layer::Attention(a) => a.outputs(),
            Layer::Window { taps, .. } => taps * inputs,
        }
    }

    /// Whether the layer takes its sources value by value, all as wide as the first.
    pub fn is_pointwise(&self) -> bool {
        matches!(self, Layer::Sum | Layer::Product)
    }

    /// Width of the input that the layer's weights ask for; none if any will do.
    pub fn inputs(&self) -> Option<usize> {
        match self {
            Layer::Lstm(l) => Some(l.w.cols),
            Layer::Gru(g) => Some(g.w.cols),
            Layer::Rnn(r) => Some(r.w.cols),
            Layer::Dense(d) => Some(d.w.cols),
            Layer::Embedding(_) => Some(1),
            Layer::LayerNorm { scale, .. } | Layer::Affine { scale, .. } => Some(scale.len()),
            Layer::Position(table) => Some(table.cols),
            Layer::Sum | Layer::Product | Layer::Attention(_) | Layer::Window { .. } => None,
        }
    }

    /// Number of weights that a step multiplies by.
    pub fn weights(&self) -> usize {
        let of = |m: &Matrix| m.rows * m.cols;
        match self {
            Layer::Lstm(l) => of(&l.w) + of(&l.u) + l.projection.as_ref().map_or(0, of),
            Layer::Gru(g) => of(&g.w) + of(&g.u),
            Layer::Rnn(r) => of(&r.w) + of(&r.u),
            Layer::Dense(d) => of(&d.w),
            Layer::Attention(a) => {
                let projections = [&a.q, &a.k, &a.v, &a.o].into_iter().flatten().map(|d| of(&d.w)).sum::<usize>();
                projections + a.heads * a.slots * (a.key + a.value)
            }
            _ => 0,
        }
    }

    /// Whether the layer ends with a softmax.
    pub fn is_softmax(&self) -> bool {
        matches!(self, Layer::Dense(Dense { activation: Activation::Softmax, .. }))
    }

    /// Whether the layer carries a hidden state from step to step.
    pub fn is_recurrent(&self) -> bool {
        matches!(self, Layer::Lstm(_) | Layer::Gru(_) | Layer::Rnn(_))
    }

    /// The state before the first step, if it is not zero.
    pub fn initial(&self) -> Option<&Initial> {
        match self {
            Layer::Lstm(Lstm { initial, .. }) | Layer::Gru(Gru { initial, .. }) | Layer::Rnn(Rnn { initial, .. }) => {
                initial.as_ref()
            }
            _ => None,
        }
    }
}
