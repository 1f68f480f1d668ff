//! Headers of every shape, with the words that they ask for: past all that a mutated blob stumbles over.

use crate::blob::{Aligned, assemble};
use crate::exercise::exercise;
use arbitrary::{Result, Unstructured};
use cellstate::Model;
use cellstate::kernel::ROWS;
use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Header, Node, Weights};
use cellstate::model::layer::{Layer, Section};
use cellstate::model::more::{Attention, Formats, More};

/// Makes a blob as the bytes choose, and does with it what they say; now and then one that lies about itself.
pub fn shaped(bytes: &[u8]) {
    let _ = made(&mut Unstructured::new(bytes));
}

fn made(u: &mut Unstructured) -> Result<()> {
    let labels = ["", "a", "a\nb", "a\nb\nc\nd"];
    let text = labels[u.choose_index(labels.len())?];
    let mut header = Header {
        name: "shaped",
        provenance: "",
        labels: text,
        features: "",
        inputs: width(u)?,
        window: if u.ratio(1, 4)? { u.int_in_range(1..=6)? } else { 0 },
        mask: u.ratio(1, 8)?,
        tests: if u.ratio(1, 4)? { u.int_in_range(1..=4)? } else { 0 },
        heads: heapless::Vec::new(),
        streams: heapless::Vec::new(),
        nodes: heapless::Vec::new(),
    };
    if header.window == 0 && !header.mask && u.ratio(1, 4)? {
        for _ in 0..u.int_in_range(1..=4)? {
            let _ = header.streams.push(u.int_in_range(1..=8)?);
        }
        header.inputs = header.streams.iter().sum();
    }
    for k in 0..u.int_in_range(1..=6)? {
        let node = node(u, &header, k)?;
        let _ = header.nodes.push(node);
    }
    for _ in 0..u.int_in_range(1..=3)? {
        let _ = header.heads.push(u.choose_index(header.nodes.len())? as u8);
    }
    if u.ratio(1, 8)? {
        lie(u, &mut header)?;
    }
    let words = words(u, &header)?;
    let blob = Aligned::new(&assemble(&header, &words));
    if let Ok(model) = Model::parse(blob.bytes()) {
        exercise(&model, u);
    }
    Ok(())
}

/// Small, mostly.
fn width(u: &mut Unstructured) -> Result<u16> {
    if u.ratio(1, 32)? { u.int_in_range(1..=100) } else { u.int_in_range(1..=20) }
}

fn weights(u: &mut Unstructured) -> Result<Weights> {
    Ok(*u.choose(&[Weights::W8, Weights::W16, Weights::W4])?)
}

fn activation(u: &mut Unstructured) -> Result<Activation> {
    Ok(match u.int_in_range(0..=7)? {
        0 => Activation::Linear,
        1 => Activation::Relu,
        2 => Activation::Sigmoid,
        3 => Activation::Tanh,
        4 => Activation::Softmax,
        5 => Activation::HardSigmoid,
        6 => Activation::Silu { shift: u.int_in_range(0..=31)? },
        _ => Activation::Gelu { tanh: u.arbitrary()?, shift: u.int_in_range(0..=31)? },
    })
}

/// A source before node `k`.
fn source(u: &mut Unstructured, header: &Header, k: u8) -> Result<u8> {
    let streams = header.streams.len().saturating_sub(1) as u8;
    if streams > 0 && u.ratio(1, 3)? {
        return Ok((256 - usize::from(u.int_in_range(1..=streams)?)) as u8);
    }
    if u.ratio(3, 4)? { Ok(k) } else { u.int_in_range(0..=k) }
}

fn node(u: &mut Unstructured, header: &Header, k: u8) -> Result<Node> {
    let from = source(u, header, k)?;
    let layer = layer(u, header, from, k)?;
    let windowed = header.window > 0;
    let last = u.ratio(1, 4)?;
    let steps = if last { 1 } else { header.steps(from) as u16 };
    let backward = windowed && layer.is_recurrent() && u.ratio(1, 3)?;
    Ok(Node { from, backward, last, steps, layer })
}

