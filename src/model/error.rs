//! Why a blob is refused.

/// Why [`Model::parse`](crate::Model::parse) refused a blob. `layer` counts from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum LoadError {
    /// The blob must begin at an address that is a multiple of 4: wrap it in [`Aligned`](crate::Aligned).
    Misaligned,
    /// The blob must have at least `needed` bytes; it has `found`.
    Truncated {
        /// Bytes that the blob must have.
        needed: u32,
        /// Bytes that it has.
        found: u32,
    },
    /// Nothing may follow the blob's last byte; cut the slice at [`Model::blob_len`](crate::Model::blob_len).
    TrailingBytes {
        /// Bytes behind the blob.
        extra: u32,
    },
    /// The blob must begin with the bytes `CELL`.
    NotABlob,
    /// The format version must be the one that this crate reads.
    Version {
        /// The version in the blob.
        found: u16,
        /// The version that this crate reads.
        supported: u16,
    },
    /// The checksum must match: the blob was damaged.
    Checksum,
    /// The header must decode, and fill the length that the prefix gives. Without the crate's feature `layers` those with
    /// other layers than LSTM and dense do not.
    Header,
    /// A model must have at least one input feature and one layer, and no layer of width 0.
    Empty,
    /// The length must be what the header's shapes and its self-test add up to.
    Length {
        /// Words that the shapes ask for.
        needed: u32,
        /// Words behind the header.
        found: u32,
    },
    /// An input feature's multiplier, bias or shift must be in range.
    InputMap {
        /// The feature, from 0.
        feature: u16,
    },
    /// A scale or shift must be in range.
    Scale {
        /// The layer.
        layer: u8,
    },
    /// A layer's sources must stand before it, and its width and steps follow from theirs.
    Graph {
        /// The layer.
        layer: u8,
    },
    /// Softmax may only stand in an output that no layer takes.
    Softmax {
        /// The layer.
        layer: u8,
    },
    /// A row's weights, multipliers and bias must not be able to overflow 32 bits.
    Accumulator {
        /// The layer.
        layer: u8,
        /// The record, counted through all of the layer's kinds: an LSTM's unit, or four units of another layer.
        record: u32,
    },
    /// There must be as many labels or feature names as values, or none.
    Names,
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match *self {
            LoadError::Misaligned => write!(f, "the blob is not aligned to 4 bytes"),
            LoadError::Truncated { needed, found } => {
                write!(f, "the blob is cut: {found} of {needed} bytes")
            }
            LoadError::TrailingBytes { extra } => write!(f, "{extra} bytes follow the blob"),
            LoadError::NotABlob => write!(f, "this is not a cellstate blob"),
            LoadError::Version { found, supported } => {
                write!(f, "the blob has format version {found}; this program reads version {supported}")
            }
            LoadError::Checksum => write!(f, "the checksum does not match: the blob is damaged"),
            LoadError::Header => write!(f, "the header does not decode"),
            LoadError::Empty => write!(f, "the model has no input, no layer, or a layer without outputs"),
            LoadError::Length { needed, found } => {
                write!(f, "the header asks for {needed} words and the blob has {found}")
            }
            LoadError::InputMap { feature } => {
                write!(f, "the map of input feature {feature} is out of range")
            }
            LoadError::Scale { layer } => {
                write!(f, "a scale or shift of layer {layer} is out of range")
            }
            LoadError::Graph { layer } => {
                write!(f, "layer {layer} does not follow from the layers before it")
            }
            LoadError::Softmax { layer } => {
                write!(f, "layer {layer} is a softmax and not an output")
            }
            LoadError::Accumulator { layer, record } => {
                write!(f, "record {record} of layer {layer} could overflow its accumulator")
            }
            LoadError::Names => {
                write!(f, "the number of names does not match the number of values")
            }
        }
    }
}

impl core::error::Error for LoadError {}
