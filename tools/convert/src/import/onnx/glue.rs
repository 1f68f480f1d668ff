//! Operators that only move values: what exporters put between layers.

use super::build::Builder;
use super::op::{Op, Value};
use super::signal::{Axis, Clash, Signal, UNIT};
use super::size::Size;
use super::{Fault, fault, slice};
use cellstate_reference::Source;

const AGAIN: &str = "export the model again";
const STEPS: &str = "keep all steps, or the last one";
const SUPPORTED: &str = "use LSTM, GRU, RNN, Gemm, MatMul, Conv, BatchNormalization, LayerNormalization, Relu, Sigmoid, \
                         Tanh, HardSigmoid and Softmax";

/// The values of an operator that moves its input, or that is not known.
pub(super) fn moved(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let known = [
        "Identity",
        "Cast",
        "Dropout",
        "Transpose",
        "Reshape",
        "Flatten",
        "Squeeze",
        "Unsqueeze",
        "Slice",
        "Gather",
        "Concat",
        "Split",
        "Expand",
    ];
    if !known.contains(&op.kind()) {
        return Err(unknown(op));
    }
    if let Some(foreign) = foreign(op) {
        return Ok(vec![foreign; op.node.output.len()]);
    }
    let one = match op.kind() {
        "Gather" => return slice::gather(builder, op).map(|s| vec![Value::Signal(s)]),
        "Concat" => return concat(op).map(|s| vec![Value::Signal(s)]),
        "Split" => return split(op),
        "Identity" => op.signal(0)?.clone(),
        "Cast" => {
            let signal = op.signal(0)?;
            // Whole numbers out of anything but the input would be a step function.
            let given = |s: &Option<(Source, usize)>| matches!(s, Some((Source::Input, _)));
            if !matches!(op.int("to"), Some(1 | 10 | 11 | 16)) && !signal.columns.iter().all(|c| given(&c.plain())) {
                return Err(fault("it rounds values of the network", "export the model without it"));
            }
            signal.clone()
        }
        "Dropout" => {
            if op.constant(2, "mode")?.and_then(super::tensor::Tensor::scalar).is_some_and(|v| v != 0.0) {
                return Err(fault("it is in training mode", "export the model in inference mode"));
            }
            op.signal(0)?.clone()
        }
        "Transpose" => {
            let signal = op.signal(0)?;
            signal.transposed(&order(op, signal.axes.len())?)
        }
        "Squeeze" => squeezed(op)?,
        "Unsqueeze" => unsqueezed(op)?,
        "Slice" => slice::sliced(builder, op)?,
        "Expand" => expanded(builder, op)?,
        _ => reshaped(builder, op)?,
    };
    Ok(vec![Value::Signal(one)])
}

fn unknown(op: &Op) -> Fault {
    let remedy = match op.kind() {
        "Loop" | "Scan" | "If" | "While" => {
            "export the recurrent layers as LSTM, GRU or RNN operators; from Keras give the .keras file itself"
        }
        "LogSoftmax" => "export the model with Softmax, or without it: the largest value stays the same",
        "Clip" | "LeakyRelu" | "Elu" | "Gelu" | "Selu" | "HardSwish" | "Softplus" | "PRelu" | "Swish" | "Mish" => {
            "train with Relu, Sigmoid, Tanh, HardSigmoid or Softmax"
        }
        "MaxPool" | "AveragePool" | "GlobalMaxPool" | "ReduceMax" => "use a convolution with a stride instead",
        _ => SUPPORTED,
    };
    fault("this operator is not supported", remedy)
}

/// What is not of the network stays so, wherever it is moved.
fn foreign(op: &Op) -> Option<Value> {
    let mut found = None;
    for input in op.inputs.iter().flatten().take(if op.kind() == "Concat" { usize::MAX } else { 1 }) {
        match (input, &mut found) {
            (Value::Foreign(what, state), None) => found = Some((what.clone(), *state)),
            (Value::Foreign(_, state), Some((_, all))) => *all &= state,
            _ => return None,
        }
    }
    found.map(|(what, state)| Value::Foreign(what, state))
}

/// The order of axes that `Transpose` asks for.
pub(super) fn order(op: &Op, rank: usize) -> Result<Vec<usize>, Fault> {
    let Some(order) = op.ints("perm") else { return Ok((0..rank).rev().collect()) };
    let order = Op::axes(order, rank)?;
    if order.len() != rank || (0..rank).any(|k| !order.contains(&k)) {
        return Err(fault(format!("its order of axes is {order:?}"), AGAIN));
    }
    Ok(order)
}

