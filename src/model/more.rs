//! Every layer but LSTM and dense.

use super::header::{Activation, Q15_SCALE, Weights, packed_words};
use super::layer::{Section, Shape, sections};
use crate::kernel::{COLUMNS, ROWS};
use serde::{Deserialize, Serialize};

/// The most parts of a row that have a multiplier each, in both matrices of a recurrent layer.
pub const MAX_PARTS: usize = 8;

/// Formats of a recurrent layer's two matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Formats {
    /// Of `W`, by which the input is multiplied, and of a projection.
    pub w: Weights,
    /// Of `U`, by which the hidden state is multiplied.
    pub u: Weights,
    /// Columns of 4-bit weights that have a multiplier of their own, a multiple of [`COLUMNS`]; 0 for all of a matrix.
    pub group: u16,
}

impl Formats {
    /// Both alike, with a multiplier a row and matrix.
    pub const fn of(weights: Weights) -> Self {
        Self { w: weights, u: weights, group: 0 }
    }

    /// Whether both matrices share their records, and a step one pass.
    pub const fn is_joint(self) -> bool {
        matches!(
            (self.w, self.u),
            (Weights::W8, Weights::W8) | (Weights::W16, Weights::W16) | (Weights::W4, Weights::W4)
        ) && self.group == 0
    }

    /// Columns of a matrix of this format that have a multiplier of their own.
    pub const fn group_of(self, weights: Weights) -> usize {
        if matches!(weights, Weights::W4) { self.group as usize } else { 0 }
    }

    /// Whether no row has more parts than a step can hold.
    pub fn fit(self, columns: [usize; 2]) -> bool {
        let parts: usize = self.apart(1, columns).iter().map(|s| s.parts().count()).sum();
        usize::from(self.group).is_multiple_of(COLUMNS) && parts <= MAX_PARTS
    }

    /// The records of both matrices: in the first section alone, if they share them.
    pub(super) fn sections(self, records: usize, columns: [usize; 2]) -> [Section; 2] {
        if self.is_joint() {
            [Section::new(records, columns, self.w), Section::NONE]
        } else {
            self.apart(records, columns)
        }
    }

    /// The records of each matrix; the second one's rows are added to the first one's.
    fn apart(self, records: usize, [x, h]: [usize; 2]) -> [Section; 2] {
        let of = |weights, columns, added| Section {
            group: self.group_of(weights),
            added,
            ..Section::new(records, [columns, 0], weights)
        };
        [of(self.w, x, false), of(self.u, h, true)]
    }
}

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
        /// Formats of the weight matrices.
        formats: Formats,
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
        /// Formats of both weight matrices.
        formats: Formats,
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
        /// Formats of the weight matrices.
        formats: Formats,
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
        /// Whether the mean is taken as zero.
        rms: bool,
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
    /// The sum or the product of two nodes, value by value: see [`crate::layer::join`].
    Join {
        /// Number of values.
        width: u16,
        /// The second source; the first is the node's own.
        second: u8,
        /// Whether it is the product.
        product: bool,
        /// Right shift to the output.
        shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
    },
    /// A row of a table for each step since the beginning, added to the input: see [`crate::layer::position`].
    Position {
        /// Number of values.
        width: u16,
        /// Rows of the table; the last stands for all steps behind it.
        rows: u16,
        /// Right shift from the product of the input with its multiplier to the output.
        shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
    },
    /// Attention of the node's source over the latest outputs of another: see [`crate::layer::attention`].
    Attention(Attention),
}

