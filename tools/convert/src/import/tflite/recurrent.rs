//! The fused recurrent operators.
//!
//! An LSTM's operands are matrices of their own for each gate, units by inputs, in the order i, f, g, o: input weights,
//! recurrent weights, peepholes of i, f, o, biases, projection and its bias.

use super::graph::{Graph, Value};
use super::model::{Operator, Result, fault};
use super::op;
use super::signal::{Axis, Signal};
use cellstate_reference::{Initial, Layer, Lstm, Matrix, Rnn};

/// The remedy for what a cell can be made to do and this one cannot.
const PLAIN: &str = "train a plain LSTM, such as Keras's with its default activations";

/// The converter has every LSTM clip its cells here, which the trained one did not; `tanh(10)` is 1 within 5e-9, so only
/// cells beyond, on their way back, tell the two apart. What was trained is what counts.
const CONVERTERS_CLIP: f32 = 10.0;

/// Where a direction's operands stand, and whether it is the one that walks backward.
struct Direction {
    /// How far the weights are moved from where the unidirectional operator has them.
    moved: usize,
    /// The hidden state.
    state: usize,
    output: usize,
    backward: bool,
}

pub(super) fn unidirectional_lstm(graph: &mut Graph, operator: &Operator) -> Result<()> {
    if (20..24).any(|k| operator.input(k).is_some()) {
        return Err(fault("it normalizes its gates (layer norm), which is not supported", PLAIN));
    }
    if operator.bool(5, false)? {
        return Err(fault("its recurrent weights are diagonal, which is not supported", PLAIN));
    }
    let signal = sequence(graph, operator, operator.bool(3, false)?)?;
    let only = Direction { moved: 0, state: 18, output: 0, backward: false };
    let yielded = lstm(graph, operator, &only, &signal)?;
    graph.yields(operator, yielded)
}

pub(super) fn bidirectional_lstm(graph: &mut Graph, operator: &Operator) -> Result<()> {
    if (39..48).any(|k| operator.input(k).is_some()) {
        return Err(fault("it has an auxiliary input, which is not supported", PLAIN));
    }
    let signal = sequence(graph, operator, operator.bool(4, true)?)?;
    let directions = [
        Direction { moved: 0, state: 35, output: 0, backward: false },
        Direction { moved: 17, state: 37, output: 1, backward: true },
    ];
    both(graph, operator, operator.bool(3, false)?, &signal, &directions, lstm)
}

pub(super) fn unidirectional_rnn(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = sequence(graph, operator, operator.bool(0, false)?)?;
    let only = Direction { moved: 0, state: 4, output: 0, backward: false };
    let yielded = rnn(graph, operator, &only, &signal)?;
    graph.yields(operator, yielded)
}

pub(super) fn bidirectional_rnn(graph: &mut Graph, operator: &Operator) -> Result<()> {
    if (9..12).any(|k| operator.input(k).is_some()) {
        return Err(fault("it has an auxiliary input, which is not supported", "train a plain recurrent layer"));
    }
    let signal = sequence(graph, operator, operator.bool(0, false)?)?;
    let directions = [
        Direction { moved: 0, state: 4, output: 0, backward: false },
        Direction { moved: 4, state: 8, output: 1, backward: true },
    ];
    both(graph, operator, operator.bool(2, false)?, &signal, &directions, rnn)
}

/// Two directions over one signal, as two results or joined in one.
fn both(
    graph: &mut Graph,
    operator: &Operator,
    joined: bool,
    signal: &Signal,
    directions: &[Direction; 2],
    layer: fn(&mut Graph, &Operator, &Direction, &Signal) -> Result<Signal>,
) -> Result<()> {
    let [forward, backward] = directions;
    let mut first = layer(graph, operator, forward, signal)?;
    let second = layer(graph, operator, backward, signal)?;
    if joined {
        first.from.extend(second.from);
        first.width += second.width;
    } else {
        graph.set(operator, backward.output, Value::Signal(second))?;
    }
    graph.set(operator, forward.output, Value::Signal(first))
}

/// The operator's input, if its dimensions are in the order that the operator runs over.
fn sequence(graph: &Graph, operator: &Operator, time_major: bool) -> Result<Signal> {
    let signal = graph.signal(operator, 0)?;
    let time = if graph.stepwise() { Axis::One } else { Axis::Time };
    let due = if time_major { [time, Axis::One, Axis::Features] } else { [Axis::One, time, Axis::Features] };
    if signal.axes != due {
        let order = if time_major { "(time, 1, features)" } else { "(1, time, features)" };
        return Err(fault(format!("its input is not {order}"), "convert the model with a batch of 1"));
    }
    Ok(signal)
}

fn place(graph: &mut Graph, operator: &Operator, to: &Direction, layer: Layer, signal: &Signal) -> Result<Signal> {
    let (name, width) = (graph.name(operator), layer.outputs(signal.width));
    let yielded = graph.push(&name, layer, signal, width)?;
    let backward = to.backward != signal.reversed;
    if let Some(node) = graph.node(&yielded) {
        node.backward = backward;
    }
    graph.windowed |= backward;
    Ok(yielded)
}

