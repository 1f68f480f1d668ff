//! Operators other than the recurrent ones: dense layers, tables, sums, and what only rearranges.

use super::graph::{Graph, Value};
use super::model::{Operator, Result, fault};
use super::op;
use super::signal::{Axis, Range, Signal, Slice};
use super::sizes;
use cellstate_reference::{Activation, Dense, Layer};

/// The most layers side by side.
const MOST_PARTS: usize = 64;

/// `FULLY_CONNECTED`: weights are outputs by inputs. Without `keep_num_dims` the result has two dimensions.
pub(super) fn dense(graph: &mut Graph, operator: &Operator) -> Result<()> {
    if operator.u8(1)? != 0 {
        return Err(fault("its weights are shuffled, as for quantized models", "convert the model in float32"));
    }
    let mut signal = graph.signal(operator, 0)?;
    let w = graph.needed(operator, 1)?;
    if w.cols != signal.width {
        // All steps of a sequence at once, without a flattening of their own.
        let axes = vec![Axis::One, Axis::Features];
        signal = graph.flatten("flatten", &signal, axes)?;
    }
    let b = graph.weights(operator, 2)?.map_or_else(|| vec![0.0; w.rows], |b| b.data);
    let activation = op::fused(operator.u8(0)?)?;
    let rank = graph.shape(operator)?.len();
    if rank < signal.axes.len() {
        // What goes away are dimensions of size 1 before the others.
        let drop = signal.axes.len() - rank;
        if signal.axes.iter().take(drop).any(|&a| a != Axis::One) {
            return Err(fault("it mixes steps with samples", "convert the model with a batch of 1"));
        }
        signal.axes.drain(..drop);
    }
    place(graph, operator, &signal, Dense { w, b, activation })
}

/// `BATCH_MATMUL` with a constant, inputs by outputs unless it is transposed.
pub(super) fn matmul(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    let w = graph.needed(operator, 1)?;
    if operator.bool(0, false)? {
        return Err(fault("it multiplies along the steps", "use Dense layers"));
    }
    let w = if operator.bool(1, false)? { w } else { w.transpose() };
    let b = vec![0.0; w.rows];
    place(graph, operator, &signal, Dense { w, b, activation: Activation::Linear })
}

fn place(graph: &mut Graph, operator: &Operator, signal: &Signal, dense: Dense) -> Result<()> {
    let width = dense.w.rows;
    if !signal.by_features() || dense.w.cols != signal.width || dense.b.len() != width {
        return Err(fault("its weights do not fit what it is given", "convert the model again"));
    }
    let name = graph.name(operator);
    let yielded = graph.push(&name, Layer::Dense(dense), signal, width)?;
    graph.yields(operator, yielded)
}

pub(super) fn activation(graph: &mut Graph, operator: &Operator, activation: Activation) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    if activation == Activation::Softmax {
        if !signal.by_features() {
            return Err(fault("it is a softmax over something else than features", "apply it to features"));
        }
        // Absent it is 0, and the kernels would divide evenly.
        if (operator.f32(0)? - 1.0).abs() > f32::EPSILON {
            return Err(fault("its softmax has a beta that is not 1", "use a plain softmax"));
        }
    }
    let name = graph.name(operator);
    let yielded = graph.activate(&name, activation, signal)?;
    graph.yields(operator, yielded)
}

/// Sums and products with a constant, by feature, or of two layers: those only added or subtracted.
pub(super) fn arithmetic(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let then = op::fused(operator.u8(0)?)?;
    let name = graph.name(operator);
    let (a, b) = (graph.flows(operator, 0), graph.flows(operator, 1));
    let yielded = match (a, b) {
        (Some(a), Some(b)) => sum(graph, operator, &name, a, b)?,
        (Some(signal), None) => {
            let constant = by_feature(graph, operator, 1, &signal)?;
            let ones = vec![1.0; constant.len()];
            let zeros = vec![0.0; constant.len()];
            let (scale, offset) = match operator.code {
                op::ADD => (ones, constant),
                op::SUB => (ones, constant.iter().map(|v| -v).collect()),
                op::MUL => (constant, zeros),
                _ => (constant.iter().map(|v| 1.0 / v).collect(), zeros),
            };
            graph.affine(&name, &scale, &offset, signal)?
        }
        (None, _) => {
            let signal = graph.signal(operator, 1)?;
            let constant = by_feature(graph, operator, 0, &signal)?;
            let (ones, zeros) = (vec![1.0; constant.len()], vec![0.0; constant.len()]);
            match operator.code {
                op::ADD => graph.affine(&name, &ones, &constant, signal)?,
                op::SUB => graph.affine(&name, &vec![-1.0; constant.len()], &constant, signal)?,
                op::MUL => graph.affine(&name, &constant, &zeros, signal)?,
                _ => return Err(fault("it divides a constant by values", "divide by constants only")),
            }
        }
    };
    let yielded = graph.activate(&name, then, yielded)?;
    graph.yields(operator, yielded)
}

