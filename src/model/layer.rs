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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// Number of records.
    pub records: usize,
    /// Columns of each matrix; 0 for one that is not there.
    pub columns: [usize; 2],
    /// Format of the weights.
    pub weights: Weights,
    /// Columns that have a multiplier of their own, a multiple of [`COLUMNS`]; 0 for all of a matrix.
    pub group: usize,
    /// Whether its rows are added to those of the section before it.
    pub added: bool,
}

impl Section {
    /// No records.
    pub const NONE: Self = Self::new(0, [0; 2], Weights::W8);

    /// Records whose matrices have a multiplier each.
    pub const fn new(records: usize, columns: [usize; 2], weights: Weights) -> Self {
        Self { records, columns, weights, group: 0, added: false }
    }

    /// The widths of the parts of a row that have a multiplier each: a matrix is one, for only other layers have groups.
    #[cfg(not(feature = "layers"))]
    pub fn parts(&self) -> impl Iterator<Item = usize> {
        self.columns.into_iter().filter(|&columns| columns > 0)
    }

    /// The widths of the parts of a row that have a multiplier each, matrix by matrix. One more than a row may have is as many
    /// as there are: no header takes longer than its length.
    #[cfg(feature = "layers")]
    pub fn parts(&self) -> impl Iterator<Item = usize> {
        let group = if self.group == 0 { usize::MAX } else { self.group };
        let parts = self.columns.into_iter().flat_map(move |columns| {
            let mut rest = columns;
            core::iter::from_fn(move || {
                let part = rest.min(group);
                rest -= part;
                (part > 0).then_some(part)
            })
        });
        parts.take(super::more::MAX_PARTS + 1)
    }

    /// Whether its rows are added to those of the section before it; only other layers have such.
    #[inline(always)]
    pub(super) const fn is_added(&self) -> bool {
        cfg!(feature = "layers") && self.added
    }

    /// Words of one record: four biases, four multipliers a part, the blocks of each.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn record_words(&self) -> usize {
        self.parts().fold(ROWS, |sum, part| sum + ROWS + part.div_ceil(COLUMNS) * self.weights.block_words())
    }

    /// Words of all records.
    pub fn words(&self) -> usize {
        self.records.saturating_mul(self.record_words())
    }
}

/// The most kinds of records of a layer.
pub const SECTIONS: usize = if cfg!(feature = "layers") { 6 } else { 1 };

/// What follows from a layer and the width of its input: its sizes, and what others ask of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The layer's records, kind by kind in their order in the blob.
    ///
    /// A record is four rows. An LSTM's are one unit: the rows are the gates in the order of
    /// [`Gate`](super::header::Gate), the matrices W and U; the projection's records follow. Of all others a record is four
    /// units. A GRU has the reset gates, the update gates, then the candidates: their part of x and their part of h, or
    /// both at once where the reset gate acts before. Where W and U differ in format, each has records of its own.
    pub sections: [Section; SECTIONS],
    /// Words behind the records: peepholes, tables, gains, and the state before the first step.
    pub extra: usize,
    /// Values of the 32-bit state: an LSTM's cells, the units of a GRU.
    pub cells: usize,
    /// Words that the layer carries from step to step besides its outputs, with its scratch.
    ///
    /// Recurrent layers have the number of their current output first, then the 32-bit state, then scratch; windows the
    /// number of inputs until the next output, the place of the next input, the inputs. Of attention see
    /// [`Attention::memory_words`](super::more::Attention::memory_words).
    pub memory: usize,
}

impl Shape {
    /// Of a layer that has nothing.
    pub const NONE: Self = Self { sections: [Section::NONE; SECTIONS], extra: 0, cells: 0, memory: 0 };

    /// Words of all records; as many as there are numbers, if they are more.
    pub fn record_words(&self) -> usize {
        self.sections.iter().fold(0, |sum: usize, s| sum.saturating_add(s.words()))
    }

    /// Of a recurrent layer with `cells` values of 32-bit state and, if it has one that is not zero, `initial` words of the
    /// state before the first step.
    pub const fn recurrent(sections: [Section; SECTIONS], cells: usize, initial: bool, width: usize) -> Self {
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

    /// Values of the 32-bit state: an LSTM's cells, the units of a GRU.
    pub const fn cells(&self) -> usize {
        match self {
            Layer::Lstm { units, .. } => *units as usize,
            Layer::Dense { .. } => 0,
            Layer::More(more) => more.cells(),
        }
    }

    /// Whether the layer takes in memories, whenever its second source has a new value.
    pub const fn remembers(&self) -> bool {
        match self {
            Layer::Lstm { .. } | Layer::Dense { .. } => false,
            Layer::More(more) => more.remembers(),
        }
    }

    /// The second of the sources that the layer takes, if it has two.
    pub const fn second(&self) -> Option<u8> {
        match self {
            Layer::Lstm { .. } | Layer::Dense { .. } => None,
            Layer::More(more) => more.second(),
        }
    }

    /// The layer's sizes for an input of `inputs` values, and a second source of `second`, if it takes one.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn shape(&self, inputs: usize, second: usize) -> Shape {
        let width = self.width();
        match self {
            Layer::Lstm { initial, weights, .. } => {
                let units = Section::new(width, [inputs, width], *weights);
                Shape::recurrent(sections([units]), width, *initial, width)
            }
            Layer::Dense { weights, .. } => {
                let rows = Section::new(width.div_ceil(ROWS), [inputs, 0], *weights);
                Shape { sections: sections([rows]), ..Shape::NONE }
            }
            Layer::More(more) => more.shape(inputs, second),
        }
    }
}

/// Sections and none behind them.
pub(super) fn sections<const N: usize>(some: [Section; N]) -> [Section; SECTIONS] {
    let mut all = [Section::NONE; SECTIONS];
    all.iter_mut().zip(some).for_each(|(slot, section)| *slot = section);
    all
}