fn lstm(graph: &mut Graph, operator: &Operator, to: &Direction, signal: &Signal) -> Result<Signal> {
    if operator.u8(0)? != op::TANH_CODE {
        return Err(fault("its activation is not tanh", PLAIN));
    }
    let (cell_clip, proj_clip) = (operator.f32(1)?, operator.f32(2)?);
    if cell_clip != 0.0 && cell_clip < CONVERTERS_CLIP || proj_clip != 0.0 {
        let cause = format!("it clips its cells at {cell_clip} or its projection at {proj_clip} (0: not at all)");
        return Err(fault(cause, "train it without cell_clip and proj_clip"));
    }
    let at = |k: usize| k + to.moved;
    let needed = |k: usize| graph.needed(operator, at(k));
    let (f, g, o) = (needed(2)?, needed(3)?, needed(4)?);
    let (uf, ug, uo) = (needed(6)?, needed(7)?, needed(8)?);
    let (bf, bg, bo) = (needed(13)?, needed(14)?, needed(15)?);
    let optional = |k: usize| graph.weights(operator, at(k));
    let peepholes = (optional(9)?, optional(10)?, optional(11)?);
    // Without an input gate of its own it is what the forget gate leaves: 1 - sigmoid(z) = sigmoid(-z).
    let negative = |m: &Matrix| Matrix { data: m.data.iter().map(|v| -v).collect(), ..*m };
    let coupled = operator.input(at(1)).is_none();
    let (i, ui, bi, pi) = if coupled {
        (negative(&f), negative(&uf), negative(&bf), peepholes.1.as_ref().map(negative))
    } else {
        (needed(1)?, needed(5)?, needed(12)?, peepholes.0)
    };
    let units = f.rows;
    let stacked = |parts: [&Matrix; 4]| {
        let same = parts.iter().all(|m| (m.rows, m.cols) == (units, parts[1].cols));
        same.then(|| Matrix::from_fn(4 * units, parts[1].cols, |r, c| parts[r % 4].row(r / 4)[c]))
    };
    let list = |m: &Matrix| m.data.len() == units;
    let (w, u) = (stacked([&i, &f, &g, &o]), stacked([&ui, &uf, &ug, &uo]));
    let (Some(w), Some(u), true) = (w, u, [&bi, &bf, &bg, &bo].into_iter().all(list)) else {
        return Err(shapes());
    };
    let b = (0..4 * units).map(|r| [&bi, &bf, &bg, &bo][r % 4].data[r / 4]).collect();
    let peephole = match (pi, peepholes.1, peepholes.2) {
        (None, None, None) => None,
        (Some(i), Some(f), Some(o)) if list(&i) && list(&f) && list(&o) => {
            Some((0..units).map(|k| [i.data[k], f.data[k], o.data[k]]).collect())
        }
        _ => return Err(shapes()),
    };
    if optional(17)?.is_some_and(|b| b.data.iter().any(|&v| v != 0.0)) {
        return Err(fault("its projection has a bias, which is not supported", "train the projection without a bias"));
    }
    let projection = optional(16)?;
    let fits = projection.as_ref().map_or(u.cols == units, |p| (p.rows, p.cols) == (u.cols, units));
    if !fits || w.cols != signal.width {
        return Err(shapes());
    }
    let (h, c) = (state(graph, operator, to.state, u.cols)?, state(graph, operator, to.state + 1, units)?);
    let initial = started(h, c);
    let lstm = Lstm { peephole, projection, initial, ..Lstm::from_unit_major(w, u, b) };
    place(graph, operator, to, Layer::Lstm(lstm), signal)
}

fn rnn(graph: &mut Graph, operator: &Operator, to: &Direction, signal: &Signal) -> Result<Signal> {
    let activation = op::fused(operator.u8(1)?)?;
    let needed = |k: usize| graph.needed(operator, k + to.moved);
    let (w, u, b) = (needed(1)?, needed(2)?, needed(3)?.data);
    if (w.rows, w.cols, u.rows, u.cols) != (b.len(), signal.width, b.len(), b.len()) {
        return Err(shapes());
    }
    let initial = started(state(graph, operator, to.state, b.len())?, Vec::new());
    let rnn = Rnn { w, u, b, activation, initial };
    place(graph, operator, to, Layer::Rnn(rnn), signal)
}

fn shapes() -> super::model::Fault {
    fault("its weights have shapes that do not fit together", "convert the model again")
}

/// A state before the first step: zeros in a variable, which has no constant.
fn state(graph: &Graph, operator: &Operator, k: usize, width: usize) -> Result<Vec<f64>> {
    if operator.input(k).is_none_or(|i| matches!(graph.value(i), Some(Value::Signal(_) | Value::Sizes(_)))) {
        return Err(fault("its initial state is computed by the model", "let it begin with zeros"));
    }
    match graph.constant(operator, k)? {
        None => Ok(vec![0.0; width]),
        Some(tensor) => {
            let values = graph.model.floats(&tensor)?;
            if values.len() == width { Ok(values) } else { Err(shapes()) }
        }
    }
}

fn started(h: Vec<f64>, c: Vec<f64>) -> Option<Initial> {
    h.iter().chain(&c).any(|&v| v != 0.0).then_some(Initial { h, c })
}
