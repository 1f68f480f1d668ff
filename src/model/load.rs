//! The checked loader. `docs/blob.md` lists the checks in the order in which they stand here.

use super::header::{Activation, FEATURE_WORDS, FORMAT_VERSION, Header, Layer, MAGIC, PREFIX_BYTES, Weights};
use super::{LoadError, Model};
use crate::kernel::layout::unpack;
use crate::kernel::{COLUMNS, ROWS, W16_SHIFT};
use crate::layer::input::Feature;
use crate::layer::lstm::CELL_FRAC;
use crate::numeric::rounding::{MULTIPLIER_UNIT, mul_high};

/// The largest magnitude of an input or hidden state: a caller's Q0.15 sample may be -1.
const X_MAX: u64 = 1 << 15;

/// CRC-32 of the pieces, one after the other (ISO-HDLC, the one of zip and Ethernet).
pub fn checksum<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    static TABLE: crc::Crc<u32> = CRC;
    let mut digest = TABLE.digest();
    for piece in pieces {
        digest.update(piece);
    }
    digest.finalize()
}

/// The first 16 bytes of a blob: magic, version, two zero bytes, total length, header length. Its CRC-32 follows.
pub fn prefix(total_len: u32, header_len: u32) -> [u8; PREFIX_BYTES - 4] {
    let mut out = [0; PREFIX_BYTES - 4];
    let fields = MAGIC.iter().copied().chain(FORMAT_VERSION.to_le_bytes()).chain([0, 0]);
    let fields = fields.chain(total_len.to_le_bytes()).chain(header_len.to_le_bytes());
    for (byte, field) in out.iter_mut().zip(fields) {
        *byte = field;
    }
    out
}

pub(super) fn parse(blob: &[u8]) -> Result<Model<'_>, LoadError> {
    if blob.as_ptr().align_offset(4) != 0 {
        return Err(LoadError::Misaligned);
    }
    let found = blob.len() as u32;
    let (head, body) =
        blob.split_first_chunk::<PREFIX_BYTES>().ok_or(LoadError::Truncated { needed: PREFIX_BYTES as u32, found })?;
    let [m0, m1, m2, m3, v0, v1, _, _, t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = *head;
    if [m0, m1, m2, m3] != MAGIC {
        return Err(LoadError::NotABlob);
    }
    let version = u16::from_le_bytes([v0, v1]);
    if version != FORMAT_VERSION {
        return Err(LoadError::Version { found: version, supported: FORMAT_VERSION });
    }
    let total = u32::from_le_bytes([t0, t1, t2, t3]);
    if found < total {
        return Err(LoadError::Truncated { needed: total, found });
    }
    if found > total {
        return Err(LoadError::TrailingBytes { extra: found - total });
    }
    let id = u32::from_le_bytes([c0, c1, c2, c3]);
    let (checked_prefix, _) = head.split_at(PREFIX_BYTES - 4);
    if checksum([checked_prefix, body]) != id {
        return Err(LoadError::Checksum);
    }
    let header_len = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
    let padded_len = header_len.checked_next_multiple_of(4).ok_or(LoadError::Header)?;
    let (padded_header, words) = body.split_at_checked(padded_len).ok_or(LoadError::Header)?;
    let (header, padding) = padded_header.split_at_checked(header_len).ok_or(LoadError::Header)?;
    let (header, rest) = postcard::take_from_bytes::<Header>(header).map_err(|_| LoadError::Header)?;
    if !rest.is_empty() || padding.iter().any(|&b| b != 0) {
        return Err(LoadError::Header);
    }
    if header.inputs == 0 || header.layers.is_empty() || header.layers.iter().any(|l| l.width() == 0) {
        return Err(LoadError::Empty);
    }
    let needed = word_count(&header).ok_or(LoadError::Header)?;
    if needed * 4 != words.len() as u64 {
        return Err(LoadError::Length { needed: needed as u32, found: (words.len() / 4) as u32 });
    }
    let words = bytemuck::try_cast_slice::<u8, i32>(words).map_err(|_| LoadError::Misaligned)?;
    names(&header)?;
    let model = Model { header, words, id };
    for (k, feature) in model.features().enumerate() {
        if !Feature::is_valid(feature) {
            return Err(LoadError::InputMap { feature: k as u16 });
        }
    }
    records(&model)?;
    Ok(model)
}

/// [`Header::words`] in 64 bits: on a 32-bit core a hostile header's product could wrap around.
fn word_count(header: &Header) -> Option<u64> {
    let mut sum = u64::from(header.inputs) * FEATURE_WORDS as u64;
    for (layer, inputs) in header.layers() {
        sum = sum.checked_add((layer.records() as u64).checked_mul(layer.record_words(inputs) as u64)?)?;
    }
    (sum < u64::from(u32::MAX) / 4).then_some(sum)
}

fn names(header: &Header) -> Result<(), LoadError> {
    let outputs = header.layers.last().map_or(0, Layer::width);
    for (text, count) in [(header.labels, outputs), (header.features, header.inputs as usize)] {
        let lines = text.bytes().filter(|&b| b == b'\n').count() + 1;
        if !text.is_empty() && lines != count {
            return Err(LoadError::Names);
        }
    }
    Ok(())
}

