//! The checked loader. `docs/blob.md` lists the checks in the order in which they stand here.

use super::header::stream_of;
use super::header::{Activation, FORMAT_VERSION, Header, MAGIC, PREFIX_BYTES, Weights};
use super::layer::{Layer, Section};
use super::place::Places;
use super::{LoadError, Model};
use crate::kernel::layout::unpack;
use crate::kernel::{COLUMNS, ROWS, W16_SHIFT};
use crate::layer::input::Feature;
use crate::layer::lstm::CELL_FRAC;
use crate::numeric::rounding::{MULTIPLIER_UNIT, mul_high};

/// The largest magnitude of an input or hidden state: a caller's Q0.15 sample may be -1.
const X_MAX: u64 = 1 << 15;

/// A CRC-32 of nothing yet (ISO-HDLC, the one of zip and Ethernet).
pub(crate) fn crc32() -> crc::Digest<'static, u32> {
    const CRC: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
    static TABLE: crc::Crc<u32> = CRC;
    TABLE.digest()
}

/// CRC-32 of the pieces, one after the other (ISO-HDLC, the one of zip and Ethernet).
pub fn checksum<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> u32 {
    let mut digest = crc32();
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

/// Out of line: what it needs of the stack must not stay in the caller's frame.
#[inline(never)]
pub(super) fn parse(blob: &[u8]) -> Result<Model<'_>, LoadError> {
    if blob.as_ptr().align_offset(4) != 0 {
        return Err(LoadError::Misaligned);
    }
    let found = u32::try_from(blob.len()).unwrap_or(u32::MAX);
    let (head, body) =
        blob.split_first_chunk::<PREFIX_BYTES>().ok_or(LoadError::Truncated { needed: PREFIX_BYTES as u32, found })?;
    let [m0, m1, m2, m3, v0, v1, z0, z1, t0, t1, t2, t3, h0, h1, h2, h3, c0, c1, c2, c3] = *head;
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
    let padded_len = header_len.checked_add(3).ok_or(LoadError::Header)? & !3;
    let (padded_header, words) = body.split_at_checked(padded_len).ok_or(LoadError::Header)?;
    let (header, padding) = padded_header.split_at_checked(header_len).ok_or(LoadError::Header)?;
    let (header, rest) = postcard::take_from_bytes::<Header>(header).map_err(|_| LoadError::Header)?;
    if !rest.is_empty() || [z0, z1].iter().chain(padding).any(|&b| b != 0) {
        return Err(LoadError::Header);
    }
    let empty = header.nodes.iter().any(|n| n.layer.width() == 0);
    if empty || header.inputs == 0 || header.heads.is_empty() || header.nodes.is_empty() {
        return Err(LoadError::Empty);
    }
    let places = Places::new(&header);
    graph(&header, &places)?;
    if places.state > u32::MAX as usize / 8 {
        return Err(LoadError::Header);
    }
    let needed = places.records.saturating_add(header.test_words());
    if needed.saturating_mul(4) != words.len() {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        return Err(LoadError::Length { needed: count(needed), found: count(words.len() / 4) });
    }
    let words = bytemuck::try_cast_slice::<u8, i32>(words).map_err(|_| LoadError::Misaligned)?;
    names(&header)?;
    let model = Model { header, places, words, id };
    for (k, feature) in model.features().enumerate() {
        if !Feature::is_valid(feature) {
            return Err(LoadError::InputMap { feature: k as u16 });
        }
    }
    records(&model)?;
    Ok(model)
}

fn names(header: &Header) -> Result<(), LoadError> {
    // Names go to terminals and displays, which must not be told what to do.
    let mut text = [header.name, header.provenance, header.labels, header.features].into_iter().flat_map(str::chars);
    if text.any(|c| c.is_control() && c != '\n') {
        return Err(LoadError::Names);
    }
    let outputs = header.heads.iter().map(|&node| header.width(node + 1)).sum();
    for (text, count) in [(header.labels, outputs), (header.features, header.inputs as usize)] {
        let lines = text.bytes().filter(|&b| b == b'\n').count() + 1;
        if !text.is_empty() && lines != count {
            return Err(LoadError::Names);
        }
    }
    Ok(())
}

