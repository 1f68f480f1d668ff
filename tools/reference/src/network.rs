//! The intermediate representation at which importers meet.

/// A row-major matrix of 64-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values, row by row.
    pub data: Vec<f64>,
}

impl Matrix {
    /// A matrix from a function of row and column.
    pub fn from_fn(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..rows * cols).map(|k| f(k / cols, k % cols)).collect();
        Self { rows, cols, data }
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.data[row * self.cols..][..self.cols]
    }
}

/// What follows a dense layer's matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Linear,
    /// `max(0, z)`.
    Relu,
    /// The logistic function.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// Exponentials over their sum.
    Softmax,
}

/// An LSTM layer: `[i f g o] = W x + U h + b`, sigmoid on i, f, o and tanh on g; `c = f c + i g`; `h = o tanh(c)`.
///
/// Rows are unit by unit, and within a unit in the order i, f, g, o: row `4 u + gate`.
#[derive(Clone, Debug, PartialEq)]
pub struct Lstm {
    /// The layer's name in its file.
    pub name: String,
    /// `4H x I`, input weights.
    pub w: Matrix,
    /// `4H x H`, recurrent weights.
    pub u: Matrix,
    /// `4H` biases.
    pub b: Vec<f64>,
}

impl Lstm {
    /// From matrices whose rows are gate by gate, as every framework stores them: row `gate * H + unit`.
    ///
    /// `gates` gives the framework's order: the position in its matrices of i, f, g and o.
    pub fn from_gate_major(name: &str, gates: [usize; 4], w: &Matrix, u: &Matrix, b: &[f64]) -> Self {
        let units = u.cols;
        let source = |row: usize| gates[row % 4] * units + row / 4;
        Self {
            name: name.to_owned(),
            w: Matrix::from_fn(4 * units, w.cols, |r, c| w.row(source(r))[c]),
            u: Matrix::from_fn(4 * units, units, |r, c| u.row(source(r))[c]),
            b: (0..4 * units).map(|r| b[source(r)]).collect(),
        }
    }

    /// Number of hidden units, `H`.
    pub fn units(&self) -> usize {
        self.u.cols
    }
}

/// A fully connected layer: `activation(W x + b)`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dense {
    /// The layer's name in its file.
    pub name: String,
    /// `outputs x inputs`.
    pub w: Matrix,
    /// One bias an output.
    pub b: Vec<f64>,
    /// What follows.
    pub activation: Activation,
}

/// One layer.
#[derive(Clone, Debug, PartialEq)]
pub enum Layer {
    /// Long short-term memory.
    Lstm(Lstm),
    /// Fully connected.
    Dense(Dense),
}

impl Layer {
    /// The layer's name in its file.
    pub fn name(&self) -> &str {
        match self {
            Layer::Lstm(l) => &l.name,
            Layer::Dense(d) => &d.name,
        }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        match self {
            Layer::Lstm(l) => l.w.cols,
            Layer::Dense(d) => d.w.cols,
        }
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        match self {
            Layer::Lstm(l) => l.units(),
            Layer::Dense(d) => d.w.rows,
        }
    }
}

/// How raw sensor counts become model inputs: `input = count * scale + offset`, per feature.
#[derive(Clone, Debug, PartialEq)]
pub struct InputMap {
    /// Feature names, or empty.
    pub names: Vec<String>,
    /// Model units per count.
    pub scale: Vec<f64>,
    /// Model units at count 0.
    pub offset: Vec<f64>,
}

impl InputMap {
    /// Counts are model units.
    pub fn identity(features: usize) -> Self {
        Self { names: Vec::new(), scale: vec![1.0; features], offset: vec![0.0; features] }
    }

    /// One sample of counts in model units.
    pub fn apply(&self, counts: &[f64]) -> Vec<f64> {
        counts.iter().zip(&self.scale).zip(&self.offset).map(|((x, s), o)| x * s + o).collect()
    }
}

/// A chain of layers.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// First to last; never empty.
    pub layers: Vec<Layer>,
    /// Names of the outputs, or empty.
    pub labels: Vec<String>,
    /// How raw counts become inputs.
    pub input: InputMap,
}

impl Network {
    /// Number of input features.
    pub fn inputs(&self) -> usize {
        self.layers[0].inputs()
    }

    /// Number of outputs.
    pub fn outputs(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs()
    }
}
