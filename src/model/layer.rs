//! What a node of a model computes: shapes, formats, and how many words of the blob and of the state it takes.
//!
//! This is the one home of a layer's sizes. The loader, the walk through a model and the converter all ask here.

use super::header::{Activation, Q15_SCALE, Weights, packed_words};
use crate::kernel::{COLUMNS, ROWS};
use serde::{Deserialize, Serialize};

/// A layer's shape and formats; its numbers stand in the words section, in the order of the nodes.
///
/// `z_shift` is the left shift of a summed pre-activation to Q16.16, and `initial` whether the state before the first step
/// stands behind the layer's records.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layer {
    /// Long short-term memory: see [`crate::layer::lstm`].
    Lstm {
        /// Hidden units, `H`.
        units: u16,
        /// Format of both weight matrices.
        weights: Weights,
        /// Fractional bits of the cell state.
        cell_frac: u8,
        /// Left shift to Q16.16.
        z_shift: u8,
        /// Whether it begins with a state that is not zero.
        initial: bool,
    },
    /// Fully connected: see [`crate::layer::dense`].
    Dense {
        /// Number of outputs.
        outputs: u16,
        /// Format of the weight matrix.
        weights: Weights,
        /// What follows the matrix.
        activation: Activation,
        /// Left shift to Q16.16, for activations that squash; 0 otherwise.
        z_shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
    },
    /// Gated recurrent unit: see [`crate::layer::gru`]. Feature `gru`.
    Gru {
        /// Hidden units, `H`.
        units: u16,
        /// Format of all weight matrices.
        weights: Weights,
        /// Left shift to Q16.16.
        z_shift: u8,
        /// Whether it begins with a state that is not zero.
        initial: bool,
        /// Whether the gates are hard sigmoids.
        hard: bool,
        /// Whether the reset gate acts after the recurrent product.
        reset_after: bool,
    },
    /// Simple recurrent layer: see [`crate::layer::dense`]. Feature `rnn`.
    Rnn {
        /// Hidden units, `H`.
        units: u16,
        /// Format of both weight matrices.
        weights: Weights,
        /// What follows the matrices; not softmax.
        activation: Activation,
        /// Left shift to Q16.16, for activations that squash; 0 otherwise.
        z_shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
        /// Whether it begins with a state that is not zero.
        initial: bool,
    },
    /// An LSTM with hard sigmoids, peepholes or a projection: see [`crate::layer::lstm_variants`]. Feature `lstm-variants`.
    LstmVariant {
        /// Cells, `H`.
        units: u16,
        /// Format of all weight matrices.
        weights: Weights,
        /// Fractional bits of the cell state.
        cell_frac: u8,
        /// Left shift to Q16.16.
        z_shift: u8,
        /// Whether it begins with a state that is not zero.
        initial: bool,
        /// Whether the gates are hard sigmoids.
        hard: bool,
        /// Fractional bits of the peepholes, if it has some.
        peephole: Option<u8>,
        /// Width of the hidden state after the projection; 0 without one.
        projection: u16,
        /// The real value of one unit of the hidden state.
        scale: f32,
    },
    /// A row of a table by an index: see [`crate::layer::embedding`]. Feature `embedding`.
    Embedding {
        /// Number of rows.
        rows: u16,
        /// Width of a row.
        width: u16,
        /// Format of the table: w8 or w16.
        weights: Weights,
        /// The real value of one unit of the integer output.
        scale: f32,
    },
    /// Layer normalization: see [`crate::layer::norm`]. Feature `norm`.
    Norm {
        /// Number of features.
        width: u16,
        /// Right shift from the product with the gain to the output.
        shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
        /// What is added to the variance, in squared units of the input times `width` squared.
        epsilon: u64,
    },
    /// The latest inputs, joined: see [`crate::layer::window`]. Feature `window`.
    Window {
        /// Number of values: `taps` times the width of the input.
        width: u16,
        /// How many inputs an output holds.
        taps: u16,
        /// Steps from one tap to the next.
        dilation: u16,
        /// Steps from one output to the next.
        stride: u16,
        /// Whether inputs before the first are there: zeros, in the units of the input.
        causal: bool,
    },
    /// The outputs of two nodes, joined. Feature `window`.
    Concat {
        /// Number of values: the sum of both.
        width: u16,
        /// The second source; the first is the node's own.
        second: u8,
    },
}

