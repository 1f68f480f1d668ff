//! The blob: [`header`] and [`layer`] have its types, `load` checks it, and [`Model`] is the view that was checked.
//!
//! `docs/blob.md` gives the bytes, and everything that is checked.

mod error;
pub mod header;
pub mod layer;
mod load;
#[cfg_attr(not(feature = "layers"), path = "no_more.rs")]
pub mod more;
mod place;
mod vectors;

pub use error::LoadError;
pub(crate) use load::crc32;
pub use load::{checksum, prefix};

use header::{FEATURE_WORDS, Header, Node};
use place::Places;
pub use place::{Order, Place};

use crate::layer::input::Feature;

/// A checked model: a view of a blob that stays where it is, usually in flash.
///
/// Everything that a step relies on was checked by [`Model::parse`]; no step can read out of bounds or overflow.
#[derive(Clone, Debug)]
pub struct Model<'a> {
    header: Header<'a>,
    places: Places,
    words: &'a [i32],
    id: u32,
}

impl<'a> Model<'a> {
    /// Checks a blob and gives a view of it. Nothing is copied but the header's shapes.
    ///
    /// The blob must be aligned to 4 bytes and have exactly the length that it states.
    ///
    /// # Errors
    /// A blob that is wrong, cut, foreign, damaged or hostile is a [`LoadError`]; there is no panic. The time is linear in
    /// the blob's length.
    pub fn parse(blob: &'a [u8]) -> Result<Self, LoadError> {
        load::parse(blob)
    }

    /// The length that a blob states in its prefix, to find its end in a larger flash region.
    pub fn blob_len(bytes: &[u8]) -> Option<usize> {
        let (first, _) = bytes.split_first_chunk::<12>()?;
        let (magic, rest) = first.split_first_chunk::<4>()?;
        let len = rest.last_chunk::<4>()?;
        (*magic == header::MAGIC).then_some(u32::from_le_bytes(*len) as usize)
    }

    /// The header: shapes, formats and text.
    pub fn header(&self) -> &Header<'a> {
        &self.header
    }

    /// The blob's CRC-32, by which a saved state knows its model.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Number of input features.
    pub fn inputs(&self) -> usize {
        self.header.inputs as usize
    }

    /// Number of values of the first output.
    pub fn outputs(&self) -> usize {
        self.head_width(0)
    }

    /// Number of values of output `head`; 0 if there is no such output.
    pub fn head_width(&self, head: usize) -> usize {
        self.header.heads.get(head).map_or(0, |&node| self.header.width(node + 1))
    }

    /// Bytes that a [`State`](crate::State) must have for this model.
    pub fn state_bytes(&self) -> usize {
        self.places.state * 4
    }

    /// Bytes that [`Session::save`](crate::Session::save) writes: model id, state, CRC-32.
    pub fn saved_bytes(&self) -> usize {
        8 + self.state_bytes()
    }

    /// The name of value `k` of the first output.
    pub fn label(&self, k: usize) -> Option<&'a str> {
        self.head_label(0, k)
    }

    /// The name of value `k` of output `head`.
    pub fn head_label(&self, head: usize, k: usize) -> Option<&'a str> {
        if k >= self.head_width(head) {
            return None;
        }
        let before: usize = (0..head).map(|h| self.head_width(h)).sum();
        line(self.header.labels, before + k)
    }

    /// The name of input feature `k`.
    pub fn feature_name(&self, k: usize) -> Option<&'a str> {
        line(self.header.features, k)
    }

    /// The input map, feature by feature.
    pub fn features(&self) -> impl Iterator<Item = Feature> + '_ {
        self.features_from(0)
    }

    /// The input map from a feature on.
    pub(crate) fn features_from(&self, first: usize) -> impl Iterator<Item = Feature> + '_ {
        // Of the words that there are, so that the count is no division: a function of its own on cores that cannot.
        let words = self.words.get(first * FEATURE_WORDS..self.inputs() * FEATURE_WORDS).unwrap_or_default();
        words.as_chunks().0.iter().map(|feature| Feature::from_words(*feature))
    }

    /// The mask: samples that equal it in Q0.15 are skipped.
    pub(crate) fn mask(&self) -> Option<&'a [i16]> {
        let words = self.words.get(self.inputs() * FEATURE_WORDS..self.header.input_words())?;
        bytemuck::cast_slice(words).get(..self.inputs()).filter(|_| self.header.mask)
    }

    /// Everything behind the header, in the order that `docs/blob.md` gives.
    pub fn words(&self) -> &'a [i32] {
        self.words
    }

    /// The words from `start` on. Behind the input map is what each node has, one after the other.
    #[inline]
    pub(crate) fn words_from(&self, start: usize) -> &'a [i32] {
        self.words.get(start..).unwrap_or_default()
    }

    /// Where in the state the samples of the first stream begin, and how many words one takes.
    #[inline]
    pub(crate) fn samples(&self) -> (usize, usize) {
        (self.places.samples, self.places.sample_words)
    }

    /// The same of any stream.
    #[inline]
    pub(crate) fn samples_of(&self, stream: usize) -> (usize, usize) {
        if !cfg!(feature = "layers") || stream == 0 {
            return self.samples();
        }
        let words = |k: usize| header::packed_words(self.header.stream_width(k));
        let before = (1..stream).map(words).sum::<usize>() + self.header.samples() * self.places.sample_words;
        (self.places.samples + before, words(stream))
    }

    /// The stream on whose samples a source has new values.
    #[cfg(feature = "layers")]
    pub(crate) fn stream(&self, source: u8) -> usize {
        self.places.stream(source)
    }

    /// Number of input streams: 1, but for a model of several sensors, an encoder with its decoder, or a memory.
    pub fn streams(&self) -> usize {
        self.header.streams.len().max(1)
    }

    /// Each node with its place.
    pub fn nodes(&self) -> impl Iterator<Item = (&Node, &Place)> {
        self.header.nodes.iter().zip(&self.places.each)
    }

    /// The place of node `k`.
    #[inline]
    pub(crate) fn place(&self, k: usize) -> Option<&Place> {
        self.places.each.get(k)
    }

    /// Node `k` with its place.
    pub fn node(&self, k: usize) -> Option<(&Node, &Place)> {
        Some((self.header.nodes.get(k)?, self.places.each.get(k)?))
    }
}

/// Line `k` of a text whose lines end in `\n`. By bytes: `str::lines` brings in panics that firmware need not carry.
fn line(text: &str, k: usize) -> Option<&str> {
    let line = text.as_bytes().split(|&b| b == b'\n').nth(k)?;
    core::str::from_utf8(line).ok().filter(|line| !line.is_empty())
}
