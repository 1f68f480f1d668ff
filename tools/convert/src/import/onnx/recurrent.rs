//! `LSTM`, `GRU` and `RNN`, in one direction or both.
//!
//! Weights are direction by direction and gate by gate: i, o, f, c of an LSTM, z, r, h of a GRU. The biases of inputs and of
//! the recurrence stand one after the other and add; peepholes are i, o, f.

use super::build::{Builder, End};
use super::glue::whole_steps;
use super::op::{Op, Value};
use super::point::hard_sigmoid;
use super::signal::{Axis, Column, Row, Signal, UNIT};
use super::size::Size;
use super::tensor::Tensor;
use super::{Fault, fault};
use cellstate_reference::{Activation, Gru, Initial, Layer, Lstm, Matrix, Rnn};

const AGAIN: &str = "export the model again";

/// One layer's weights, all directions.
struct Weights {
    gates: usize,
    directions: usize,
    units: usize,
    inputs: usize,
    w: Vec<f64>,
    r: Vec<f64>,
    b: Option<Vec<f64>>,
    p: Option<Vec<f64>>,
}

impl Weights {
    fn read(op: &Op, gates: usize, directions: usize) -> Result<Self, Fault> {
        let shaped = |k: usize, what: &str, shape: &[usize]| -> Result<Option<Vec<f64>>, Fault> {
            let Some(t) = op.constant(k, what)? else { return Ok(None) };
            if t.stored() != shape || t.dims.iter().any(|d| d.known().is_none()) {
                return Err(fault(format!("its {what} have shape {:?} where {shape:?} is due", t.stored()), AGAIN));
            }
            t.values().map(Some)
        };
        let [_, rows, inputs] = op.weights(1, "weights")?.shape::<3>()?;
        let units = rows / gates;
        if units == 0 || inputs == 0 || op.int("hidden_size").is_some_and(|n| n != units as i64) {
            return Err(fault(format!("its weights have {rows} rows for {gates} gates"), AGAIN));
        }
        let missing = || fault("its weights are missing", AGAIN);
        Ok(Self {
            gates,
            directions,
            units,
            inputs,
            w: shaped(1, "weights", &[directions, gates * units, inputs])?.ok_or_else(missing)?,
            r: shaped(2, "recurrent weights", &[directions, gates * units, units])?.ok_or_else(missing)?,
            b: shaped(3, "biases", &[directions, 2 * gates * units])?,
            p: if gates == 4 { shaped(7, "peepholes", &[directions, 3 * units])? } else { None },
        })
    }

    /// The input weights, the recurrent ones and the two biases of one direction.
    fn of(&self, direction: usize) -> (Matrix, Matrix, [Vec<f64>; 2]) {
        let rows = self.gates * self.units;
        let part = |v: &[f64], n: usize| v[direction * n..][..n].to_vec();
        let matrix = |v: &[f64], cols: usize| Matrix { rows, cols, data: part(v, rows * cols) };
        let b = self.b.as_ref().map_or_else(|| vec![0.0; 2 * rows], |b| part(b, 2 * rows));
        (matrix(&self.w, self.inputs), matrix(&self.r, self.units), [b[..rows].to_vec(), b[rows..].to_vec()])
    }

    fn peepholes(&self, direction: usize) -> Option<Vec<[f64; 3]>> {
        let p = &self.p.as_ref()?[direction * 3 * self.units..][..3 * self.units];
        let n = self.units;
        p.iter().any(|&v| v != 0.0).then(|| (0..n).map(|k| [p[k], p[2 * n + k], p[n + k]]).collect())
    }
}

/// The activations of each direction: of the gates, and of what the layer yields.
fn activations(op: &Op, directions: usize) -> Result<Vec<(Activation, Activation)>, Fault> {
    let defaults: &[&str] = match op.kind() {
        "LSTM" => &["Sigmoid", "Tanh", "Tanh"],
        "GRU" => &["Sigmoid", "Tanh"],
        _ => &["Tanh"],
    };
    let each = defaults.len();
    let names = op.texts("activations").filter(|n| !n.is_empty());
    let names = names.unwrap_or_else(|| defaults.iter().cycle().take(each * directions).map(|s| (*s).into()).collect());
    if names.len() != each * directions {
        return Err(fault(format!("it names {} activations where {} are due", names.len(), each * directions), AGAIN));
    }
    // Only functions that have parameters take some.
    let mut alphas = op.floats("activation_alpha").unwrap_or(&[]).iter().copied();
    let mut betas = op.floats("activation_beta").unwrap_or(&[]).iter().copied();
    let mut all = Vec::new();
    for (k, name) in names.iter().enumerate() {
        let place = k % each;
        let activation = match name.to_lowercase().as_str() {
            "sigmoid" => Activation::Sigmoid,
            "hardsigmoid" => hard_sigmoid(alphas.next(), betas.next())?,
            "tanh" => Activation::Tanh,
            "relu" => Activation::Relu,
            _ => {
                return Err(fault(
                    format!("its activation {name} is not supported"),
                    "train it with the default activations",
                ));
            }
        };
        let sigmoid = matches!(activation, Activation::Sigmoid | Activation::HardSigmoid { .. });
        let fits = match (each, place) {
            (1, _) => true,
            (_, 0) => sigmoid,
            _ => activation == Activation::Tanh,
        };
        if !fits {
            let cause = format!("its activations are {}", names.join(", "));
            return Err(fault(cause, "train it with Sigmoid or HardSigmoid for gates and Tanh for the rest"));
        }
        all.push(activation);
    }
    Ok(all.chunks_exact(each).map(|a| (a[0], a[each - 1])).collect())
}