/// A constant operand, one value a feature.
fn by_feature(graph: &Graph, operator: &Operator, k: usize, signal: &Signal) -> Result<Vec<f64>> {
    let odd =
        || fault("it combines a layer with something that is neither a layer nor a constant by feature", "avoid it");
    let tensor = graph.constant(operator, k)?.ok_or_else(odd)?;
    let values = graph.model.floats(&tensor)?;
    let along = tensor.shape()?.last() == Some(&Some(signal.width)) && signal.by_features();
    match values[..] {
        [value] => Ok(vec![value; signal.width]),
        _ if along && values.len() == signal.width => Ok(values),
        _ => Err(odd()),
    }
}

fn sum(graph: &mut Graph, operator: &Operator, name: &str, a: Signal, b: Signal) -> Result<Signal> {
    let second = match operator.code {
        op::ADD => 1.0,
        op::SUB => -1.0,
        _ => return Err(fault("it multiplies or divides two layers", "concatenate or add them")),
    };
    if a.width != b.width {
        return Err(fault("it adds layers of different widths", "give both the same width"));
    }
    let both = join(vec![a, b])?;
    graph.diagonal(name, &[1.0, second], &both)
}

/// Signals side by side.
fn join(parts: Vec<Signal>) -> Result<Signal> {
    let mut parts = parts.into_iter();
    let mut all = parts.next().ok_or(super::flat::Damaged)?;
    all.shared = true;
    for part in parts {
        if part.axes != all.axes || part.reversed != all.reversed {
            return Err(fault("it joins layers that run differently in time", "join sequences with sequences"));
        }
        all.width = all.width.saturating_add(part.width);
        all.from.extend(part.from);
    }
    if all.from.len() > MOST_PARTS || all.width > usize::from(u16::MAX) {
        return Err(fault("it joins more than 64 layers or 65535 features", "join fewer"));
    }
    Ok(all)
}

pub(super) fn concatenation(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let parts = (0..operator.inputs.len()).map(|k| graph.signal(operator, k)).collect::<Result<Vec<_>>>()?;
    let joined = join(parts)?;
    let axis = axis(operator.i32(0, 0)?.into(), &joined)?;
    if joined.axes.get(axis) != Some(&Axis::Features) || operator.u8(1)? != 0 {
        return Err(fault("it does not join features", "concatenate along the last dimension"));
    }
    graph.yields(operator, joined)
}

/// A dimension by its number, which may count from the end.
fn axis(k: i64, signal: &Signal) -> Result<usize> {
    let k = if k < 0 { k.saturating_add(signal.axes.len() as i64) } else { k };
    Ok(usize::try_from(k).ok().filter(|&k| k < signal.axes.len()).ok_or(super::flat::Damaged)?)
}

/// A row of a table by index.
pub(super) fn embedding(graph: &mut Graph, operator: &Operator, index: usize, table: usize) -> Result<()> {
    let mut signal = graph.signal(operator, index)?;
    let plain = operator.code == op::EMBEDDING_LOOKUP || (operator.i32(0, 0)? == 0 && operator.i32(1, 0)? == 0);
    if signal.axes.contains(&Axis::Features) || signal.width != 1 || !plain {
        return Err(fault("it picks by something else than an index a step", "use it as an Embedding layer"));
    }
    let table = graph.needed(operator, table)?;
    let width = table.cols;
    signal.axes.push(Axis::Features);
    let name = graph.name(operator);
    let yielded = graph.push(&name, Layer::Embedding(table), &signal, width)?;
    graph.yields(operator, yielded)
}

/// Whole numbers for floats and back: only before a table.
pub(super) fn cast(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    if signal.axes.contains(&Axis::Features) {
        return Err(fault("it rounds values", "use whole numbers only as indices of an Embedding"));
    }
    graph.yields(operator, signal)
}

