//! The header's types: what the converter writes and the loader reads, by postcard, in this order of fields.
//!
//! `docs/blob.md` gives the bytes. A change of any field here is a new [`FORMAT_VERSION`].

use crate::kernel::{COLUMNS, ROWS};
use serde::{Deserialize, Serialize};

/// The first four bytes of a blob.
pub const MAGIC: [u8; 4] = *b"CELL";
/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u16 = 2;
/// Bytes before the header: magic, version, two zero bytes, total length, header length, CRC-32.
pub const PREFIX_BYTES: usize = 20;
/// The most layers that a model may have.
pub const MAX_LAYERS: usize = 16;
/// Words that each input feature takes in the words section: see [`crate::layer::input::Feature`].
pub const FEATURE_WORDS: usize = 5;

/// How weights are stored. All formats are symmetric, with one scale per row; [`crate::kernel::layout`] has the bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Weights {
    /// 8-bit weights, 32-bit accumulators.
    W8,
    /// 16-bit weights, 64-bit accumulators.
    W16,
    /// 4-bit weights, two a byte, 32-bit accumulators.
    W4,
}

impl Weights {
    /// Words of one block of four rows by four columns.
    pub const fn block_words(self) -> usize {
        ROWS * COLUMNS * self.bits() as usize / 32
    }

    /// The largest magnitude that a row's accumulator may be able to reach.
    ///
    /// 32 bits, of which kernels for 4-bit weights use four: they take two rows in one multiply.
    pub const fn accumulator_limit(self) -> u64 {
        match self {
            Weights::W8 | Weights::W16 => i32::MAX as u64,
            Weights::W4 => (1 << 27) - 1,
        }
    }

    /// The weights' name on the command line and in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Weights::W4 => "w4",
            Weights::W8 => "w8",
            Weights::W16 => "w16",
        }
    }

    /// Bits of one weight.
    pub const fn bits(self) -> u32 {
        match self {
            Weights::W4 => 4,
            Weights::W8 => 8,
            Weights::W16 => 16,
        }
    }
}

/// What a dense layer does with its pre-activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Activation {
    /// Nothing.
    Linear,
    /// `max(0, z)`.
    Relu,
    /// The logistic function; the output is Q0.15.
    Sigmoid,
    /// The hyperbolic tangent; the output is Q0.15.
    Tanh,
    /// Logits on the device, whose order softmax keeps; [`crate::Output::probabilities`] gives the probabilities.
    Softmax,
}

/// One layer's shape and formats; its numbers stand in the words section, in the order of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Layer {
    /// A long short-term memory layer: see [`crate::layer::lstm`].
    Lstm {
        /// Hidden units, `H`.
        units: u16,
        /// Format of both weight matrices.
        weights: Weights,
        /// Fractional bits of the cell state.
        cell_frac: u8,
        /// Left shift of the summed pre-activation to Q16.16.
        z_shift: u8,
    },
    /// A fully connected layer: see [`crate::layer::dense`].
    Dense {
        /// Number of outputs.
        outputs: u16,
        /// Format of the weight matrix.
        weights: Weights,
        /// What follows the matrix.
        activation: Activation,
        /// Left shift of the pre-activation to Q16.16, for sigmoid and tanh; 0 otherwise.
        z_shift: u8,
        /// The real value of one unit of the integer output.
        scale: f32,
    },
}

impl Layer {
    /// Number of values that the layer yields at each step.
    pub const fn width(&self) -> usize {
        match self {
            Layer::Lstm { units, .. } => *units as usize,
            Layer::Dense { outputs, .. } => *outputs as usize,
        }
    }

    /// The real value of one unit of the layer's integer output.
    pub const fn scale(&self) -> f32 {
        match self {
            Layer::Lstm { .. } => Q15_SCALE,
            Layer::Dense { scale, .. } => *scale,
        }
    }

    /// Format of the layer's weights.
    pub const fn weights(&self) -> Weights {
        match self {
            Layer::Lstm { weights, .. } | Layer::Dense { weights, .. } => *weights,
        }
    }