/// Attributes that change what is computed.
fn refused(op: &Op) -> Result<(), Fault> {
    if op.float("clip").is_some_and(|c| c != 0.0) {
        return Err(fault("it clips its pre-activations (clip)", "export the model without clip"));
    }
    if op.int("input_forget").is_some_and(|v| v != 0) {
        return Err(fault("it couples input and forget gates (input_forget)", "train it with gates of their own"));
    }
    Ok(())
}

/// The steps of each sequence of a batch: all of them, or else the model depends on more than the sequence.
fn lengths(op: &Op, steps: Option<Size>) -> Result<(), Fault> {
    let lengths = op.constant(4, "lengths (sequence_lens)")?;
    let all = steps.unwrap_or(Size::of(1));
    match lengths.map(Tensor::sizes) {
        Some(sizes) if sizes.is_none_or(|s| s.iter().any(|&n| n != all)) => Err(fault(
            "its sequences are shorter than the input (sequence_lens)",
            "export the model without sequence_lens",
        )),
        _ => Ok(()),
    }
}

/// Initial values of each direction, empty if zero, and whether the model hands them from call to call.
fn initial(op: &Op, k: usize, weights: &Weights, batch_first: bool) -> Result<(Vec<Vec<f64>>, bool), Fault> {
    let zero = vec![Vec::new(); weights.directions];
    let t = match op.input(k) {
        None => return Ok((zero, false)),
        Some(Value::Foreign(_, true)) => return Ok((zero, true)),
        Some(Value::Tensor(t)) => t,
        Some(_) => {
            let remedy = "begin each layer with zeros, with a constant, or with an input of the model";
            return Err(fault("its initial state is computed from the input", remedy));
        }
    };
    let (stored, units) = (t.stored(), weights.units);
    let (d, b) = if batch_first { (1, 0) } else { (0, 1) };
    if stored.len() != 3 || stored[d] != weights.directions || stored[2] != units || stored[b] == 0 {
        return Err(fault(format!("its initial state has shape {stored:?}"), AGAIN));
    }
    let values = t.values()?;
    let row = |direction: usize, of: usize| {
        let place = if batch_first { of * weights.directions + direction } else { direction * stored[b] + of };
        &values[place * units..][..units]
    };
    if (0..weights.directions).any(|d| (1..stored[b]).any(|k| row(d, k) != row(d, 0))) {
        return Err(fault("its initial state differs within a batch", "export the model with a batch of 1"));
    }
    let each = |d| if row(d, 0).iter().all(|&v| v == 0.0) { Vec::new() } else { row(d, 0).to_vec() };
    Ok(((0..weights.directions).map(each).collect(), false))
}

