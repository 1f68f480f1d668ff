//! The header's types: what the converter writes and the loader reads, by postcard, in this order of fields.
//!
//! `docs/blob.md` gives the bytes. A change of any field here is a new [`FORMAT_VERSION`].

use super::layer::Layer;
use crate::kernel::{COLUMNS, ROWS};
use serde::{Deserialize, Serialize};

/// The first four bytes of a blob.
pub const MAGIC: [u8; 4] = *b"CELL";
/// The version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u16 = 6;
/// Bytes before the header: magic, version, two zero bytes, total length, header length, CRC-32.
pub const PREFIX_BYTES: usize = 20;
/// The most layers that a model may have: with the feature `deep` 48, else 16.
pub const MAX_LAYERS: usize = if cfg!(feature = "deep") { 48 } else { 16 };
/// The most input streams; without the feature `layers` a header lists none, for there is but one.
pub const MAX_STREAMS: usize = if cfg!(feature = "layers") { 4 } else { 0 };
/// The most outputs that a model may have.
pub const MAX_HEADS: usize = 4;
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

    /// The largest magnitude of a weight.
    pub const fn top(self) -> u32 {
        (1 << (self.bits() - 1)) - 1
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

/// What a dense or simple recurrent layer does with its pre-activation.
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
    /// `z + 1/2`, limited to 0..=1; the output is Q0.15. The slope is in the weights.
    HardSigmoid,
    /// `z sigmoid(z)`.
    #[cfg(feature = "layers")]
    Silu {
        /// Right shift from Q16.16 to the output.
        shift: u8,
    },
    /// `z Phi(z)`.
    #[cfg(feature = "layers")]
    Gelu {
        /// Whether it is the approximation by a hyperbolic tangent.
        tanh: bool,
        /// Right shift from Q16.16 to the output.
        shift: u8,
    },
}

impl Activation {
    /// Whether the output is Q0.15, from a pre-activation in Q16.16.
    pub const fn is_squashing(self) -> bool {
        matches!(self, Activation::Sigmoid | Activation::Tanh | Activation::HardSigmoid)
    }

    /// The right shift from Q16.16 to the output, of activations that have one.
    pub const fn output_shift(self) -> Option<u8> {
        match self {
            #[cfg(feature = "layers")]
            Activation::Silu { shift } | Activation::Gelu { shift, .. } => Some(shift),
            _ => None,
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

/// A layer in its place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Node {
    /// Whose output it takes: 0 is the sample, `k` the node `k - 1`, 256 - `k` the sample of stream `k` from 1 on. It runs
    /// when that has a new value.
    pub from: u8,
    /// Walks a window from its last step to its first; its output stands at the time of its input.
    pub backward: bool,
    /// Yields only the output of the step that it walks last.
    pub last: bool,
    /// The most outputs that one run yields: 1, unless the model is windowed.
    pub steps: u16,
    /// What it computes.
    pub layer: Layer,
}

impl Node {
    /// [`steps`](Self::steps), where this build has windows.
    #[inline]
    pub(crate) const fn run_steps(&self) -> usize {
        if cfg!(feature = "layers") { self.steps as usize } else { 1 }
    }

    /// A node of a streaming model behind source `from`.
    pub const fn streaming(from: u8, layer: Layer) -> Self {
        Self { from, backward: false, last: false, steps: 1, layer }
    }
}

/// The postcard header. Text is borrowed from the blob.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header<'a> {
    /// The model's name.
    pub name: &'a str,
    /// What the blob was made from, and by which version of the converter.
    pub provenance: &'a str,
    /// Names of the outputs, head by head, one a line, or empty.
    pub labels: &'a str,
    /// Names of the input features, one a line, or empty.
    pub features: &'a str,
    /// Number of input features.
    pub inputs: u16,
    /// Steps of a window, or 0 for a model that streams.
    pub window: u16,
    /// Whether samples that equal the mask are skipped.
    pub mask: bool,
    /// Steps of the self-test, or 0 for none: see [`Session::self_test`](crate::Session::self_test).
    pub tests: u16,
    /// The nodes whose outputs are the model's; the first decides.
    pub heads: heapless::Vec<u8, MAX_HEADS>,
    /// Features of each input stream, which add up to `inputs`; empty for a single one.
    pub streams: heapless::Vec<u16, MAX_STREAMS>,
    /// The layers, each behind its sources.
    pub nodes: heapless::Vec<Node, MAX_LAYERS>,
}

/// The stream whose samples a source is, if it is one.
#[inline]
pub const fn stream_of(source: u8) -> Option<usize> {
    match source {
        0 => Some(0),
        s if cfg!(feature = "layers") && s as usize > 256 - MAX_STREAMS => Some(256 - s as usize),
        _ => None,
    }
}

impl Header<'_> {
    /// Number of values of a source: see [`Node::from`]. Zero for a source that is not there.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn width(&self, source: u8) -> usize {
        match stream_of(source) {
            Some(stream) => self.stream_width(stream),
            None => self.nodes.get(source as usize - 1).map_or(0, |n| n.layer.width()),
        }
    }

    /// Features of a stream; 0 for one that is not there.
    #[inline]
    pub fn stream_width(&self, stream: usize) -> usize {
        if !cfg!(feature = "layers") || self.streams.is_empty() {
            return if stream == 0 { self.inputs as usize } else { 0 };
        }
        self.streams.get(stream).copied().unwrap_or(0) as usize
    }

    /// The first feature of a stream among all.
    #[inline]
    pub fn first_feature(&self, stream: usize) -> usize {
        self.streams.iter().take(stream).map(|&n| usize::from(n)).sum()
    }

    /// The most steps of a source in one run.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn steps(&self, source: u8) -> usize {
        match stream_of(source) {
            Some(_) => self.samples(),
            None => self.nodes.get(source as usize - 1).map_or(0, Node::run_steps),
        }
    }

    /// Whether the model runs over windows of samples, and this build has them.
    #[inline]
    pub const fn is_windowed(&self) -> bool {
        cfg!(feature = "layers") && self.window > 0
    }

    /// Whether samples that equal the mask are skipped, and this build has masks.
    #[inline]
    pub const fn is_masked(&self) -> bool {
        cfg!(feature = "layers") && self.mask
    }

    /// Samples that the state holds.
    pub fn samples(&self) -> usize {
        (self.window as usize).max(1)
    }

    /// Whether node `k` keeps its outputs in 32 bits: a dense head that no node takes.
    #[inline(never)] // many callers, none of them on a step's way
    pub fn is_wide(&self, k: usize) -> bool {
        let source = k as u8 + 1;
        let taken = |n: &Node| n.from == source || n.layer.second() == Some(source);
        let dense = matches!(self.nodes.get(k), Some(Node { layer: Layer::Dense { .. }, .. }));
        dense && self.heads.contains(&(k as u8)) && !self.nodes.iter().any(taken)
    }

    /// Words of the input map and the mask, with which the words section begins.
    pub fn input_words(&self) -> usize {
        let inputs = self.inputs as usize;
        inputs * FEATURE_WORDS + if self.is_masked() { packed_words(inputs) } else { 0 }
    }

    /// Words of one step of the self-test: of a model with several streams its stream, then a sample, padded to all features.
    pub fn test_step_words(&self) -> usize {
        packed_words(self.inputs as usize) + usize::from(cfg!(feature = "layers") && !self.streams.is_empty())
    }

    /// Words of the self-test, with which the words section ends: its samples, and the checksum.
    pub fn test_words(&self) -> usize {
        let steps = self.tests as usize;
        if steps == 0 { 0 } else { steps * self.test_step_words() + 1 }
    }
}
