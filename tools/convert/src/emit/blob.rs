//! The blob's bytes: prefix, header, input map, records. `docs/blob.md` is the specification.

use crate::quantize::rows::Rows;
use crate::quantize::{Layer, Quantized};
use cellstate::kernel::layout::{Block, pack};
use cellstate::kernel::{COLUMNS, ROWS};
use cellstate::model::header::{self, Header};
use cellstate::model::layer::Section;
use cellstate::model::{checksum, prefix};
use cellstate_reference::{Head, Network, Source};

/// Lays out a quantized network as a blob; names are those of `network`.
pub fn blob(network: &Network, quantized: &Quantized, provenance: &str) -> Vec<u8> {
    let (labels, features) = (plain(&labels(network)), plain(&network.input.names.join("\n")));
    let header = Header {
        name: &plain(&network.name),
        provenance: &plain(provenance),
        labels: &labels,
        features: &features,
        inputs: quantized.features.len() as u16,
        window: quantized.window,
        mask: quantized.mask.is_some(),
        tests: 0,
        streams: quantized.streams.iter().copied().collect(),
        heads: quantized.heads.iter().copied().collect(),
        nodes: quantized.layers.iter().map(|l| l.node).collect(),
    };
    let mut words: Vec<i32> = quantized.features.iter().flat_map(|f| f.to_words()).collect();
    if let Some(mask) = &quantized.mask {
        words.extend(halves(mask));
    }
    for layer in &quantized.layers {
        let second = layer.node.layer.second().map_or(0, |second| header.width(second));
        records(layer, header.width(layer.node.from), second, &mut words);
        words.extend(&layer.extra);
    }
    assemble(&header, &words)
}

/// The bytes of a header and its words.
pub fn assemble(header: &Header, words: &[i32]) -> Vec<u8> {
    // Serializing to memory cannot fail: the types are ours and none refuses.
    let mut body = postcard::to_stdvec(header).unwrap_or_default();
    let header_len = body.len();
    body.resize(header_len.next_multiple_of(4), 0);
    body.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    let total = header::PREFIX_BYTES + body.len();
    let mut out = prefix(total as u32, header_len as u32).to_vec();
    let crc = checksum([&out[..], &body[..]]);
    out.extend(crc.to_le_bytes());
    out.extend(body);
    out
}

/// A text without the control characters that the loader refuses; a file may have any in its names.
fn plain(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n', "\u{fffd}")
}

/// One line a value of every head, empty where a head has no names; nothing at all if none has.
fn labels(network: &Network) -> String {
    if network.heads.iter().all(|h| h.labels.is_empty()) {
        return String::new();
    }
    let names = |h: &Head| match h.labels.len() {
        0 => vec![String::new(); network.width(Source::Node(h.node))],
        _ => h.labels.clone(),
    };
    network.heads.iter().flat_map(names).collect::<Vec<_>>().join("\n")
}

/// A padded vector of 16-bit values, two a word.
pub fn halves(values: &[i16]) -> Vec<i32> {
    let at = |k: usize| u32::from(values.get(k).copied().unwrap_or(0) as u16);
    (0..header::packed_words(values.len())).map(|k| (at(2 * k) | at(2 * k + 1) << 16) as i32).collect()
}

fn records(layer: &Layer, inputs: usize, second: usize, words: &mut Vec<i32>) {
    let shape = layer.node.layer.shape(inputs, second);
    for (section, rows) in shape.sections.iter().filter(|s| s.records > 0).zip(&layer.sections) {
        section_records(section, rows, words);
    }
}

/// For every four rows their biases, the multipliers of each part, the blocks of each part.
fn section_records(section: &Section, rows: &Rows, words: &mut Vec<i32>) {
    for first in (0..section.records * ROWS).step_by(ROWS) {
        let four = |v: &[i32]| -> [i32; ROWS] { std::array::from_fn(|k| v.get(first + k).copied().unwrap_or(0)) };
        words.extend(four(&rows.biases));
        for product in &rows.products {
            words.extend(four(&product.multipliers));
        }
        for (product, width) in rows.products.iter().zip(section.parts()) {
            for column in (0..width).step_by(COLUMNS) {
                let at = |row: usize, c: usize| {
                    let row = product.weights.get(first + row);
                    row.and_then(|r| r.get(column + c)).copied().unwrap_or(0)
                };
                let block: Block = std::array::from_fn(|row| std::array::from_fn(|c| at(row, c)));
                words.extend(pack(section.weights, &block).iter().take(section.weights.block_words()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Rng, random};
    use cellstate::Model;

    /// Names in files may hold anything; what is emitted loads.
    #[test]
    fn names_lose_their_control_characters() {
        let (quantized, _) = random(&mut Rng(3));
        let mut network = Network::chain("a\u{1b}[2J", quantized.features.len(), Vec::new());
        network.input.names = vec!["\u{7f}\u{e4}".to_owned(); quantized.features.len()];
        let bytes = blob(&network, &quantized, "b\r\nc");
        let mut words = vec![0u32; bytes.len() / 4];
        bytemuck::cast_slice_mut(&mut words).copy_from_slice(&bytes);
        let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
        assert_eq!(model.header().name, "a\u{fffd}[2J");
        assert_eq!(model.header().provenance, "b\u{fffd}\nc");
        assert_eq!(model.feature_name(0), Some("\u{fffd}\u{e4}"));
    }
}