    /// Words of one record: the parameters of four rows, then their weights. `inputs` is the width of the layer's input.
    ///
    /// An LSTM record is one unit: four biases, four multipliers of `W`, four of `U`, the blocks of `W`, those of `U`,
    /// with the rows in the order of [`Gate`]. A dense record is four outputs: four biases, four multipliers, blocks.
    pub const fn record_words(&self, inputs: usize) -> usize {
        let block = self.weights().block_words();
        match self {
            Layer::Lstm { units, .. } => {
                3 * ROWS + (inputs.div_ceil(COLUMNS) + (*units as usize).div_ceil(COLUMNS)) * block
            }
            Layer::Dense { .. } => 2 * ROWS + inputs.div_ceil(COLUMNS) * block,
        }
    }

    /// Number of records.
    pub const fn records(&self) -> usize {
        match self {
            Layer::Lstm { units, .. } => *units as usize,
            Layer::Dense { outputs, .. } => (*outputs as usize).div_ceil(ROWS),
        }
    }

    /// Words of the layer's state: an LSTM's cell and two hidden buffers, a dense layer's outputs.
    ///
    /// The last layer of a model keeps its dense outputs in 32 bits, the others in 16.
    pub const fn state_words(&self, last: bool) -> usize {
        match self {
            Layer::Lstm { units, .. } => *units as usize + 2 * packed_words(*units as usize),
            Layer::Dense { outputs, .. } if last => padded(*outputs as usize),
            Layer::Dense { outputs, .. } => packed_words(*outputs as usize),
        }
    }
}

/// One unit of Q0.15.
pub const Q15_SCALE: f32 = 1.0 / 32768.0;

/// A vector's length after padding to whole blocks.
pub const fn padded(len: usize) -> usize {
    len.div_ceil(COLUMNS) * COLUMNS
}

/// Words of a padded vector of i16.
pub const fn packed_words(len: usize) -> usize {
    padded(len) / 2
}

/// The gates in the order of an LSTM record's rows. Importers translate their framework's order to this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Gate {
    /// `i`, sigmoid.
    Input,
    /// `f`, sigmoid.
    Forget,
    /// `g`, the candidate, tanh.
    Candidate,
    /// `o`, sigmoid.
    Output,
}

impl Gate {
    /// All four, in the order of the rows.
    pub const ALL: [Gate; ROWS] = [Gate::Input, Gate::Forget, Gate::Candidate, Gate::Output];
}

/// The postcard header. Text is borrowed from the blob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header<'a> {
    /// The model's name.
    pub name: &'a str,
    /// What the blob was made from, and by which version of the converter.
    pub provenance: &'a str,
    /// Names of the outputs, one a line, or empty.
    pub labels: &'a str,
    /// Names of the input features, one a line, or empty.
    pub features: &'a str,
    /// Number of input features.
    pub inputs: u16,
    /// The layers, first to last.
    pub layers: heapless::Vec<Layer, MAX_LAYERS>,
}

impl Header<'_> {
    /// Each layer with the width of its input, first to last.
    pub fn layers(&self) -> impl Iterator<Item = (Layer, usize)> + '_ {
        let mut inputs = self.inputs as usize;
        self.layers.iter().map(move |&layer| (layer, core::mem::replace(&mut inputs, layer.width())))
    }

    /// Words of the section behind the header: the input map, then each layer's records.
    pub fn words(&self) -> usize {
        let records = self.layers().map(|(layer, inputs)| layer.records() * layer.record_words(inputs));
        self.inputs as usize * FEATURE_WORDS + records.sum::<usize>()
    }

    /// Words of state: the input vector, then each layer's.
    pub fn state_words(&self) -> usize {
        let last = self.layers.len().saturating_sub(1);
        let layers = self.layers.iter().enumerate().map(|(k, layer)| layer.state_words(k == last));
        packed_words(self.inputs as usize) + layers.sum::<usize>()
    }
}