/// Attention over a ring of memories.
#[allow(clippy::struct_excessive_bools, reason = "each is a byte of the header, and none excludes another")]
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attention {
    /// Number of values that it yields.
    pub width: u16,
    /// The source of the memories.
    pub memory: u8,
    /// How many of a memory's values are its key, the others being its value; 0 where both are all of it.
    pub split: u16,
    /// Heads of the query.
    pub heads: u8,
    /// Heads of keys and values, a divisor of `heads`.
    pub kv_heads: u8,
    /// Width of one head's key, a multiple of [`COLUMNS`].
    pub key: u16,
    /// Width of one head's value, a multiple of [`COLUMNS`].
    pub value: u16,
    /// Memories that there is room for; a further one takes the oldest one's place.
    pub slots: u16,
    /// Whether a step sees no later memories of its window.
    pub causal: bool,
    /// Whether scores are weighted sums of `tanh(q + k)`, rather than products.
    pub additive: bool,
    /// What has a matrix: bit 0 the query, 1 keys, 2 values, 3 the output.
    pub projections: u8,
    /// Format of the matrices.
    pub weights: Weights,
    /// Left shift of scores to Q16.16, in powers of two.
    pub z_shift: u8,
    /// Whether queries and keys turn with their position.
    pub rotary: bool,
    /// Whether scores have something added by age.
    pub ages: bool,
    /// The real value of one unit of the integer output.
    pub scale: f32,
}

/// The most memories: their weights add up in a product's accumulator.
pub const MAX_SLOTS: u16 = 508;
/// The widest key or value of a head.
pub const MAX_HEAD: u16 = 256;

impl Attention {
    /// Whether a part goes through a matrix: 0 the query, 1 keys, 2 values, 3 the output.
    pub const fn projects(&self, part: u8) -> bool {
        self.projections >> part & 1 == 1
    }

    /// Widths of the key's and of the value's source in a memory of `width` values.
    pub const fn sources(&self, width: usize) -> [usize; 2] {
        if self.split == 0 { [width; 2] } else { [self.split as usize, width.saturating_sub(self.split as usize)] }
    }

    /// Slots, padded to whole blocks.
    pub const fn padded_slots(&self) -> usize {
        (self.slots as usize).div_ceil(ROWS) * ROWS
    }

    /// Words of the keys and of the values of one head in the ring.
    pub const fn ring_words(&self) -> [usize; 2] {
        let slots = self.padded_slots() / 2;
        [slots * self.key as usize, slots * self.value as usize]
    }

    /// Words behind the records: the head of the scores' products, the angles, what is added by age, the weights of additive
    /// scores.
    pub const fn extra_words(&self) -> [usize; 4] {
        [
            2 * ROWS,
            if self.rotary { self.key as usize / 2 } else { 0 },
            if self.ages { self.heads as usize * self.slots as usize } else { 0 },
            if self.additive { packed_words(self.key as usize) } else { 0 },
        ]
    }

    /// Words carried from step to step: memories so far, how many there are, the next one's slot; keys and values, head by
    /// head; and scratch: the query or a memory's key or value, the context, scores, weights.
    pub const fn memory_words(&self) -> [usize; 6] {
        let [k, v] = self.ring_words();
        let (heads, kv) = (self.heads as usize, self.kv_heads as usize);
        let widest = if self.key > self.value { self.key } else { self.value } as usize;
        let slots = self.padded_slots();
        [3, kv * (k + v), packed_words(heads * widest), packed_words(heads * self.value as usize), slots, slots / 2]
    }