fn layer(u: &mut Unstructured, header: &Header, from: u8, k: u8) -> Result<Layer> {
    let inputs = header.width(from) as u16;
    let (units, weights, scale) = (width(u)?, weights(u)?, 0.5);
    let cell_frac = u.int_in_range(18..=30)?;
    let z_shift = u.int_in_range(0..=15)?;
    let [initial, hard] = u.arbitrary()?;
    let shifted = |a: Activation| if a.is_squashing() || a.output_shift().is_some() { z_shift } else { 0 };
    let formats = if u.arbitrary()? {
        Formats::of(weights)
    } else {
        Formats { w: weights, u: self::weights(u)?, group: 4 * u.int_in_range(0..=8)? }
    };
    Ok(Layer::More(match u.int_in_range(0..=12)? {
        0 => return Ok(Layer::Lstm { units, weights, cell_frac, z_shift, initial }),
        1 | 2 => {
            let activation = activation(u)?;
            return Ok(Layer::Dense { outputs: units, weights, activation, z_shift: shifted(activation), scale });
        }
        3 => More::Gru { units, formats, z_shift, initial, hard, reset_after: u.arbitrary()? },
        4 => {
            let activation = activation(u)?;
            More::Rnn { units, formats, activation, z_shift: shifted(activation), scale, initial }
        }
        5 => {
            let peephole = if u.arbitrary()? { Some(u.int_in_range(0..=15)?) } else { None };
            let projection = u.int_in_range(0..=units)?;
            More::LstmVariant { units, formats, cell_frac, z_shift, initial, hard, peephole, projection, scale }
        }
        6 => More::Embedding { rows: 1 + width(u)?, width: units, weights, scale },
        7 => More::Norm {
            width: inputs,
            shift: u.int_in_range(0..=31)?,
            scale,
            epsilon: u.arbitrary()?,
            rms: u.arbitrary()?,
        },
        8 => {
            let (taps, dilation) = (u.int_in_range(1..=5)?, u.int_in_range(1..=4)?);
            let stride = u.int_in_range(1..=4)?;
            More::Window { width: inputs.saturating_mul(taps), taps, dilation, stride, causal: u.arbitrary()? }
        }
        9 => {
            let second = source(u, header, k)?;
            More::Concat { width: inputs.saturating_add(header.width(second) as u16), second }
        }
        10 => {
            let (second, product) = (source(u, header, k)?, u.arbitrary()?);
            let shift = u.int_in_range(1..=if product { 47 } else { 31 })?;
            More::Join { width: inputs, second, product, shift, scale }
        }
        11 => More::Position { width: inputs, rows: width(u)?, shift: u.int_in_range(1..=31)?, scale },
        _ => return attention(u, header, inputs, k).map(Layer::More),
    }))
}

/// Attention; what has no matrix is one head's, and mostly as wide as it must be.
fn attention(u: &mut Unstructured, header: &Header, query: u16, k: u8) -> Result<More> {
    let memory = source(u, header, k)?;
    let kv_heads = u.int_in_range(1..=3)?;
    let heads = kv_heads * u.int_in_range(1..=3)?;
    let [key, value] = [4 * u.int_in_range(1..=6)?, 4 * u.int_in_range(1..=6)?];
    let width_of_memory = header.width(memory) as u16;
    let split = if width_of_memory > 4 && u.arbitrary()? { 4 } else { 0 };
    let [keys, values] = if split == 0 { [width_of_memory; 2] } else { [split, width_of_memory - split] };
    let free: u8 = u.arbitrary()?;
    let context = u16::from(heads) * value;
    let width = if free & 8 == 0 { context } else { width(u)? };
    let needed = u8::from(heads > 1 || query > key)
        | u8::from(kv_heads > 1 || keys > key) << 1
        | u8::from(kv_heads > 1 || values > value) << 2;
    Ok(More::Attention(Attention {
        width,
        memory,
        split,
        heads,
        kv_heads,
        key,
        value,
        slots: if u.ratio(1, 16)? { u.int_in_range(1..=508)? } else { u.int_in_range(1..=12)? },
        causal: u.arbitrary()?,
        additive: u.arbitrary()?,
        projections: (needed | free) & 15,
        weights: weights(u)?,
        z_shift: u.int_in_range(0..=15)?,
        rotary: u.arbitrary()?,
        ages: u.arbitrary()?,
        scale: 0.5,
    }))
}

