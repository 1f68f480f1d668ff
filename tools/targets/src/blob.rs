//! Blobs from anywhere.

use crate::exercise::exercise;
use arbitrary::Unstructured;
use cellstate::Model;
use cellstate::model::header::PREFIX_BYTES;
use cellstate::model::{checksum, prefix};

/// A copy that begins at a multiple of 4.
pub struct Aligned {
    words: Vec<u32>,
    len: usize,
}

impl Aligned {
    /// Of any bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let word = |c: &[u8]| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)));
        Self { words: bytes.chunks(4).map(word).collect(), len: bytes.len() }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }
}

/// Whatever comes is a model or an error, and an accepted one says what it is without a panic.
pub fn loader(bytes: &[u8]) {
    let blob = Aligned::new(bytes);
    let _ = Model::blob_len(bytes);
    if let Ok(model) = Model::parse(blob.bytes()) {
        describe(&model);
    }
}

/// The same behind the checksum, which few mutations of a blob get past.
pub fn sealed(bytes: &[u8]) {
    let blob = Aligned::new(&seal(bytes));
    if let Ok(model) = Model::parse(blob.bytes()) {
        describe(&model);
    }
}

/// What is accepted can be stepped, saved, restored and looked into: a length, so many bytes of commands, a blob.
pub fn step(bytes: &[u8]) {
    let Some((&len, rest)) = bytes.split_first() else { return };
    let (commands, blob) = rest.split_at(rest.len().min(len.into()));
    let blob = Aligned::new(&seal(blob));
    if let Ok(model) = Model::parse(blob.bytes()) {
        exercise(&model, &mut Unstructured::new(commands));
    }
}

/// Asks an accepted model all that it can tell.
fn describe(model: &Model) {
    assert!(model.outputs() > 0 && model.inputs() > 0 && model.streams() > 0);
    assert!(model.state_bytes() > 0 && model.saved_bytes() > model.state_bytes());
    for head in 0..model.header().heads.len() {
        let labels = (0..model.head_width(head)).filter_map(|k| model.head_label(head, k));
        assert!(labels.take(9).all(|label| !label.contains(char::is_control)));
    }
    assert_eq!(model.features().count(), model.inputs());
    assert_eq!(model.nodes().count(), model.header().nodes.len());
    let _ = (model.label(usize::MAX), model.feature_name(0), model.test_checksum());
    assert!(model.test_samples().count() <= usize::from(model.header().tests));
}

/// Sets the prefix right: magic, version, lengths, checksum. The header's length is kept where it lies within the blob.
fn seal(bytes: &[u8]) -> Vec<u8> {
    let (old, body) = bytes.split_at(bytes.len().min(PREFIX_BYTES));
    let stated = old.get(12..16).map_or(0, |b| u32::from_le_bytes(std::array::from_fn(|k| b[k])));
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let header = if stated as usize <= body.len() { stated } else { stated % (body.len() as u32 + 1) };
    // The padding, of which a mutated header leaves something else.
    body.iter_mut().take((header as usize).next_multiple_of(4)).skip(header as usize).for_each(|b| *b = 0);
    let mut out = prefix((PREFIX_BYTES + body.len()) as u32, header).to_vec();
    out.extend(checksum([&out[..], &body[..]]).to_le_bytes());
    out.extend(body);
    out
}
