//! From the float network to integers: input map, rows, formats.
//!
//! * [`calibrate`] and [`moments`]: what the float network does on representative data: means, ranges and covariances.
//! * [`input`]: the map of each feature to Q0.15.
//! * [`levers`]: what may be done for a layer's accuracy; what is done is [`crate::search`]'s to choose.
//! * [`rows`]: weight rows to integers and multipliers; [`compensate`]: their rounding by covariance.
//! * [`trained`]: rows that were trained as integers, which are kept.
//! * `recurrent`, `pointwise`, `joins` and `attention`: a layer from its rows and ranges.
//!
//! What the integers mean is `docs/numeric.md`; where they stand in the blob is [`crate::emit`]'s business. Networks come
//! [lowered](crate::lower).

mod attention;
pub mod calibrate;
pub mod compensate;
pub mod input;
mod joins;
pub mod levers;
pub mod moments;
mod pointwise;
mod recurrent;
pub mod rows;
pub mod trained;

use crate::lower::device_index;
use calibrate::{Calibration, LayerRanges};
use cellstate::layer::input::Feature;
use cellstate::model::header;
use cellstate::model::layer as device;
use cellstate::model::more::More;
use cellstate_reference::{Activation, Layer as Float, Matrix, Network, Node, Rnn, Source};
use levers::How;
use rows::{Rows, Side};

/// How far beyond the calibrated range a 16-bit output that does not squash can go before it saturates.
const OUTPUT_HEADROOM: f64 = 1.25;
/// The largest left shift that the loader accepts.
const MAX_Z_SHIFT: u8 = 15;
/// One unit of Q16.16.
const Q16: f64 = 1.0 / 65536.0;
/// Pre-activations of this magnitude no longer fit in Q16.16.
const Q16_LIMIT: f64 = 32767.0;

/// One layer in integers.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Shape, formats and place, as they go into the header.
    pub node: header::Node,
    /// Biases, multipliers and weights, kind by kind as in [`device::Shape::sections`].
    pub sections: Vec<Rows>,
    /// The words behind the records.
    pub extra: Vec<i32>,
}

/// A quantized network.
#[derive(Clone, Debug)]
pub struct Quantized {
    /// One map a feature.
    pub features: Vec<Feature>,
    /// The sample that is skipped, in Q0.15.
    pub mask: Option<Vec<i16>>,
    /// Steps of a window, or 0.
    pub window: u16,
    /// Features of each stream, if there are several.
    pub streams: Vec<u16>,
    /// The nodes whose outputs are the model's.
    pub heads: Vec<u8>,
    /// First to last.
    pub layers: Vec<Layer>,
}

/// A layer that cannot be put into integers: its name and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unquantizable {
    /// The layer's name.
    pub layer: String,
    /// Why.
    pub cause: String,
}

/// A layer as the functions for each kind make it: shape and formats, rows, extra words, and what its output is to others.
struct Made {
    layer: device::Layer,
    sections: Vec<Rows>,
    extra: Vec<i32>,
    output: Side,
}

/// What a layer is made from.
struct Context<'a> {
    input: &'a Side,
    /// Its sources one by one.
    sources: &'a [&'a Side],
    seen: &'a LayerRanges,
    how: How,
    /// Whether it keeps its outputs in 32 bits.
    wide: bool,
    /// The integers of zeros at its input.
    zeros: &'a [i16],
}