/// Something else than what follows.
fn lie(u: &mut Unstructured, header: &mut Header) -> Result<()> {
    let k = u.choose_index(header.nodes.len())?;
    let Some(node) = header.nodes.get_mut(k) else { return Ok(()) };
    match u.int_in_range(0..=9)? {
        0 => node.from = u.arbitrary()?,
        1 => node.steps = u.arbitrary()?,
        2 => node.backward = !node.backward,
        3 => header.window = u.arbitrary()?,
        4 => header.inputs = u.arbitrary()?,
        5 => header.tests = u.int_in_range(0..=300)?,
        6 => drop(header.streams.push(u.arbitrary()?)),
        7 => drop(header.heads.push(u.arbitrary()?)),
        8 => {
            if let Layer::More(More::Attention(a)) = &mut node.layer {
                match u.int_in_range(0..=5)? {
                    0 => a.heads = u.arbitrary()?,
                    1 => a.kv_heads = u.arbitrary()?,
                    2 => a.key = u.arbitrary()?,
                    3 => a.value = u.arbitrary()?,
                    4 => a.slots = u.arbitrary()?,
                    _ => (a.split, a.projections) = (u.arbitrary()?, u.arbitrary()?),
                }
            }
        }
        _ => match &mut node.layer {
            Layer::Lstm { units, .. } | Layer::More(More::Gru { units, .. }) => *units = u.arbitrary()?,
            Layer::Dense { outputs, .. } => *outputs = u.arbitrary()?,
            Layer::More(More::Rnn { formats, .. } | More::LstmVariant { formats, .. }) => {
                formats.group = u.arbitrary()?;
            }
            Layer::More(More::Window { taps, dilation, stride, .. }) => {
                (*taps, *dilation, *stride) = (u.arbitrary()?, u.arbitrary()?, u.arbitrary()?);
            }
            Layer::More(More::Join { second, .. } | More::Concat { second, .. }) => *second = u.arbitrary()?,
            Layer::More(_) => {}
        },
    }
    Ok(())
}

/// The most words: what asks for more is refused for its length.
const MOST: usize = 1 << 13;

/// As many words as the header asks for, from one seed: multipliers and biases as small as `quiet` says, anything else anything.
fn words(u: &mut Unstructured, header: &Header) -> Result<Vec<i32>> {
    let mut seed = u.arbitrary::<u64>()? | 1;
    let mut next = || {
        // Xorshift, as good as any for weights.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 16) as i32
    };
    let quiet: u32 = u.int_in_range(0..=24)?;
    let mut words = Vec::new();
    for _ in 0..header.inputs {
        let (multiplier, bias) = (i32::from((next() as i16).max(-32767)), next() >> 1);
        let shift = if multiplier % 2 == 0 { 0 } else { (bias & 15) as u32 };
        words.extend(Feature { multiplier, bias, shift, centre: 0.0, gain: 1.0 }.to_words());
    }
    let mut any = |n: usize, words: &mut Vec<i32>| {
        let n = n.min(MOST.saturating_sub(words.len()));
        words.extend((0..n).map(|_| next()));
    };
    let mask = header.input_words().saturating_sub(words.len());
    any(mask, &mut words);
    for node in &header.nodes {
        let second = node.layer.second().map_or(0, |s| header.width(s));
        let shape = node.layer.shape(header.width(node.from), second);
        for section in shape.sections.iter().filter(|s| s.records > 0) {
            for _ in 0..section.records.min(MOST / section.record_words()) {
                let start = words.len();
                any(section.record_words(), &mut words);
                calm(section, words.get_mut(start..).unwrap_or_default(), quiet);
            }
        }
        let start = words.len();
        any(shape.extra, &mut words);
        let extra = words.get_mut(start..).unwrap_or_default();
        if let Layer::More(more) = &node.layer {
            fit(more, extra, quiet);
        }
    }
    any(header.test_words(), &mut words);
    Ok(words)
}

/// Biases and multipliers of a record that leave room for each other.
fn calm(section: &Section, record: &mut [i32], quiet: u32) {
    let parts = ROWS * section.parts().count();
    let (biases, rest) = record.split_at_mut(ROWS.min(record.len()));
    for bias in biases {
        *bias >>= 1 + quiet;
    }
    for multiplier in rest.iter_mut().take(parts) {
        *multiplier = (*multiplier & i32::MAX) >> quiet & !0xffff;
    }
}

/// Words behind a layer's records that are multipliers.
fn fit(more: &More, extra: &mut [i32], quiet: u32) {
    let gains = match *more {
        More::LstmVariant { units, peephole: Some(_), .. } => 3 * usize::from(units),
        More::Norm { width, .. } => width.into(),
        More::Join { .. } => 2,
        More::Position { .. } => 1,
        More::Attention(ref a) => {
            let [head, angles, ages, _] = a.extra_words();
            for (k, word) in extra.iter_mut().enumerate() {
                match k {
                    _ if k < head / 2 => *word = 0,
                    _ if k < head => *word = (*word & i32::MAX) >> quiet & !0xffff,
                    _ if (head + angles..head + angles + ages).contains(&k) => *word >>= 2,
                    _ => {}
                }
            }
            return;
        }
        _ => 0,
    };
    extra.iter_mut().take(gains).for_each(|v| *v = i32::from(*v as i16).max(-32767));
}