/// Scales and shifts of each layer, then the bounds of each row.
fn records(model: &Model) -> Result<(), LoadError> {
    let last = model.header.layers.len().saturating_sub(1);
    let mut words = model.records();
    for (k, (layer, inputs)) in model.header.layers().enumerate() {
        let index = k as u8;
        let z_shift = match layer {
            Layer::Lstm { cell_frac, z_shift, .. } => {
                if !CELL_FRAC.contains(&cell_frac) {
                    return Err(LoadError::Scale { layer: index });
                }
                z_shift
            }
            Layer::Dense { activation, z_shift, scale, .. } => {
                if activation == Activation::Softmax && k != last {
                    return Err(LoadError::Softmax { layer: index });
                }
                let squashed = matches!(activation, Activation::Sigmoid | Activation::Tanh);
                // Finite and positive, by the bits: a comparison of floats is a function of its own without an FPU.
                let usable = (1..f32::INFINITY.to_bits()).contains(&scale.to_bits());
                if !usable || (!squashed && z_shift != 0) {
                    return Err(LoadError::Scale { layer: index });
                }
                z_shift
            }
        };
        if z_shift > 15 {
            return Err(LoadError::Scale { layer: index });
        }
        let size = layer.record_words(inputs);
        for r in 0..layer.records() {
            let record = words.split_off(..size).ok_or(LoadError::Length { needed: 0, found: 0 })?;
            if !record_fits(layer, inputs, record, z_shift) {
                return Err(LoadError::Accumulator { layer: index, record: r as u16 });
            }
        }
    }
    Ok(())
}

/// Whether no input can overflow an accumulator or a pre-activation of this record.
fn record_fits(layer: Layer, inputs: usize, record: &[i32], z_shift: u8) -> bool {
    let products = if matches!(layer, Layer::Lstm { .. }) { 2 } else { 1 };
    let block = layer.weights().block_words();
    let Some((bias, rest)) = record.split_first_chunk::<ROWS>() else {
        return false;
    };
    let Some((multipliers, mut blocks)) = rest.split_at_checked(products * ROWS) else {
        return false;
    };
    let [b0, b1, b2, b3] = *bias;
    let mut z: [u64; ROWS] =
        [b0.unsigned_abs().into(), b1.unsigned_abs().into(), b2.unsigned_abs().into(), b3.unsigned_abs().into()];
    for (m, columns) in multipliers.as_chunks::<ROWS>().0.iter().zip([inputs, layer.width()]) {
        let Some((mine, others)) = blocks.split_at_checked(columns.div_ceil(4) * block) else {
            return false;
        };
        blocks = others;
        for ((z, &m), acc) in z.iter_mut().zip(m).zip(accumulator_bounds(layer.weights(), mine)) {
            let Some(product) = product_bound(layer.weights(), acc, m) else {
                return false;
            };
            *z += product;
        }
    }
    let limit = u64::from(i32::MAX as u32 >> (z_shift & 31));
    z.iter().all(|&z| z <= limit)
}

/// The largest magnitude of a requantized accumulator, or none if the accumulator or the multiplier is not allowed. Not
/// inlined: each row would have a copy.
#[inline(never)]
fn product_bound(weights: Weights, acc: u64, m: i32) -> Option<u64> {
    // A multiplier is a scale: never negative.
    if m < 0 || m % MULTIPLIER_UNIT != 0 || acc > weights.accumulator_limit() {
        return None;
    }
    // mul_high is monotone in its first argument; one more covers the rounding of negative values.
    Some(mul_high(acc as i32, m) as u64 + 1)
}

/// The largest magnitude that each row's accumulator can reach on any input.
fn accumulator_bounds(weights: Weights, blocks: &[i32]) -> [u64; ROWS] {
    // 65,535 columns of 2^15 at most.
    let mut sums = [0u32; ROWS];
    let mut rest = blocks;
    while let Some(block) = rest.split_off(..weights.block_words()) {
        for (row, sum) in sums.iter_mut().enumerate() {
            *sum += row_magnitude(weights, block, row);
        }
    }
    let mut bounds = [0; ROWS];
    for (bound, sum) in bounds.iter_mut().zip(sums) {
        let reach = u64::from(sum) * X_MAX;
        *bound = if weights == Weights::W16 { (reach + (1 << (W16_SHIFT - 1))) >> W16_SHIFT } else { reach };
    }
    bounds
}

/// The sum of the magnitudes in one row of a block. Not inlined: each row would have a copy.
#[inline(never)]
fn row_magnitude(weights: Weights, block: &[i32], row: usize) -> u32 {
    (0..COLUMNS).map(|column| magnitude(weights, block, row, column)).sum()
}

/// One weight's magnitude. Not inlined: every format would be unrolled, for a check that runs once.
#[inline(never)]
fn magnitude(weights: Weights, block: &[i32], row: usize, column: usize) -> u32 {
    unpack(weights, block, row, column).unsigned_abs()
}