/// Records of one kind: how many, and the columns of their one or two matrices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Section {
    /// Number of records.
    pub records: usize,
    /// Columns of each matrix; 0 for one that is not there.
    pub columns: [usize; 2],
}

impl Section {
    /// Words of one record: four biases, four multipliers a matrix, the blocks of each.
    pub const fn record_words(&self, weights: Weights) -> usize {
        let [a, b] = self.columns;
        let products = if b == 0 { 1 } else { 2 };
        ROWS * (1 + products) + (a.div_ceil(COLUMNS) + b.div_ceil(COLUMNS)) * weights.block_words()
    }

    /// Words of all records.
    pub const fn words(&self, weights: Weights) -> usize {
        self.records * self.record_words(weights)
    }
}

impl Layer {
    /// Number of values that the layer yields at each step.
    pub const fn width(&self) -> usize {
        match self {
            Layer::LstmVariant { units, projection, .. } => {
                (if *projection == 0 { *units } else { *projection }) as usize
            }
            Layer::Lstm { units, .. } | Layer::Gru { units, .. } | Layer::Rnn { units, .. } => *units as usize,
            Layer::Dense { outputs, .. } => *outputs as usize,
            Layer::Embedding { width, .. }
            | Layer::Norm { width, .. }
            | Layer::Window { width, .. }
            | Layer::Concat { width, .. } => *width as usize,
        }
    }

    /// The real value of one unit of the layer's integer output; of joined inputs it is each input's own.
    pub const fn scale(&self) -> f32 {
        match self {
            Layer::Lstm { .. } | Layer::Gru { .. } | Layer::Window { .. } | Layer::Concat { .. } => Q15_SCALE,
            Layer::Dense { scale, .. }
            | Layer::Rnn { scale, .. }
            | Layer::LstmVariant { scale, .. }
            | Layer::Embedding { scale, .. }
            | Layer::Norm { scale, .. } => *scale,
        }
    }

    /// Format of the layer's weights, if it has matrices.
    pub const fn weights(&self) -> Option<Weights> {
        match self {
            Layer::Lstm { weights, .. }
            | Layer::Dense { weights, .. }
            | Layer::Gru { weights, .. }
            | Layer::Rnn { weights, .. }
            | Layer::LstmVariant { weights, .. }
            | Layer::Embedding { weights, .. } => Some(*weights),
            Layer::Norm { .. } | Layer::Window { .. } | Layer::Concat { .. } => None,
        }
    }

    /// Whether the layer carries a hidden state from step to step.
    pub const fn is_recurrent(&self) -> bool {
        matches!(self, Layer::Lstm { .. } | Layer::Gru { .. } | Layer::Rnn { .. } | Layer::LstmVariant { .. })
    }

    /// Fractional bits of the 32-bit state, if the layer has one: an LSTM's cell state, a GRU's hidden state.
    pub const fn cell_frac(&self) -> Option<u8> {
        match self {
            Layer::Lstm { cell_frac, .. } | Layer::LstmVariant { cell_frac, .. } => Some(*cell_frac),
            Layer::Gru { .. } => Some(crate::layer::gru::FRAC),
            _ => None,
        }
    }

    /// Whether this build has the layer: see the crate's features.
    pub const fn is_supported(&self) -> bool {
        match self {
            Layer::Lstm { .. } | Layer::Dense { .. } => true,
            Layer::Gru { .. } => cfg!(feature = "gru"),
            Layer::Rnn { .. } => cfg!(feature = "rnn"),
            Layer::LstmVariant { .. } => cfg!(feature = "lstm-variants"),
            Layer::Embedding { .. } => cfg!(feature = "embedding"),
            Layer::Norm { .. } => cfg!(feature = "norm"),
            Layer::Window { .. } | Layer::Concat { .. } => cfg!(feature = "window"),
        }
    }