pub(super) fn layer(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    refused(op)?;
    let signal = whole_steps(op.signal(0)?)?;
    let batch_first = op.int("layout") == Some(1);
    let steps = checked_input(signal, batch_first)?;
    let reverse: &[bool] = match op.text("direction").as_deref() {
        None | Some("forward") => &[false],
        Some("reverse") => &[true],
        Some("bidirectional") => &[false, true],
        Some(other) => return Err(fault(format!("its direction is {other:?}"), AGAIN)),
    };
    let gates = match op.kind() {
        "LSTM" => 4,
        "GRU" => 3,
        _ => 1,
    };
    let weights = Weights::read(op, gates, reverse.len())?;
    builder.spend(weights.w.len().checked_add(weights.r.len()))?;
    lengths(op, steps)?;
    let functions = activations(op, reverse.len())?;
    let (h, state) = initial(op, 5, &weights, batch_first)?;
    let (c, cell_state) = if gates == 4 { initial(op, 6, &weights, batch_first)? } else { (h.clone(), false) };
    if state && cell_state && op.node.input.get(5) == op.node.input.get(6) {
        let cause = "its hidden and its cell state are the same input";
        return Err(fault(cause, "export the model with two different tensors as examples of the states"));
    }
    let (mut all, mut ends): (Vec<Column>, Vec<Column>) = (Vec::new(), Vec::new());
    for (d, &reverse) in reverse.iter().enumerate() {
        let (w, r, bias) = weights.of(d);
        let name = if d == 0 { op.name.clone() } else { format!("{}/reverse", op.name) };
        let (from, w) = builder.weighted(&name, signal, &w)?;
        let started = |cells: bool| {
            let full = |v: &Vec<f64>| if v.is_empty() { vec![0.0; weights.units] } else { v.clone() };
            let any = !h[d].is_empty() || cells && !c[d].is_empty();
            any.then(|| Initial { h: full(&h[d]), c: if cells { full(&c[d]) } else { Vec::new() } })
        };
        let summed = || bias[0].iter().zip(&bias[1]).map(|(a, b)| a + b).collect::<Vec<f64>>();
        let layer = match gates {
            4 => Layer::Lstm(Lstm {
                gates: functions[d].0,
                peephole: weights.peepholes(d),
                initial: started(true),
                ..Lstm::from_gate_major([0, 2, 3, 1], &w, &r, &summed())
            }),
            3 => {
                let after = op.int("linear_before_reset").is_some_and(|v| v != 0);
                let gru = Gru::from_gate_major([1, 0, 2], &w, &r, &bias[0], &bias[1], after);
                Layer::Gru(Gru { gates: functions[d].0, initial: started(false), ..gru })
            }
            _ => {
                let (b, activation) = (summed(), functions[d].1);
                Layer::Rnn(Rnn { w, u: r, b, activation, initial: started(false) })
            }
        };
        let node = builder.node(&name, layer, from);
        let backward = reverse != signal.reversed;
        if let Some(node) = builder.get_mut(node) {
            node.backward = backward;
        }
        let own = builder.columns(node);
        if steps.is_some() {
            let forward = Signal::new(vec![Axis::Features(own.len())], own.clone());
            ends.extend(builder.pick(&forward, if backward { End::First } else { End::Last })?);
        } else {
            ends.extend(own.iter().cloned());
        }
        all.extend(own);
    }
    Ok(outputs(op, signal, batch_first, &weights, (all, ends), (state, cell_state)))
}

/// Y, `Y_h` and `Y_c`.
fn outputs(
    op: &Op,
    signal: &Signal,
    batch_first: bool,
    weights: &Weights,
    (all, ends): (Vec<Column>, Vec<Column>),
    (state, cell_state): (bool, bool),
) -> Vec<Value> {
    let (first, second) = (signal.axes[0].clone(), signal.axes[1].clone());
    let (directions, units) = (Axis::Features(weights.directions), Axis::Features(weights.units));
    let batch = if batch_first { first.clone() } else { second.clone() };
    let (y, h) = if batch_first {
        (vec![first, second, directions.clone(), units.clone()], vec![batch, directions, units])
    } else {
        (vec![first, directions.clone(), second, units.clone()], vec![directions, batch, units])
    };
    let ended = signal.time().is_some();
    let h = Signal { ended, state, reversed: false, ..signal.with(h, ends) };
    let h = Signal { state, ..h };
    let cell = format!("the cell state of layer {:?}", op.name);
    vec![Value::Signal(signal.with(y, all)), Value::Signal(h), Value::Foreign(cell, cell_state)]
}

/// How many steps there are; none for a single one, without an axis of its own.
fn checked_input(signal: &Signal, batch_first: bool) -> Result<Option<Size>, Fault> {
    if signal.ended {
        return Err(fault("it is fed by a layer of which only one step is kept", "keep all steps of that one"));
    }
    let (time, batch) = if batch_first { (1, 0) } else { (0, 1) };
    let steps = signal.time();
    let fits = signal.axes.len() == 3
        && (steps.is_none() && signal.axes[time] == UNIT || signal.axes[time].is(Row::Time))
        && (signal.axes[batch] == UNIT || signal.axes[batch].is(Row::Batch))
        && signal.axes[2] == Axis::Features(signal.width());
    if !fits {
        let order = if batch_first { "(batch, time, features)" } else { "(time, batch, features)" };
        let wrong = fault(format!("its input is not {order}"), format!("give it {order}"));
        return Err(wrong.of_order());
    }
    Ok(steps.map(|(_, n)| n))
}