/// The shape that an operator that only groups axes asks for.
pub(super) fn target(op: &Op, dims: &[Size]) -> Result<Vec<Size>, Fault> {
    let unclear = || fault("its shape cannot be followed", "export the model with a fixed number of steps");
    let product = |d: &[Size]| d.iter().try_fold(Size::of(1), |p, &n| p.times(n));
    match op.kind() {
        "Flatten" => {
            let axis = op.int("axis").unwrap_or(1);
            let axis = if axis == dims.len() as i64 { dims.len() } else { Op::axis(axis, dims.len())? };
            let halves = [product(&dims[..axis]), product(&dims[axis..])];
            halves.into_iter().collect::<Option<_>>().ok_or_else(unclear)
        }
        "Squeeze" => {
            let axes = op.list(1, "axes")?.map(|a| Op::axes(&a, dims.len())).transpose()?;
            let gone = |k: usize| axes.as_ref().map_or(dims[k] == Size::of(1), |a| a.contains(&k));
            Ok((0..dims.len()).filter(|&k| !gone(k)).map(|k| dims[k]).collect())
        }
        "Unsqueeze" => {
            let axes = new_axes(op, dims.len())?;
            let mut old = dims.iter();
            let next = |k| if axes.contains(&k) { Some(Size::of(1)) } else { old.next().copied() };
            (0..dims.len() + axes.len()).map(next).collect::<Option<_>>().ok_or_else(unclear)
        }
        _ => {
            let shape: Vec<Size> = match op.constant(1, "shape")? {
                Some(t) => t.sizes().ok_or_else(unclear)?.to_vec(),
                None => op.ints("shape").ok_or_else(unclear)?.iter().map(|&n| Size::of(n)).collect(),
            };
            let kept = |(k, &n): (usize, &Size)| {
                if n == Size::of(0) && op.int("allowzero") != Some(1) { dims.get(k).copied() } else { Some(n) }
            };
            let mut shape: Vec<Size> = shape.iter().enumerate().map(kept).collect::<Option<_>>().ok_or_else(unclear)?;
            if let Some(k) = shape.iter().position(|&n| n == Size::of(-1)) {
                // Lengths that are on both sides first: the product of all may have no simple form.
                let mut left = dims.to_vec();
                let mut others = Size::of(1);
                for (j, &n) in shape.iter().enumerate().filter(|(j, _)| *j != k) {
                    match left.iter().position(|&l| l == n) {
                        Some(same) if n != Size::of(1) => {
                            left.remove(same);
                        }
                        _ => others = others.times(n).filter(|_| j < 64).ok_or_else(unclear)?,
                    }
                }
                shape[k] = product(&left).and_then(|all| all.over(others)).ok_or_else(unclear)?;
            }
            Ok(shape)
        }
    }
}

/// Where `Unsqueeze` puts axes, in the result.
fn new_axes(op: &Op, rank: usize) -> Result<Vec<usize>, Fault> {
    let axes = op.list(1, "axes")?.ok_or_else(|| fault("its axes are missing", AGAIN))?;
    if axes.len() > 8 {
        return Err(fault("it adds more than eight axes", AGAIN));
    }
    Op::axes(&axes, rank + axes.len())
}

fn reshaped(builder: &mut Builder, op: &Op) -> Result<Signal, Fault> {
    let signal = op.signal(0)?;
    let mixed = || {
        fault("its shape mixes the batch or the time with something else", "keep (batch, time, features) apart")
            .of_order()
    };
    let sizes = |s: &Signal| s.axes.iter().map(Axis::size).collect::<Option<Vec<_>>>().ok_or_else(mixed);
    let shape = target(op, &sizes(signal)?)?;
    match signal.reshaped(&shape) {
        Err(Clash::Time) => {}
        other => return other.map_err(|_| mixed()),
    }
    // All steps of a sequence side by side.
    let flat = builder.unroll(&op.name, whole_steps(signal)?)?;
    flat.reshaped(&shape).map_err(|_| mixed())
}

/// A signal whose steps are those of a sequence that runs forward.
pub(super) fn whole_steps(signal: &Signal) -> Result<&Signal, Fault> {
    if signal.pad > 0 || signal.tail > 0 {
        return Err(fault(
            "it follows zeros that are put around the sequence",
            "use convolutions that pad on the left alone",
        ));
    }
    Ok(signal)
}

/// A signal without zeros before its first step, which an operator on single values would change.
pub(super) fn unpadded(signal: &Signal) -> Result<&Signal, Fault> {
    whole_steps(if signal.pad > 0 { signal } else { return Ok(signal) })
}

fn squeezed(op: &Op) -> Result<Signal, Fault> {
    let signal = op.signal(0)?;
    let axes = match op.list(1, "axes")? {
        Some(axes) => Op::axes(&axes, signal.axes.len())?,
        None => (0..signal.axes.len()).filter(|&k| signal.axes[k] == UNIT).collect(),
    };
    if axes.iter().any(|&k| signal.axes[k] != UNIT) {
        let wrong =
            fault("it removes an axis that is longer than 1 or may be", "export the model with a fixed batch of 1");
        return Err(wrong.of_order());
    }
    let kept = signal.axes.iter().enumerate().filter(|(k, _)| !axes.contains(k)).map(|(_, a)| a.clone());
    Ok(Signal { axes: kept.collect(), ..signal.clone() })
}