/// Whether every node stands behind its sources, and its width and steps follow from them.
fn graph(header: &Header, places: &Places) -> Result<(), LoadError> {
    let several = cfg!(feature = "layers") && !header.streams.is_empty();
    if !cfg!(feature = "layers") && (header.window > 0 || header.mask) {
        return Err(LoadError::Header);
    }
    // Streams add up to all features; none of them has windows or masks.
    let streams = header.streams.iter().map(|&n| usize::from(n));
    let fit = || streams.clone().all(|n| n > 0) && streams.clone().sum::<usize>() == usize::from(header.inputs);
    if several && !(fit() && header.window == 0 && !header.mask) {
        return Err(LoadError::Header);
    }
    for (k, node) in header.nodes.iter().enumerate() {
        let layer = k as u8;
        let second = node.layer.second().unwrap_or(node.from);
        for source in [node.from, second] {
            let narrow = |k: u8| places.each.get(k as usize).is_some_and(|p| !p.wide);
            let fits = match stream_of(source) {
                Some(stream) => header.stream_width(stream) > 0,
                None => usize::from(source) <= k && source.checked_sub(1).is_none_or(narrow),
            };
            if !fits {
                return Err(LoadError::Graph { layer });
            }
        }
        let steps = header.steps(node.from);
        let fits = match &node.layer {
            Layer::More(more) => more::follows(more, header, node.from),
            Layer::Lstm { .. } | Layer::Dense { .. } => true,
        };
        // Backward walks are a window's and a hidden state's.
        let walks = !node.backward || (header.window > 0 && node.layer.is_recurrent());
        let yields = if node.last { 1 } else { steps };
        // What a stream's first sample finds of another stream is what that left in a node.
        let mine = !cfg!(feature = "layers")
            || stream_of(second).is_none_or(|stream| places.each.get(k).is_some_and(|p| p.stream() == stream));
        let together = node.layer.remembers() || (mine && header.steps(second) == steps);
        if !(fits && walks && together && usize::from(node.steps) == yields) {
            return Err(LoadError::Graph { layer });
        }
        if matches!(node.layer, Layer::Dense { activation: Activation::Softmax, .. })
            && !places.each.get(k).is_some_and(|p| p.wide)
        {
            return Err(LoadError::Softmax { layer });
        }
    }
    // A value of joined inputs has no unit of its own.
    let has_unit = |&node: &u8| match header.nodes.get(node as usize).map(|n| &n.layer) {
        Some(Layer::More(more)) => more::has_unit(more),
        layer => layer.is_some(),
    };
    if header.heads.iter().all(has_unit) { Ok(()) } else { Err(LoadError::Empty) }
}

/// Scales and shifts of each layer, then the bounds of each row.
fn records(model: &Model) -> Result<(), LoadError> {
    let mut words = model.words_from(model.header.input_words());
    for (k, (node, place)) in model.nodes().enumerate() {
        let (layer, index) = (&node.layer, k as u8);
        let z_shift = scales(layer).ok_or(LoadError::Scale { layer: index })?;
        let shape = layer.shape(place.inputs, place.second());
        let mut record = 0;
        for (kind, section) in shape.sections.iter().enumerate().filter(|(_, s)| !s.is_added()) {
            let shift = match layer {
                Layer::More(more) => more::shift(more, kind, z_shift),
                Layer::Lstm { .. } | Layer::Dense { .. } => z_shift,
            };
            let mut mine = words.split_off(..section.words()).unwrap_or_default();
            let added = shape.sections.get(kind + 1).filter(|s| s.is_added());
            let mut others = added.and_then(|s| words.split_off(..s.words())).unwrap_or_default();
            for _ in 0..section.records {
                let mut z = [0; ROWS];
                let fits = reach(section, &mut mine, &mut z).and(match added {
                    Some(section) => reach(section, &mut others, &mut z),
                    None => Some(()),
                });
                let limit = u64::from(i32::MAX as u32 >> (shift & 31));
                if fits.is_none() || z.iter().any(|&z| z > limit) {
                    return Err(LoadError::Accumulator { layer: index, record });
                }
                record += 1;
            }
        }
        let extra = words.split_off(..shape.extra).unwrap_or_default();
        if let Layer::More(more) = layer
            && !more::extra_fits(more, extra)
        {
            return Err(LoadError::Scale { layer: index });
        }
    }
    Ok(())
}

