//! What every network must be, whichever file it came from: shapes that fit, finite values, an order that can be run.

use crate::error::{Error, Result};
use cellstate::model::header::MAX_LAYERS;
use cellstate_reference::{
    Activation, Attention, Dense, Gru, Initial, Layer, Lstm, Matrix, Network, Node, Rnn, Score, Source,
};
use std::path::Path;

/// The widest vector, and the longest table.
const MOST: usize = u16::MAX as usize;

/// The most input streams.
const MAX_STREAMS: usize = 4;

/// What is wrong with a layer: the cause and the remedy.
type Fault = (String, &'static str);

pub(super) fn check(model: &Path, network: &Network) -> Result<()> {
    let count = network.nodes.len();
    if count == 0 || count > MAX_LAYERS {
        let cause = format!("it has {count} layers with weights");
        return Err(Error::new(model, cause, format_args!("give a model with 1 to {MAX_LAYERS} layers")));
    }
    let inputs = network.inputs();
    let streams = &network.streams;
    if !streams.is_empty() {
        let sum: usize = streams.iter().fold(0, |sum, &n| sum.saturating_add(n));
        if streams.contains(&0) || streams.len() > MAX_STREAMS || sum != inputs {
            let cause = format!("its streams have {streams:?} values of {inputs}");
            return Err(Error::new(model, cause, format_args!("give 1 to {MAX_STREAMS} inputs, each with a width")));
        }
        if streams.len() > 1 && (network.window.is_some() || network.mask.is_some()) {
            let cause = "it has several inputs, and a layer that needs a whole window, or a mask";
            return Err(Error::new(model, cause, "leave out bidirectional layers, and Masking"));
        }
    }
    if inputs == 0 || inputs > MOST {
        let cause = format!("it takes {inputs} features");
        return Err(Error::new(model, cause, "give a model with 1 to 65535 features"));
    }
    let mut sequences = vec![true; count];
    for (k, node) in network.nodes.iter().enumerate() {
        let fault = node_fault(network, k, &mut sequences).or_else(|| layer_fault(&node.layer));
        if let Some((cause, remedy)) = fault {
            return Err(Error::new(model, cause, remedy).in_layer(&node.name));
        }
    }
    if network.window.is_none()
        && let Some(node) = network.nodes.iter().find(|n| n.backward)
    {
        let cause =
            "it walks backwards, for which all steps must be there, and the model does not say how many they are";
        return Err(Error::new(model, cause, "give --window with the number of steps").in_layer(&node.name));
    }
    if network.window.is_some_and(|steps| steps == 0 || steps > MOST) {
        return Err(Error::new(model, "the window is empty or too long", "give --window from 1 to 65535"));
    }
    if network.heads.is_empty() || network.heads.iter().any(|h| h.node >= count) {
        return Err(Error::new(model, "it has no output", "save a model with outputs"));
    }
    Ok(())
}

/// How a node is joined to the others. `sequences` tells of each earlier node whether it yields every step.
fn node_fault(network: &Network, k: usize, sequences: &mut [bool]) -> Option<Fault> {
    let node = &network.nodes[k];
    let late = |s: &Source| match *s {
        Source::Input => false,
        Source::Stream(n) => n == 0 || n >= network.streams.len(),
        Source::Node(n) => n >= k,
    };
    if node.from.is_empty() || node.from.iter().any(late) {
        return Some(("its inputs are not layers before it".to_owned(), "save a model without cycles"));
    }
    let every = |s: &Source| match s {
        Source::Input | Source::Stream(_) => true,
        Source::Node(n) => sequences[*n],
    };
    let steps: Vec<bool> = node.from.iter().map(every).collect();
    let remembers = matches!(node.layer, Layer::Attention(_));
    // What comes from another stream is its latest value either way.
    let own = |s: &Source| network.stream(*s) == network.stream(node.from[0]);
    if !remembers && node.from.iter().zip(&steps).any(|(s, &every)| own(s) && every != steps[0]) {
        let cause = "one of its inputs is a sequence and another only a last step".to_owned();
        return Some((cause, "join sequences with sequences"));
    }
    if node.layer.is_recurrent() && !steps[0] {
        let cause = "it is fed by a layer that returns only its last state".to_owned();
        return Some((cause, "give that one return_sequences=True"));
    }
    sequences[k] = steps[0] && !node.last;
    if let Some(fault) = joint_fault(network, node) {
        return Some(fault);
    }
    let width: usize = network.input_width(k);
    if let Some(needed) = node.layer.inputs()
        && needed != width
    {
        let cause = format!("it takes {needed} values and the layer before it yields {width}");
        return Some((cause, "put the layers in the order in which the model runs them"));
    }
    let sizes = [width, node.layer.outputs(width)];
    if sizes.iter().any(|&n| n == 0 || n > MOST) {
        return Some((format!("its shape is {sizes:?}"), "give widths from 1 to 65535"));
    }
    if node.backward && !node.layer.is_recurrent() {
        return Some(("it walks backwards and has no state".to_owned(), "leave out its direction"));
    }
    None
}

/// Whether the sources of a layer that takes several as they are have the widths that it needs.
fn joint_fault(network: &Network, node: &Node) -> Option<Fault> {
    let widths: Vec<usize> = node.from.iter().map(|&s| network.width(s)).collect();
    let fits = match &node.layer {
        Layer::Sum | Layer::Product => widths.len() > 1 && widths.iter().all(|&w| w == widths[0]),
        Layer::Attention(a) => {
            let takes = |d: &Option<Dense>, width: usize, out: usize| match d {
                Some(d) => d.w.cols == width && d.w.rows == out,
                None => width == out,
            };
            let [keys, values] = match (widths[..].get(1..), a.apart) {
                (Some(&[memory]), None) => [memory; 2],
                (Some(&[keys, values]), Some(apart)) if apart == values => [keys, values],
                _ => return Some(("its memories are not one input, or keys and values".to_owned(), SAVE_AGAIN)),
            };
            widths[0] == a.query
                && takes(&a.q, widths[0], a.heads * a.key)
                && takes(&a.k, keys, a.kv_heads * a.key)
                && takes(&a.v, values, a.kv_heads * a.value)
                && a.o.as_ref().is_none_or(|o| o.w.cols == a.heads * a.value)
        }
        _ => return None,
    };
    let cause = || format!("its inputs have {widths:?} values, which do not fit together");
    (!fits).then(|| (cause(), SAVE_AGAIN))
}

/// What helps where parts do not fit.
const SAVE_AGAIN: &str = "save the model again";

/// Whether the parts of attention fit, and their values.
fn attention(a: &Attention) -> (bool, Vec<&[f64]>) {
    let parts = [&a.q, &a.k, &a.v, &a.o].into_iter().flatten();
    let linear = |d: &&Dense| {
        d.w.data.len() == d.w.rows * d.w.cols && d.b.len() == d.w.rows && d.activation == Activation::Linear
    };
    let heads = a.kv_heads > 0 && a.heads > 0 && a.heads.is_multiple_of(a.kv_heads) && a.key > 0 && a.value > 0;
    let sizes = a.heads.saturating_mul(a.key.max(a.value)) <= MOST && (1..=MOST).contains(&a.slots);
    let rotary = a.rotary.is_empty() || a.rotary.len() * 2 == a.key;
    let ages = a.ages.is_empty() || a.ages.len() == a.heads * a.slots;
    let mut values: Vec<&[f64]> = parts.clone().flat_map(|d| [&d.w.data[..], &d.b]).collect();
    values.extend([&a.rotary[..], &a.ages]);
    let scored = match &a.score {
        Score::Dot { scale } => scale.is_finite(),
        Score::Additive { v } => {
            values.push(v);
            v.len() == a.key
        }
    };
    (heads && sizes && rotary && ages && scored && parts.into_iter().all(|d| linear(&d)), values)
}

/// A layer's own shapes and values.
fn layer_fault(layer: &Layer) -> Option<Fault> {
    let shaped = |m: &Matrix, rows: usize, cols: usize| (m.rows, m.cols, m.data.len()) == (rows, cols, rows * cols);
    let started = |initial: &Option<Initial>, h: usize, c: usize| {
        initial.as_ref().is_none_or(|i| i.h.len() == h && i.c.len() == c)
    };
    let (fits, values): (bool, Vec<&[f64]>) = match layer {
        Layer::Lstm(Lstm { w, u, b, peephole, projection, initial, .. }) => {
            let (units, hidden) = (b.len() / 4, u.cols);
            let projected =
                projection.as_ref().map_or(hidden == units, |p| shaped(p, hidden, units) && hidden <= units);
            let peeps = peephole.as_ref().is_none_or(|p| p.len() == units);
            let fits = shaped(w, 4 * units, w.cols) && shaped(u, 4 * units, hidden) && projected && peeps;
            let mut values = vec![&w.data[..], &u.data, b];
            values.extend(projection.iter().map(|p| &p.data[..]));
            values.extend(peephole.iter().map(|p| p.as_flattened()));
            (fits && started(initial, hidden, units), values)
        }
        Layer::Gru(Gru { w, u, b, reset_after, initial, .. }) => {
            let units = b.len() / 3;
            let fits = shaped(w, 3 * units, w.cols) && shaped(u, 3 * units, units) && started(initial, units, 0);
            let mut values = vec![&w.data[..], &u.data, b];
            values.extend(reset_after.as_deref());
            (fits && reset_after.as_ref().is_none_or(|b| b.len() == units), values)
        }
        Layer::Rnn(Rnn { w, u, b, activation, initial }) => {
            let units = b.len();
            let fits = shaped(w, units, w.cols) && shaped(u, units, units) && *activation != Activation::Softmax;
            (fits && started(initial, units, 0), vec![&w.data, &u.data, b])
        }
        Layer::Dense(Dense { w, b, .. }) => (shaped(w, b.len(), w.cols), vec![&w.data, b]),
        Layer::Embedding(table) | Layer::Position(table) => {
            (shaped(table, table.rows, table.cols) && table.rows <= MOST, vec![&table.data])
        }
        Layer::Sum | Layer::Product => (true, Vec::new()),
        Layer::Attention(a) => attention(a),
        Layer::LayerNorm { scale, offset, epsilon, .. } => {
            (scale.len() == offset.len() && *epsilon >= 0.0, vec![scale, offset])
        }
        Layer::Affine { scale, offset } => (scale.len() == offset.len(), vec![scale, offset]),
        Layer::Window { taps, dilation, stride, .. } => {
            let reach = taps.checked_sub(1).and_then(|t| t.checked_mul(*dilation)).is_some_and(|r| r < MOST);
            (reach && *dilation > 0 && *stride > 0 && *stride <= MOST, Vec::new())
        }
    };
    if !fits {
        return Some(("its parts have shapes that do not fit together".to_owned(), SAVE_AGAIN));
    }
    let initial = layer.initial().into_iter().flat_map(|i| [&i.h[..], &i.c]);
    if values.into_iter().chain(initial).flatten().any(|v| !v.is_finite()) {
        return Some(("a weight is NaN or infinite".to_owned(), "train again: the training diverged"));
    }
    None
}
