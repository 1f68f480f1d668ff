//! What a node of a model computes: shapes, formats, and how many words of the blob and of the state it takes.
//!
//! This is the one home of a layer's sizes. The loader, the walk through a model and the converter all ask here.

use super::header::{Activation, Q15_SCALE, Weights, packed_words};
pub use super::more::More;
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
    /// Any other: with the feature `layers`.
    More(More),
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
    #[inline(never)] // many callers, none of them on a step's way
    pub const fn record_words(&self, weights: Weights) -> usize {
        let [a, b] = self.columns;
        let products = if b == 0 { 1 } else { 2 };
        ROWS * (1 + products) + (a.div_ceil(COLUMNS) + b.div_ceil(COLUMNS)) * weights.block_words()
    }

    /// Words of all records.
    pub const fn words(&self, weights: Weights) -> usize {
        self.records.saturating_mul(self.record_words(weights))
    }
}

/// What follows from a layer and the width of its input: its sizes, and what others ask of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// The layer's records, kind by kind in their order in the blob.
    ///
    /// A record is four rows. An LSTM's are one unit: the rows are the gates in the order of
    /// [`Gate`](super::header::Gate), the matrices W and U; the projection's records follow. Of all others a record is four
    /// units. A GRU has the reset gates, the update gates, then the candidates: their part of x and their part of h, or
    /// both at once where the reset gate acts before.
    pub sections: [Section; 4],
    /// Words behind the records: peepholes, tables, gains, and the state before the first step.
    pub extra: usize,
    /// Values of the 32-bit state: an LSTM's cells, the units of a GRU.
    pub cells: usize,
    /// Words that the layer carries from step to step besides its outputs, with its scratch.
    ///
    /// Recurrent layers have the number of their current output first, then the 32-bit state, then scratch; windows the
    /// number of inputs until the next output, the place of the next input, the inputs.
    pub memory: usize,
}

impl Shape {
    /// Words of all records; as many as there are numbers, if they are more.
    pub fn record_words(&self, weights: Option<Weights>) -> usize {
        let Some(weights) = weights else { return 0 };
        self.sections.iter().fold(0, |sum: usize, s| sum.saturating_add(s.words(weights)))
    }

    /// Of a recurrent layer with `cells` values of 32-bit state and, if it has one that is not zero, `initial` words of the
    /// state before the first step.
    pub const fn recurrent(sections: [Section; 4], cells: usize, initial: bool, width: usize) -> Self {
        let extra = if initial { cells + packed_words(width) } else { 0 };
        Self { sections, extra, cells, memory: 1 + cells }
    }
}

impl Layer {
    /// Number of values that the layer yields at each step.
    #[inline(never)] // many callers, none of them on a step's way
    pub const fn width(&self) -> usize {
        match self {
            Layer::Lstm { units, .. } => *units as usize,
            Layer::Dense { outputs, .. } => *outputs as usize,
            Layer::More(more) => more.width(),
        }
    }

    /// The real value of one unit of the layer's integer output; of joined inputs it is each input's own.
    pub const fn scale(&self) -> f32 {
        match self {
            Layer::Lstm { .. } => Q15_SCALE,
            Layer::Dense { scale, .. } => *scale,
            Layer::More(more) => more.scale(),
        }
    }

    /// Format of the layer's weights, if it has matrices.
    pub const fn weights(&self) -> Option<Weights> {
        match self {
            Layer::Lstm { weights, .. } | Layer::Dense { weights, .. } => Some(*weights),
            Layer::More(more) => more.weights(),
        }
    }

    /// Whether the layer carries a hidden state from step to step.
    pub const fn is_recurrent(&self) -> bool {
        match self {
            Layer::Lstm { .. } => true,
            Layer::Dense { .. } => false,
            Layer::More(more) => more.is_recurrent(),
        }
    }

    /// Whether the layer begins with a state that is not zero: the last of the words behind its records.
    pub const fn has_initial(&self) -> bool {
        match self {
            Layer::Lstm { initial, .. } => *initial,
            Layer::Dense { .. } => false,
            Layer::More(more) => more.has_initial(),
        }
    }

    /// Fractional bits of the 32-bit state, if the layer has one: an LSTM's cell state, a GRU's hidden state.
    pub const fn cell_frac(&self) -> Option<u8> {
        match self {
            Layer::Lstm { cell_frac, .. } => Some(*cell_frac),
            Layer::Dense { .. } => None,
            Layer::More(more) => more.cell_frac(),
        }
    }

    /// The second of the sources that the layer joins, if it does.
    pub const fn second(&self) -> Option<u8> {
        match self {
            Layer::Lstm { .. } | Layer::Dense { .. } => None,
            Layer::More(more) => more.second(),
        }
    }

    /// The layer's sizes for an input of `inputs` values.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn shape(&self, inputs: usize) -> Shape {
        let width = self.width();
        match self {
            Layer::Lstm { initial, .. } => {
                let units = Section { records: width, columns: [inputs, width] };
                Shape::recurrent(sections([units]), width, *initial, width)
            }
            Layer::Dense { .. } => {
                let rows = Section { records: width.div_ceil(ROWS), columns: [inputs, 0] };
                Shape { sections: sections([rows]), ..Shape::default() }
            }
            Layer::More(more) => more.shape(inputs),
        }
    }
}

/// Sections and none behind them.
pub(super) fn sections<const N: usize>(some: [Section; N]) -> [Section; 4] {
    let mut all = [Section::default(); 4];
    all.iter_mut().zip(some).for_each(|(slot, section)| *slot = section);
    all
}