    /// The layer's records, kind by kind in their order in the blob, for an input of `inputs` values.
    ///
    /// A record is four rows. An LSTM's are one unit: the rows are the gates in the order of
    /// [`Gate`](super::header::Gate), the matrices W and U; the projection's records follow. Of all others a record is four
    /// units. A GRU has the reset gates, the update gates, then the candidates: their part of x and their part of h, or
    /// both at once where the reset gate acts before.
    #[inline(never)]
    pub const fn sections(&self, inputs: usize) -> [Section; 4] {
        const fn section(records: usize, columns: [usize; 2]) -> Section {
            Section { records, columns }
        }
        const NONE: Section = section(0, [0, 0]);
        let width = self.width();
        let fours = width.div_ceil(ROWS);
        match self {
            Layer::Lstm { units, .. } => [section(*units as usize, [inputs, width]), NONE, NONE, NONE],
            Layer::LstmVariant { units, projection, .. } => {
                let units = *units as usize;
                let projected = if *projection == 0 { NONE } else { section(fours, [units, 0]) };
                [section(units, [inputs, width]), projected, NONE, NONE]
            }
            Layer::Gru { reset_after, .. } => {
                let both = section(fours, [inputs, width]);
                if *reset_after {
                    [both, both, section(fours, [inputs, 0]), section(fours, [width, 0])]
                } else {
                    [both, both, both, NONE]
                }
            }
            Layer::Rnn { .. } => [section(fours, [inputs, width]), NONE, NONE, NONE],
            Layer::Dense { .. } => [section(fours, [inputs, 0]), NONE, NONE, NONE],
            Layer::Embedding { .. } | Layer::Norm { .. } | Layer::Window { .. } | Layer::Concat { .. } => [NONE; 4],
        }
    }

    /// Words of all records.
    #[inline(never)]
    pub fn record_words(&self, inputs: usize) -> usize {
        let Some(weights) = self.weights() else { return 0 };
        self.sections(inputs).iter().map(|s| s.words(weights)).sum()
    }

    /// Words behind the records: peepholes, tables, gains, and the state before the first step.
    #[inline(never)]
    pub const fn extra_words(&self, inputs: usize) -> usize {
        let width = self.width();
        match self {
            Layer::Lstm { initial, .. } | Layer::Rnn { initial, .. } | Layer::Gru { initial, .. } => {
                if *initial {
                    self.initial_words()
                } else {
                    0
                }
            }
            Layer::LstmVariant { units, initial, peephole, .. } => {
                let peepholes = if peephole.is_some() { 3 * *units as usize } else { 0 };
                peepholes + if *initial { self.initial_words() } else { 0 }
            }
            Layer::Embedding { rows, weights, .. } => *rows as usize * row_words(width, *weights),
            Layer::Norm { .. } => 2 * width,
            Layer::Window { causal: true, .. } => packed_words(inputs),
            Layer::Dense { .. } | Layer::Window { .. } | Layer::Concat { .. } => 0,
        }
    }

    /// Words of the 32-bit state and the hidden state.
    const fn initial_words(&self) -> usize {
        self.cells() + packed_words(self.width())
    }

    /// Values of the 32-bit state.
    pub const fn cells(&self) -> usize {
        match self {
            Layer::Lstm { units, .. } | Layer::LstmVariant { units, .. } | Layer::Gru { units, .. } => *units as usize,
            _ => 0,
        }
    }

    /// Words that the layer carries from step to step besides its outputs, with its scratch.
    ///
    /// Recurrent layers have the number of their current output first, then the 32-bit state, then scratch; windows the
    /// number of inputs until the next output, the place of the next input, the inputs.
    #[inline(never)]
    pub const fn memory_words(&self, inputs: usize) -> usize {
        match self {
            Layer::Lstm { .. } | Layer::Rnn { .. } | Layer::Gru { reset_after: true, .. } => 1 + self.cells(),
            Layer::Gru { units, .. } => 1 + self.cells() + packed_words(*units as usize),
            Layer::LstmVariant { units, projection, .. } => {
                let scratch = if *projection == 0 { 0 } else { packed_words(*units as usize) };
                1 + self.cells() + scratch
            }
            Layer::Window { taps, dilation, .. } => 2 + reach(*taps, *dilation) * packed_words(inputs),
            Layer::Dense { .. } | Layer::Embedding { .. } | Layer::Norm { .. } | Layer::Concat { .. } => 0,
        }
    }
}

/// Inputs from the oldest tap of a window to the newest.
pub const fn reach(taps: u16, dilation: u16) -> usize {
    (taps as usize).saturating_sub(1) * dilation as usize + 1
}

/// Words of a row of an embedding's table.
pub const fn row_words(width: usize, weights: Weights) -> usize {
    (width * weights.bits() as usize).div_ceil(32)
}