/// Quantizes a lowered network with the ranges and moments of `calibration`, each node as `plan` says. The same inputs give
/// the same integers on every host.
///
/// # Errors
/// [`Unquantizable`] if a row cannot be represented at all: a weight, a bias or a sum beyond the accumulator's range.
pub fn quantize(network: &Network, calibration: &Calibration, plan: &[How]) -> Result<Quantized, Unquantizable> {
    let features = features(network, calibration, plan);
    // What 32768 counts of each node's output are worth, around which centre; first of all the samples' of each stream.
    let streams = network.streams.len().max(1);
    let mut sides: Vec<Side> = (0..streams)
        .map(|k| input::side(&features[network.features(k)], &calibration.inputs[network.features(k)]))
        .collect();
    let zeros: Vec<i16> = features.iter().map(|f| f.map_float(0.0)).collect();
    let mut layers: Vec<Layer> = Vec::new();
    for (k, node) in network.nodes.iter().enumerate() {
        let fault = |cause: &str| Unquantizable { layer: node.name.clone(), cause: cause.to_owned() };
        let side = |s: &Source| match s {
            Source::Input => &sides[0],
            Source::Stream(k) => &sides[*k],
            Source::Node(n) => &sides[n + streams],
        };
        let input = Side::joined(node.from.iter().map(side));
        let sources: Vec<&Side> = node.from.iter().map(side).collect();
        let taken = network.nodes.iter().any(|n| n.from.contains(&Source::Node(k)));
        let zeros = node.from.iter().flat_map(|&s| match s {
            s @ (Source::Input | Source::Stream(_)) => zeros[network.features(network.stream(s))].to_vec(),
            s @ Source::Node(_) => vec![0; network.width(s)],
        });
        let c = Context {
            input: &input,
            sources: &sources,
            seen: &calibration.layers[k],
            how: plan[k],
            wide: network.heads.iter().any(|h| h.node == k) && !taken,
            zeros: &zeros.collect::<Vec<_>>(),
        };
        if let Some(cause) = unfit(node, &c) {
            return Err(fault(&cause));
        }
        let made = make(&node.layer, &c)
            .ok_or_else(|| fault("a row's weights times the range of its inputs exceed 32 bits"))?;
        let steps = steps(network, &layers, device_source(network, node.from[0]));
        let (from, layer) = join(network, node, made.layer, steps, &mut layers);
        let last = node.last && network.window.is_some();
        layers.push(Layer {
            node: header::Node { from, backward: node.backward, last, steps: if last { 1 } else { steps }, layer },
            sections: made.sections,
            extra: made.extra,
        });
        sides.push(made.output);
    }
    if layers.len() > header::MAX_LAYERS || network.heads.len() > header::MAX_HEADS {
        let cause = format!(
            "the model has {} layers and {} outputs on the device, of at most {} and {}",
            layers.len(),
            network.heads.len(),
            header::MAX_LAYERS,
            header::MAX_HEADS
        );
        return Err(Unquantizable { layer: network.nodes[0].name.clone(), cause });
    }
    let mask = network.mask.map(|m| features.iter().map(|f| f.map_float(m as f32)).collect());
    let heads = network.heads.iter().map(|h| device_index(network, h.node) as u8).collect();
    let streams = if streams > 1 { network.streams.iter().map(|&n| n as u16).collect() } else { Vec::new() };
    Ok(Quantized { features, mask, window: network.window.unwrap_or(0) as u16, streams, heads, layers })
}

/// The most steps of a source on the device.
fn steps(network: &Network, layers: &[Layer], source: u8) -> u16 {
    let before =
        usize::from(source).checked_sub(1).and_then(|k| layers.get(k)).filter(|_| header::stream_of(source).is_none());
    before.map_or(network.window.unwrap_or(1) as u16, |l| l.node.steps)
}

/// The map of each feature: as it is where an embedding takes it.
fn features(network: &Network, calibration: &Calibration, plan: &[How]) -> Vec<Feature> {
    let mut features = input::features(&network.input, &calibration.inputs, trained::takes_input(network, plan));
    for node in network.nodes.iter().filter(|n| matches!(n.layer, Float::Embedding(_))) {
        if let [source @ (Source::Input | Source::Stream(_))] = node.from[..] {
            for feature in &mut features[network.features(network.stream(source))] {
                *feature = Feature { multiplier: 1, bias: 0, shift: 0, centre: 0.0, gain: 1.0 };
            }
        }
    }
    features
}

/// Joins the sources of a node, by layers of their own where the device's layer does not take them one by one; gives the
/// source that they are then, and the layer with its second one.
fn join(
    network: &Network,
    node: &Node,
    mut layer: device::Layer,
    steps: u16,
    layers: &mut Vec<Layer>,
) -> (u8, device::Layer) {
    let first = device_source(network, node.from[0]);
    let joined = match &mut layer {
        device::Layer::More(More::Join { second, .. }) => {
            *second = device_source(network, node.from[1]);
            return (first, layer);
        }
        device::Layer::More(More::Attention(a)) => {
            let steps = self::steps(network, layers, device_source(network, node.from[1]));
            a.memory = concat(network, &node.from[1..], steps, layers);
            return (first, layer);
        }
        _ => concat(network, &node.from, steps, layers),
    };
    (joined, layer)
}

