//! Blobs from anywhere.

use crate::exercise::exercise;
use arbitrary::Unstructured;
use cellstate::Model;
use cellstate::model::header::{Header, PREFIX_BYTES};
use cellstate::model::{checksum, prefix};

/// A copy that begins at a multiple of 4.
pub struct Aligned {
    words: Vec<u32>,
    len: usize,
}

impl Aligned {
    /// Of any bytes.
    pub fn new(bytes: &[u8]) -> Self {
        let mut words = vec![0; bytes.len().div_ceil(4)];
        bytemuck::cast_slice_mut(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self { words, len: bytes.len() }
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
    let header = if stated as usize <= body.len() { stated } else { stated % (body.len() as u32 + 1) };
    let len = (PREFIX_BYTES + body.len()).next_multiple_of(4);
    let mut out = prefix(len as u32, header).to_vec();
    out.extend([0; 4]);
    out.extend(body);
    out.resize(len, 0);
    // The padding, of which a mutated header leaves something else.
    let end = PREFIX_BYTES + header as usize;
    out[end..end.next_multiple_of(4)].fill(0);
    let (head, body) = out.split_at_mut(PREFIX_BYTES);
    let (checked, crc) = head.split_at_mut(PREFIX_BYTES - 4);
    crc.copy_from_slice(&checksum([&*checked, &*body]).to_le_bytes());
    out
}

/// The bytes of a header and its words.
pub fn assemble(header: &Header, words: &[i32]) -> Vec<u8> {
    let text = postcard::to_stdvec(header).unwrap_or_default();
    let mut out = prefix(0, text.len() as u32).to_vec();
    out.extend([0; 4]);
    out.extend(&text);
    out.resize(out.len().next_multiple_of(4), 0);
    out.extend(bytemuck::cast_slice(words));
    seal(&out)
}
