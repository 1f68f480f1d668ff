//! Every layer but LSTM and dense.

use super::header::{Activation, Q15_SCALE, Weights, packed_words};
use super::layer::{Section, Shape, sections};
use crate::kernel::ROWS;
use serde::{Deserialize, Serialize};

/// A layer that only some models have.
///
/// `z_shift` is the left shift of a summed pre-activation to Q16.16, and `initial` whether the state before the first step
/// stands behind the layer's records.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum More {
    /// Gated recurrent unit: see [`crate::layer::gru`].
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
    /// Simple recurrent layer: see [`crate::layer::dense`].
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
    /// An LSTM with hard sigmoids, peepholes or a projection: see [`crate::layer::lstm_variants`].
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
    /// A row of a table by an index: see [`crate::layer::embedding`].
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
    /// Layer normalization: see [`crate::layer::norm`].
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
    /// The latest inputs, joined: see [`crate::layer::window`].
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
    /// The outputs of two nodes, joined.
    Concat {
        /// Number of values: the sum of both.
        width: u16,
        /// The second source; the first is the node's own.
        second: u8,
    },
}

impl More {
    /// Number of values that the layer yields at each step.
    pub const fn width(&self) -> usize {
        (match *self {
            More::LstmVariant { units, projection, .. } => {
                if projection == 0 {
                    units
                } else {
                    projection
                }
            }
            More::Gru { units, .. } | More::Rnn { units, .. } => units,
            More::Embedding { width, .. }
            | More::Norm { width, .. }
            | More::Window { width, .. }
            | More::Concat { width, .. } => width,
        }) as usize
    }

    /// The real value of one unit of the layer's integer output; of joined inputs it is each input's own.
    pub const fn scale(&self) -> f32 {
        match *self {
            More::Gru { .. } | More::Window { .. } | More::Concat { .. } => Q15_SCALE,
            More::Rnn { scale, .. }
            | More::LstmVariant { scale, .. }
            | More::Embedding { scale, .. }
            | More::Norm { scale, .. } => scale,
        }
    }

    /// Format of the layer's weights, if it has matrices or a table.
    pub const fn weights(&self) -> Option<Weights> {
        match *self {
            More::Gru { weights, .. }
            | More::Rnn { weights, .. }
            | More::LstmVariant { weights, .. }
            | More::Embedding { weights, .. } => Some(weights),
            More::Norm { .. } | More::Window { .. } | More::Concat { .. } => None,
        }
    }

    /// Whether the layer carries a hidden state from step to step.
    pub const fn is_recurrent(&self) -> bool {
        matches!(self, More::Gru { .. } | More::Rnn { .. } | More::LstmVariant { .. })
    }

    /// Whether an output's values have one unit: those of joined inputs do not.
    pub const fn has_unit(&self) -> bool {
        !matches!(self, More::Window { .. } | More::Concat { .. })
    }

    /// Whether the layer joins inputs of several steps.
    pub const fn is_window(&self) -> bool {
        matches!(self, More::Window { .. })
    }

    /// Whether the layer begins with a state that is not zero.
    pub const fn has_initial(&self) -> bool {
        match *self {
            More::Gru { initial, .. } | More::Rnn { initial, .. } | More::LstmVariant { initial, .. } => initial,
            _ => false,
        }
    }

    /// Fractional bits of the 32-bit state, if the layer has one.
    pub const fn cell_frac(&self) -> Option<u8> {
        match *self {
            More::LstmVariant { cell_frac, .. } => Some(cell_frac),
            More::Gru { .. } => Some(crate::layer::gru::FRAC),
            _ => None,
        }
    }

    /// The second of the sources that the layer joins, if it does.
    pub const fn second(&self) -> Option<u8> {
        if let More::Concat { second, .. } = *self { Some(second) } else { None }
    }

    /// The layer's sizes for an input of `inputs` values.
    pub fn shape(&self, inputs: usize) -> Shape {
        let width = self.width();
        let fours = width.div_ceil(ROWS);
        let both = Section { records: fours, columns: [inputs, width] };
        match *self {
            More::Gru { units, initial, reset_after, .. } => {
                let [x, h] = [inputs, width].map(|columns| Section { records: fours, columns: [columns, 0] });
                let kinds = if reset_after { [both, both, x, h] } else { [both, both, both, Section::default()] };
                let mut shape = Shape::recurrent(kinds, width, initial, width);
                shape.memory += if reset_after { 0 } else { packed_words(units.into()) };
                shape
            }
            More::Rnn { initial, .. } => Shape::recurrent(sections([both]), 0, initial, width),
            More::LstmVariant { units, initial, peephole, projection, .. } => {
                let units = usize::from(units);
                let cells = Section { records: units, columns: [inputs, width] };
                let projected = Section { records: fours, columns: [units, 0] };
                let has_projection = projection > 0;
                let kinds = if has_projection { sections([cells, projected]) } else { sections([cells]) };
                let mut shape = Shape::recurrent(kinds, units, initial, width);
                shape.extra += if peephole.is_some() { 3 * units } else { 0 };
                shape.memory += if has_projection { packed_words(units) } else { 0 };
                shape
            }
            More::Embedding { rows, weights, .. } => {
                Shape { extra: usize::from(rows).saturating_mul(row_words(width, weights)), ..Shape::default() }
            }
            More::Norm { .. } => Shape { extra: 2 * width, ..Shape::default() },
            More::Window { taps, dilation, causal, .. } => Shape {
                extra: if causal { packed_words(inputs) } else { 0 },
                memory: reach(taps, dilation).saturating_mul(packed_words(inputs)).saturating_add(2),
                ..Shape::default()
            },
            More::Concat { .. } => Shape::default(),
        }
    }
}

/// Inputs from the oldest tap of a window to the newest.
pub const fn reach(taps: u16, dilation: u16) -> usize {
    ((taps as usize).saturating_sub(1)).saturating_mul(dilation as usize).saturating_add(1)
}

/// Words of a row of an embedding's table.
pub const fn row_words(width: usize, weights: Weights) -> usize {
    (width * weights.bits() as usize).div_ceil(32)
}