/// `RESHAPE`, `SQUEEZE`, `EXPAND_DIMS`: the same values under other dimensions, or all steps in one.
pub(super) fn reshape(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    let shape = sizes::given(graph, operator, 1).map_or_else(|| graph.shape(operator), Ok)?;
    if let Some(axes) = signal.reshaped(&shape) {
        return graph.yields(operator, Signal { axes, ..signal });
    }
    let whole = signal.steps.and_then(|t| t.checked_mul(signal.width));
    let axes: Vec<Axis> = shape.iter().map(|&n| if n == Some(1) { Axis::One } else { Axis::Features }).collect();
    let flat = axes.iter().filter(|&&a| a == Axis::Features).count() == 1 && shape.contains(&whole);
    if whole.is_none() || !flat {
        return Err(fault("it rearranges steps and features", "keep the dimensions (batch, time, features)"));
    }
    let name = graph.name(operator);
    let yielded = graph.flatten(&name, &signal, axes)?;
    graph.yields(operator, yielded)
}

/// `MEAN` over all steps.
pub(super) fn mean(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    let over = graph.integers(operator, 1)?.iter().map(|&k| axis(k, &signal)).collect::<Result<Vec<_>>>()?;
    let [over] = over[..] else { return Err(op::unknown(operator.code)) };
    let Some((Axis::Time, steps)) = signal.axes.get(over).copied().zip(signal.steps) else {
        return Err(fault("it averages over something else than a fixed number of steps", "fix the number of steps"));
    };
    let mut axes = signal.axes.clone();
    if operator.bool(0, false)? {
        axes[over] = Axis::One;
    } else {
        axes.remove(over);
    }
    let all = graph.flatten("steps", &signal, axes)?;
    let name = graph.name(operator);
    let yielded = graph.diagonal(&name, &vec![1.0 / steps as f64; steps], &all)?;
    graph.yields(operator, yielded)
}

pub(super) fn transpose(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    let order = graph.integers(operator, 1)?;
    let axes = order.iter().map(|&k| Ok(signal.axes[axis(k, &signal)?])).collect::<Result<Vec<_>>>()?;
    let count = |axes: &[Axis], axis| axes.iter().filter(|&&a| a == axis).count();
    if [Axis::One, Axis::Time, Axis::Features].iter().any(|&a| count(&axes, a) != count(&signal.axes, a)) {
        return Err(super::flat::Damaged.into());
    }
    graph.yields(operator, Signal { axes, ..signal })
}

pub(super) fn reverse(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    let mut reversed = signal.reversed;
    for k in graph.integers(operator, 1)? {
        match signal.axes[axis(k, &signal)?] {
            Axis::One => {}
            Axis::Time => reversed = !reversed,
            Axis::Features => return Err(fault("it reverses features", "reverse time only")),
        }
    }
    graph.yields(operator, Signal { reversed, ..signal })
}

pub(super) fn slice(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let signal = graph.signal(operator, 0)?;
    if operator.i32(2, 0)? != 0 || operator.i32(3, 0)? != 0 || operator.bool(5, false)? {
        return Err(fault("it slices with an ellipsis or a new dimension", "slice with plain ranges"));
    }
    let range = Range {
        begin: graph.integers(operator, 1)?,
        end: graph.integers(operator, 2)?,
        stride: graph.integers(operator, 3)?,
        begin_mask: operator.i32(0, 0)?,
        end_mask: operator.i32(1, 0)?,
        shrink_mask: operator.i32(4, 0)?,
    };
    let (left, axes) = signal.sliced(&range)?;
    let yielded = match left {
        Slice::All => Signal { axes, ..signal },
        Slice::Reversed => Signal { axes, reversed: !signal.reversed, ..signal },
        Slice::Step(end) => {
            let name = graph.name(operator);
            graph.step(&name, end, &signal, axes)?
        }
    };
    graph.yields(operator, yielded)
}

/// `DEQUANTIZE` of half floats: a constant under another number.
pub(super) fn widen(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let source = operator.input(0).filter(|&i| graph.value(i).is_none());
    let source = source.ok_or_else(|| fault("it widens what is no constant", "convert the model in float32"))?;
    graph.set(operator, 0, Value::Constant(source))
}