fn unsqueezed(op: &Op) -> Result<Signal, Fault> {
    let signal = op.signal(0)?;
    let new = new_axes(op, signal.axes.len())?;
    let mut old = signal.axes.iter().cloned();
    let count = signal.axes.len() + new.len();
    let axes: Vec<Axis> = (0..count).filter_map(|k| if new.contains(&k) { Some(UNIT) } else { old.next() }).collect();
    Ok(Signal { axes, ..signal.clone() })
}

fn concat(op: &Op) -> Result<Signal, Fault> {
    let parts: Vec<&Signal> = (0..op.inputs.len()).map(|k| op.signal(k)).collect::<Result<_, _>>()?;
    let first = *parts.first().ok_or_else(|| fault("it joins nothing", AGAIN))?;
    let axis = Op::axis(op.int("axis").unwrap_or(0), first.axes.len())?;
    // With the joined axis first the features of one follow those of the other.
    let mut front: Vec<usize> = (0..first.axes.len()).filter(|&k| k != axis).collect();
    front.insert(0, axis);
    let mut back: Vec<usize> = (1..first.axes.len()).collect();
    back.insert(axis, 0);
    let (mut columns, mut total) = (Vec::new(), 0usize);
    for part in &parts {
        let kind = |s: &Signal| (s.ended, s.reversed, s.pad, s.tail);
        let others = |s: &Signal| {
            s.axes.iter().enumerate().filter(|(k, _)| *k != axis).map(|(_, a)| a.clone()).collect::<Vec<_>>()
        };
        if part.axes.len() != first.axes.len() || kind(part) != kind(first) || others(part) != others(first) {
            return Err(fault("it joins values of different steps or shapes", "join features of the same steps"));
        }
        let Axis::Features(n) = part.axes[axis] else {
            return Err(fault("it joins sequences one after the other", "join features of the same steps"));
        };
        total += n;
        if columns.len() > u16::MAX as usize {
            return Err(fault("it joins more than 65535 features", "give a model for a microcontroller"));
        }
        columns.extend(part.transposed(&front).columns.iter().cloned());
    }
    let mut axes: Vec<Axis> = front.iter().map(|&k| first.axes[k].clone()).collect();
    axes[0] = Axis::Features(total);
    let joined = first.with(axes, columns).transposed(&back);
    Ok(Signal { state: parts.iter().all(|p| p.state), ..joined })
}

fn split(op: &Op) -> Result<Vec<Value>, Fault> {
    let signal = op.signal(0)?;
    let axis = Op::axis(op.int("axis").unwrap_or(0), signal.axes.len())?;
    let Axis::Features(n) = signal.axes[axis] else {
        return Err(fault("it cuts time or batch in parts", STEPS));
    };
    let count = op.node.output.len().max(1);
    let even = || {
        let part = n.div_ceil(count);
        (0..count).map(|k| n.saturating_sub(k * part).min(part) as i64).collect()
    };
    let parts = op.list(1, "split")?.unwrap_or_else(even);
    let mut start = 0usize;
    let mut out = Vec::new();
    for part in parts {
        let end = usize::try_from(part).ok().and_then(|p| start.checked_add(p)).filter(|&e| e <= n && e > start);
        let end = end.ok_or_else(|| fault(format!("its parts do not fit in {n} features"), AGAIN))?;
        out.push(Value::Signal(signal.chosen(axis, &(start..end).collect::<Vec<_>>())));
        start = end;
    }
    if start != n || out.len() != op.node.output.len() {
        return Err(fault(format!("its parts do not fill {n} features"), AGAIN));
    }
    Ok(out)
}

/// A shape that the value has anyway, or repeated features.
fn expanded(builder: &mut Builder, op: &Op) -> Result<Signal, Fault> {
    let mut out = op.signal(0)?.clone();
    let shape = op.weights(1, "shape")?.sizes().ok_or_else(|| fault("its shape is no list of integers", AGAIN))?;
    let more = shape.len().checked_sub(out.axes.len()).filter(|&m| m < 8);
    for _ in 0..more.ok_or_else(|| fault("its shape has the wrong number of axes", AGAIN))? {
        out.axes.insert(0, UNIT);
    }
    for (k, &n) in shape.iter().enumerate() {
        if n != Size::of(1) && out.axes[k].size() != Some(n) {
            let cause = "it repeats values along an axis that is none of features";
            let times = n.known().and_then(|n| usize::try_from(n).ok()).filter(|&n| n > 0 && n <= 65535);
            match times {
                Some(n) if out.axes[k] == UNIT && out.width().saturating_mul(n) <= 65535 => {
                    builder.spend(out.terms().checked_mul(n))?;
                    out = out.chosen(k, &vec![0; n]);
                }
                _ => return Err(fault(cause, "repeat no steps")),
            }
        }
    }
    Ok(out)
}
