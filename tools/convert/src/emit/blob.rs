//! The blob's bytes: prefix, header, input map, records. `docs/blob.md` is the specification.

use crate::quantize::{Layer, Quantized};
use cellstate::kernel::layout::{Block, pack};
use cellstate::kernel::{COLUMNS, ROWS};
use cellstate::model::header::{self, Header};
use cellstate::model::{checksum, prefix};
use cellstate_reference::Network;

/// Lays out a quantized network as a blob.
pub fn blob(network: &Network, quantized: &Quantized, provenance: &str) -> Vec<u8> {
    let (labels, features) = (network.labels().join("\n"), network.input.names.join("\n"));
    let header = Header {
        name: &network.name,
        provenance,
        labels: &labels,
        features: &features,
        inputs: network.inputs() as u16,
        layers: quantized.layers.iter().map(|l| l.header).collect(),
    };
    let mut words: Vec<i32> = quantized.features.iter().flat_map(|f| f.to_words()).collect();
    for (layer, (_, inputs)) in quantized.layers.iter().zip(header.layers()) {
        records(layer, inputs, &mut words);
    }
    // Serializing to memory cannot fail: the types are ours and none refuses.
    let mut body = postcard::to_stdvec(&header).unwrap_or_default();
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

/// A layer's records: for every four rows their biases, the multipliers of each product, the blocks of each product.
fn records(layer: &Layer, inputs: usize, words: &mut Vec<i32>) {
    let (rows, weights) = (&layer.rows, layer.header.weights());
    let widths = [inputs, layer.header.width()];
    for first in (0..layer.header.records() * ROWS).step_by(ROWS) {
        let four = |v: &[i32]| -> [i32; ROWS] { std::array::from_fn(|k| v.get(first + k).copied().unwrap_or(0)) };
        words.extend(four(&rows.biases));
        for product in &rows.products {
            words.extend(four(&product.multipliers));
        }
        for (product, width) in rows.products.iter().zip(widths) {
            for column in (0..width).step_by(COLUMNS) {
                let at = |row: usize, c: usize| {
                    let row = product.weights.get(first + row);
                    row.and_then(|r| r.get(column + c)).copied().unwrap_or(0)
                };
                let block: Block = std::array::from_fn(|row| std::array::from_fn(|c| at(row, c)));
                words.extend(pack(weights, &block).iter().take(weights.block_words()));
            }
        }
    }
}