    fn shape(&self, query: usize, memory: usize) -> Shape {
        // What the loader refuses might take more words than there are addresses.
        if self.key > MAX_HEAD || self.value > MAX_HEAD || self.slots > MAX_SLOTS {
            return Shape::NONE;
        }
        let [keys, values] = self.sources(memory);
        let (heads, kv, key, value) =
            (usize::from(self.heads), usize::from(self.kv_heads), usize::from(self.key), usize::from(self.value));
        let section = |part: u8, rows: usize, columns: usize| {
            if self.projects(part) {
                Section::new(rows.div_ceil(ROWS), [columns, 0], self.weights)
            } else {
                Section::NONE
            }
        };
        let all = [
            section(0, heads * key, query),
            section(1, kv * key, keys),
            section(2, kv * value, values),
            section(3, self.width.into(), heads * value),
        ];
        let sum = |words: &[usize]| words.iter().fold(0usize, |sum, &n| sum.saturating_add(n));
        Shape {
            sections: sections(all),
            extra: sum(&self.extra_words()),
            memory: sum(&self.memory_words()),
            ..Shape::NONE
        }
    }
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
            | More::Concat { width, .. }
            | More::Join { width, .. }
            | More::Position { width, .. }
            | More::Attention(Attention { width, .. }) => width,
        }) as usize
    }

    /// The real value of one unit of the layer's integer output; of joined inputs it is each input's own.
    pub const fn scale(&self) -> f32 {
        match *self {
            More::Gru { .. } | More::Window { .. } | More::Concat { .. } => Q15_SCALE,
            More::Rnn { scale, .. }
            | More::LstmVariant { scale, .. }
            | More::Embedding { scale, .. }
            | More::Norm { scale, .. }
            | More::Join { scale, .. }
            | More::Position { scale, .. }
            | More::Attention(Attention { scale, .. }) => scale,
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

    /// Whether the layer must see every step, whichever of its outputs go on.
    pub const fn sees_every_step(&self) -> bool {
        matches!(self, More::Window { .. } | More::Position { .. })
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

    /// Values of the 32-bit state.
    pub const fn cells(&self) -> usize {
        match *self {
            More::Gru { units, .. } | More::LstmVariant { units, .. } => units as usize,
            _ => 0,
        }
    }

    /// The second of the sources that the layer takes, if it has two.
    pub const fn second(&self) -> Option<u8> {
        match *self {
            More::Concat { second, .. }
            | More::Join { second, .. }
            | More::Attention(Attention { memory: second, .. }) => Some(second),
            _ => None,
        }
    }

    /// Whether the layer takes in memories, whenever its second source has a new value.
    pub const fn remembers(&self) -> bool {
        matches!(self, More::Attention(_))
    }

    /// The layer's sizes for an input of `inputs` values, and a second source of `second`.
    pub fn shape(&self, inputs: usize, second: usize) -> Shape {
        let width = self.width();
        let fours = width.div_ceil(ROWS);
        match *self {
            More::Gru { units, formats, initial, reset_after, .. } => {
                let [[ra, rb], [za, zb]] = [formats.sections(fours, [inputs, width]); 2];
                let [na, nb] = if reset_after {
                    let [x, h] = formats.apart(fours, [inputs, width]);
                    [x, Section { added: false, ..h }]
                } else {
                    [ra, rb]
                };
                let mut shape = Shape::recurrent([ra, rb, za, zb, na, nb], self.cells(), initial, width);
                shape.memory += if reset_after { 0 } else { packed_words(units.into()) };
                shape
            }
            More::Rnn { formats, initial, .. } => {
                Shape::recurrent(sections(formats.sections(fours, [inputs, width])), self.cells(), initial, width)
            }
            More::LstmVariant { units, formats, initial, peephole, projection, .. } => {
                let units = usize::from(units);
                let [wx, uh] = formats.sections(units, [inputs, width]);
                let has_projection = projection > 0;
                let projected = if has_projection { Section::new(fours, [units, 0], formats.w) } else { Section::NONE };
                let mut shape = Shape::recurrent(sections([wx, uh, projected]), self.cells(), initial, width);
                shape.extra += if peephole.is_some() { 3 * units } else { 0 };
                shape.memory += if has_projection { packed_words(units) } else { 0 };
                shape
            }
            More::Embedding { rows, weights, .. } => {
                Shape { extra: usize::from(rows).saturating_mul(row_words(width, weights)), ..Shape::NONE }
            }
            More::Norm { .. } => Shape { extra: 2 * width, ..Shape::NONE },
            More::Window { taps, dilation, causal, .. } => Shape {
                extra: if causal { packed_words(inputs) } else { 0 },
                memory: reach(taps, dilation).saturating_mul(packed_words(inputs)).saturating_add(2),
                ..Shape::NONE
            },
            More::Concat { .. } => Shape::NONE,
            More::Join { .. } => Shape { extra: 2, ..Shape::NONE },
            More::Position { rows, .. } => Shape {
                extra: usize::from(rows).saturating_mul(packed_words(width)).saturating_add(1),
                memory: 1,
                ..Shape::NONE
            },
            More::Attention(a) => a.shape(inputs, second),
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
