//! `nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells: every stacked layer, in one direction or both.
//!
//! Rows are gate by gate, in the order i, f, g, o or r, z, n; the two biases of a row add, but for the candidate of a GRU,
//! whose second one is inside the reset product. Shapes for H units, P values of hidden state and I inputs, with 4, 3 or 1
//! gates: `weight_ih` (gates H, I), `weight_hh` (gates H, P), `bias_ih` and `bias_hh` (gates H), `weight_hr` (P, H).

use super::kind::Kind;
use super::tensors::Tensors;
use crate::error::Result;
use crate::import::map::Entry;
use cellstate_reference::{Activation, Gru, Initial, Layer, Lstm, Rnn};

/// One stacked layer.
pub(super) struct Level {
    pub(super) forward: Layer,
    pub(super) backward: Option<Layer>,
}

/// All levels of a recurrent module, the first one first; never empty.
pub(super) fn levels(tensors: &Tensors, kind: Kind, entry: &Entry) -> Result<Vec<Level>> {
    let module = entry.name.as_str();
    let activation = match kind {
        Kind::Rnn => nonlinearity(tensors, entry)?,
        _ => Activation::Tanh,
    };
    let mut known = Vec::new();
    let mut read = |suffix: &str| {
        let layer = direction(tensors, kind, module, suffix, activation)?;
        known.extend(PARTS.map(|part| format!("{part}{suffix}")));
        Ok(layer)
    };
    let mut levels = Vec::new();
    if tensors.has(module, "weight_ih") {
        levels.push(Level { forward: read("")?, backward: None });
    } else {
        let reversed = tensors.has(module, "weight_ih_l0_reverse");
        // At least one, so that a missing tensor is named.
        let more = |k: &usize| *k == 0 || tensors.has(module, &format!("weight_ih_l{k}"));
        for k in (0..).take_while(more) {
            let forward = read(&format!("_l{k}"))?;
            let backward = reversed.then(|| read(&format!("_l{k}_reverse"))).transpose()?;
            levels.push(Level { forward, backward });
        }
    }
    known.extend(entry.initial.iter().filter_map(|full| tensors.within(module, full)).map(str::to_owned));
    tensors.only(module, &known)?;
    if !entry.initial.is_empty() {
        begin(tensors, entry, &mut levels)?;
    }
    Ok(levels)
}

/// The states before the first step, which PyTorch takes as tensors (levels * directions, 1, width): of each level the forward
/// one, then the backward one.
fn begin(tensors: &Tensors, entry: &Entry, levels: &mut [Level]) -> Result<()> {
    let module = entry.name.as_str();
    let mut layers: Vec<&mut Layer> =
        levels.iter_mut().flat_map(|l| [Some(&mut l.forward), l.backward.as_mut()]).flatten().collect();
    let count = layers.len();
    for (k, layer) in layers.iter_mut().enumerate() {
        let hidden = layer.outputs(0);
        let cells = if let Layer::Lstm(l) = &layer { l.units() } else { 0 };
        let mut vectors = [Vec::new(), Vec::new()];
        let due = if cells > 0 { &[hidden, cells][..] } else { &[hidden] };
        if entry.initial.len() != due.len() {
            let cause = format!("its initial names {} tensors where {} are due", entry.initial.len(), due.len());
            return Err(tensors.refuse(module, cause, "name h_0, and c_0 of an LSTM"));
        }
        for ((vector, full), &width) in vectors.iter_mut().zip(&entry.initial).zip(due) {
            *vector = tensors.vectors(module, full, count, width)?[k * width..][..width].to_vec();
        }
        let [h, c] = vectors;
        match layer {
            Layer::Lstm(Lstm { initial, .. }) | Layer::Gru(Gru { initial, .. }) | Layer::Rnn(Rnn { initial, .. }) => {
                *initial = Some(Initial { h, c });
            }
            _ => {}
        }
    }
    Ok(())
}

const PARTS: [&str; 5] = ["weight_ih", "weight_hh", "weight_hr", "bias_ih", "bias_hh"];

fn nonlinearity(tensors: &Tensors, entry: &Entry) -> Result<Activation> {
    match entry.nonlinearity.as_deref() {
        Some("tanh") => Ok(Activation::Tanh),
        Some("relu") => Ok(Activation::Relu),
        other => {
            let cause = other.map_or_else(
                || "the file does not tell the RNN's nonlinearity".to_owned(),
                |name| format!("its nonlinearity is \"{name}\""),
            );
            let remedy = "say nonlinearity = \"tanh\" (PyTorch's default) or \"relu\" in its [[layer]] of model.toml";
            Err(tensors.refuse(&entry.name, cause, remedy))
        }
    }
}

/// One direction of one level, whose tensors end in `suffix`.
fn direction(tensors: &Tensors, kind: Kind, module: &str, suffix: &str, activation: Activation) -> Result<Layer> {
    let name = |part: &str| format!("{part}{suffix}");
    let gates = match kind {
        Kind::Lstm => 4,
        Kind::Gru => 3,
        _ => 1,
    };
    let w = tensors.matrix(module, &name("weight_ih"), [0, 0])?;
    let units = w.rows / gates;
    if units * gates != w.rows {
        let cause = format!("\"{}\" has {} rows, which are not those of {gates} gates", name("weight_ih"), w.rows);
        return Err(tensors.refuse(module, cause, "save the state dict again"));
    }
    let projected = tensors.has(module, &name("weight_hr"));
    let projection = projected.then(|| tensors.matrix(module, &name("weight_hr"), [0, units])).transpose()?;
    let hidden = projection.as_ref().map_or(units, |p| p.rows);
    let u = tensors.matrix(module, &name("weight_hh"), [w.rows, hidden])?;
    let [ih, hh] = biases(tensors, module, [name("bias_ih"), name("bias_hh")], w.rows)?;
    Ok(match kind {
        Kind::Lstm => {
            let lstm = Lstm::from_gate_major([0, 1, 2, 3], &w, &u, &sum(&ih, &hh));
            Layer::Lstm(Lstm { projection, ..lstm })
        }
        Kind::Gru => Layer::Gru(Gru::from_gate_major([0, 1, 2], &w, &u, &ih, &hh, true)),
        _ => Layer::Rnn(Rnn { b: sum(&ih, &hh), w, u, activation, initial: None }),
    })
}

/// Both biases, or zeros for both.
fn biases(tensors: &Tensors, module: &str, names: [String; 2], rows: usize) -> Result<[Vec<f64>; 2]> {
    let there = names.each_ref().map(|n| tensors.has(module, n));
    if let [true, false] | [false, true] = there {
        let (has, lacks) = if there[0] { (&names[0], &names[1]) } else { (&names[1], &names[0]) };
        let cause = format!("it has a tensor \"{has}\" and no \"{lacks}\"");
        return Err(tensors.refuse(module, cause, "save the whole state dict"));
    }
    let [a, b] = names.map(|n| tensors.vector(module, &n, rows, 0.0));
    Ok([a?, b?])
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}