/// A layer's left shift to Q16.16, if its scales and shifts are in range.
fn scales(layer: &Layer) -> Option<u8> {
    // Finite and positive, by the bits: a comparison of floats is a function of its own without an FPU.
    let usable = (1..f32::INFINITY.to_bits()).contains(&layer.scale().to_bits());
    if !usable || layer.cell_frac().is_some_and(|frac| !CELL_FRAC.contains(&frac)) {
        return None;
    }
    let z_shift = match layer {
        Layer::Lstm { z_shift, .. } => *z_shift,
        Layer::Dense { activation, z_shift, .. } => shift_of(*activation, *z_shift)?,
        Layer::More(more) => more::z_shift(more)?,
    };
    (z_shift <= 15).then_some(z_shift)
}

/// Only activations that go through Q16.16 have a shift.
fn shift_of(activation: Activation, z_shift: u8) -> Option<u8> {
    let output = activation.output_shift();
    let shifts = z_shift == 0 || activation.is_squashing() || output.is_some();
    (shifts && output.is_none_or(|s| s <= 31)).then_some(z_shift)
}

#[cfg(feature = "layers")]
mod more {
    //! What is asked of the other layers.

    use super::shift_of;
    use crate::kernel::{COLUMNS, ROWS, W16_SHIFT};
    use crate::model::header::{Activation, Header, Weights};
    use crate::model::more::{Attention, MAX_HEAD, MAX_SLOTS, More};

    /// Whether the width is the sources'.
    pub(super) fn follows(more: &More, header: &Header, from: u8) -> bool {
        let (inputs, width) = (header.width(from), more.width());
        match *more {
            More::Join { second, .. } => width == inputs && width == header.width(second),
            More::Position { rows, .. } => width == inputs && rows > 0,
            More::Attention(ref a) => attention(a, inputs, header.width(a.memory)),
            More::Window { taps, dilation, stride, .. } => {
                taps > 0 && dilation > 0 && stride > 0 && width == usize::from(taps) * inputs
            }
            More::Concat { second, .. } => width == inputs + header.width(second),
            More::Norm { .. } => width == inputs,
            More::Embedding { rows, weights, .. } => {
                inputs == 1 && rows > 0 && rows <= 1 << 15 && weights != Weights::W4
            }
            More::LstmVariant { units, formats, projection, .. } => projection <= units && formats.fit([inputs, width]),
            More::Rnn { activation, formats, .. } => activation != Activation::Softmax && formats.fit([inputs, width]),
            More::Gru { formats, .. } => formats.fit([inputs, width]),
        }
    }

    /// Whether the parts of attention fit together, and what it sums up cannot overflow.
    fn attention(a: &Attention, query: usize, memory: usize) -> bool {
        let [keys, values] = a.sources(memory);
        let (heads, kv, width) = (usize::from(a.heads), usize::from(a.kv_heads), usize::from(a.width));
        let (key, value) = (usize::from(a.key), usize::from(a.value));
        let head = |n: u16| n > 0 && n <= MAX_HEAD && usize::from(n).is_multiple_of(COLUMNS);
        let shapes = kv > 0
            && heads > 0
            && heads.is_multiple_of(kv)
            && head(a.key)
            && head(a.value)
            && (1..=MAX_SLOTS).contains(&a.slots)
            && keys > 0
            && values > 0
            && a.split.is_multiple_of(4)
            && a.projections < 16;
        // What has no matrix is one head's, and what is missing of it zeros; the context of several is whole.
        let parts = (a.projects(0) || (heads == 1 && query <= key))
            && (a.projects(1) || (kv == 1 && keys <= key))
            && (a.projects(2) || (kv == 1 && values <= value))
            && (a.projects(3) || width == heads * value || (heads == 1 && width <= value));
        shapes && parts
    }

    pub(super) fn has_unit(more: &More) -> bool {
        more.has_unit()
    }