/// The source that several are together.
fn concat(network: &Network, sources: &[Source], steps: u16, layers: &mut Vec<Layer>) -> u8 {
    let mut from = device_source(network, sources[0]);
    let mut width = network.width(sources[0]);
    for &second in &sources[1..] {
        width += network.width(second);
        let join = More::Concat { width: width as u16, second: device_source(network, second) };
        let node = header::Node { steps, ..header::Node::streaming(from, device::Layer::More(join)) };
        layers.push(Layer { node, sections: Vec::new(), extra: Vec::new() });
        from = layers.len() as u8;
    }
    from
}

/// Why no device can run a node, if so.
fn unfit(node: &Node, c: &Context) -> Option<String> {
    match &node.layer {
        Float::Window { .. } if c.wide => {
            Some("it is an output, and joined inputs have no unit of their own".to_owned())
        }
        Float::Embedding(_) if !matches!(node.from[..], [Source::Input | Source::Stream(_)]) => {
            Some("its index is computed, and on the device it must be the sample itself".to_owned())
        }
        Float::Attention(a) => attention::unfit(a, c),
        Float::Rnn(Rnn { activation: Activation::Silu | Activation::Gelu { .. }, .. }) => {
            Some("its activation is one of feed-forward layers on the device".to_owned())
        }
        Float::Affine { .. } => Some("it was not folded; please report this".to_owned()),
        layer => {
            let h = recurrent::beyond_one(layer)?;
            Some(format!("it begins with a hidden state of {h}, beyond the 1 that it can hold"))
        }
    }
}

/// A layer in integers; none if some row does not fit.
fn make(layer: &Float, c: &Context) -> Option<Made> {
    match layer {
        Float::Lstm(l) => recurrent::lstm(l, c),
        Float::Gru(g) => recurrent::gru(g, c),
        Float::Rnn(r) => recurrent::rnn(r, c),
        Float::Dense(d) => pointwise::dense(d, c),
        Float::Embedding(table) => Some(pointwise::embedding(table, c)),
        Float::Sum => joins::join(false, c),
        Float::Product => joins::join(true, c),
        Float::Position(table) => joins::position(table, c),
        Float::Attention(a) => attention::attention(a, c),
        Float::LayerNorm { scale, offset, epsilon, rms } => pointwise::norm(scale, offset, *epsilon, *rms, c),
        Float::Window { taps, dilation, stride, causal } => {
            Some(pointwise::window([*taps, *dilation, *stride], *causal, c))
        }
        Float::Affine { .. } => None,
    }
}

fn device_source(network: &Network, source: Source) -> u8 {
    match source {
        Source::Input => 0,
        Source::Stream(k) => (256 - k) as u8,
        Source::Node(n) => device_index(network, n) as u8 + 1,
    }
}

/// The smallest shift of the pre-activation at which every row is representable.
fn smallest_shift<T>(attempt: impl Fn(f64) -> Option<T>, base: f64) -> Option<(u8, T)> {
    (0..=MAX_Z_SHIFT).find_map(|shift| Some((shift, attempt(base * f64::from(1u32 << shift))?)))
}

/// The device's activation, and the factor of the pre-activation that it wants.
fn activation(a: Activation) -> (header::Activation, f64) {
    match a {
        Activation::Linear => (header::Activation::Linear, 1.0),
        Activation::Relu => (header::Activation::Relu, 1.0),
        Activation::Sigmoid => (header::Activation::Sigmoid, 1.0),
        Activation::Tanh => (header::Activation::Tanh, 1.0),
        Activation::Softmax => (header::Activation::Softmax, 1.0),
        Activation::HardSigmoid { slope } => (header::Activation::HardSigmoid, slope),
        // The shift follows from the range of the outputs.
        Activation::Silu => (header::Activation::Silu { shift: 0 }, 1.0),
        Activation::Gelu { tanh } => (header::Activation::Gelu { tanh, shift: 0 }, 1.0),
    }
}

/// The one rounding rule: half up.
fn round(v: f64) -> f64 {
    (v + 0.5).floor()
}

/// The unit of a 16-bit output of this magnitude that does not squash, as the header holds it.
fn output_scale(magnitude: f64) -> f64 {
    f64::from(((magnitude * OUTPUT_HEADROOM).max(1e-9) / 32767.0) as f32)
}

/// A matrix whose rows are each multiplied by `factor(row)`.
fn scaled(m: &Matrix, factor: impl Fn(usize) -> f64) -> Matrix {
    Matrix::from_fn(m.rows, m.cols, |r, c| m.row(r)[c] * factor(r))
}