    /// The left shift to Q16.16, if the others are in range.
    pub(super) fn z_shift(more: &More) -> Option<u8> {
        match *more {
            More::Gru { z_shift, .. } | More::Attention(Attention { z_shift, .. }) => Some(z_shift),
            More::Rnn { activation, z_shift, .. } => shift_of(activation, z_shift),
            More::LstmVariant { z_shift, peephole, .. } => peephole.is_none_or(|f| f <= 15).then_some(z_shift),
            More::Norm { shift, .. } => (shift <= 31).then_some(0),
            More::Join { product, shift, .. } => (1..=if product { 47 } else { 31 }).contains(&shift).then_some(0),
            More::Position { shift, .. } => (1..=31).contains(&shift).then_some(0),
            More::Embedding { .. } | More::Window { .. } | More::Concat { .. } => Some(0),
        }
    }

    /// The shift that a kind of record must bear: the two parts of a GRU's candidate are added, a projection is not shifted.
    pub(super) fn shift(more: &More, kind: usize, z_shift: u8) -> u8 {
        match more {
            More::Gru { reset_after: true, .. } if kind >= 4 => z_shift + 1,
            More::LstmVariant { .. } if kind == 2 => 0,
            // A matrix yields a 16-bit value; the shift is the scores'.
            More::Attention(_) => 0,
            _ => z_shift,
        }
    }

    /// Whether no score can overflow: half of the range is the products', half what is added by age.
    fn scores_fit(a: &Attention, extra: &[i32]) -> bool {
        let limit = u64::from(i32::MAX as u32 / 2);
        let Some((head, rest)) = extra.split_first_chunk::<{ 2 * ROWS }>() else { return false };
        let [b0, b1, b2, b3, multipliers @ ..] = *head;
        // Products of two 16-bit values, and of a weight and a 16-bit value.
        let most = (u64::from(a.key) << (30 - W16_SHIFT)) + 1;
        let scored = multipliers
            .into_iter()
            .all(|m| super::product_bound(Weights::W16, most, m).is_some_and(|z| z << (a.z_shift & 31) <= limit));
        let [_, rotary, ages, _] = a.extra_words();
        let ages = rest.get(rotary..rotary + ages).unwrap_or_default();
        [b0, b1, b2, b3] == [0; ROWS] && scored && ages.iter().all(|age| u64::from(age.unsigned_abs()) <= limit)
    }

    /// Whether peepholes and gains are 16-bit multipliers.
    pub(super) fn extra_fits(more: &More, extra: &[i32]) -> bool {
        let multipliers = match *more {
            More::LstmVariant { units, peephole: Some(_), .. } => extra.get(..3 * usize::from(units)),
            More::Norm { width, .. } => extra.get(..width.into()),
            More::Join { .. } => extra.get(..2),
            More::Position { .. } => extra.get(..1),
            More::Attention(ref a) => return scores_fit(a, extra),
            _ => None,
        };
        multipliers.unwrap_or_default().iter().all(|m| m.unsigned_abs() <= 32767)
    }
}

#[cfg(not(feature = "layers"))]
mod more {
    //! There are no other layers.

    use crate::model::header::Header;
    use crate::model::more::More;

    pub(super) fn follows(more: &More, _: &Header, _: u8) -> bool {
        match *more {}
    }

    pub(super) fn has_unit(more: &More) -> bool {
        match *more {}
    }

    pub(super) fn z_shift(more: &More) -> Option<u8> {
        match *more {}
    }

    pub(super) fn shift(more: &More, _: usize, _: u8) -> u8 {
        match *more {}
    }

    pub(super) fn extra_fits(more: &More, _: &[i32]) -> bool {
        match *more {}
    }
}

/// Adds to `z` what each row of the next record can reach on any input; none if an accumulator can overflow.
#[inline(never)] // twice in a loop that runs once
fn reach(section: &Section, records: &mut &[i32], z: &mut [u64; ROWS]) -> Option<()> {
    let mut record = records.split_off(..section.record_words())?;
    let weights = section.weights;
    let biases = record.split_off(..ROWS)?;
    z.iter_mut().zip(biases).for_each(|(z, b)| *z += u64::from(b.unsigned_abs()));
    let mut multipliers = record.split_off(..section.parts().count() * ROWS)?;
    for columns in section.parts() {
        let blocks = record.split_off(..columns.div_ceil(COLUMNS) * weights.block_words())?;
        for ((z, &m), acc) in z.iter_mut().zip(multipliers.split_off(..ROWS)?).zip(accumulator_bounds(weights, blocks))
        {
            *z += product_bound(weights, acc, m)?;
        }
    }
    Some(())
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
