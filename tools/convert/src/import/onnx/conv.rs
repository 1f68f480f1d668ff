//! `Conv` over time: a window of the latest steps, and a linear layer on it.

use super::build::Builder;
use super::glue::unpadded;
use super::op::{Op, Value};
use super::signal::{Axis, Row, Signal, UNIT};
use super::size::Size;
use super::{Fault, fault};
use cellstate_reference::{Layer, Matrix};

const AGAIN: &str = "export the model again";
const CAUSAL: &str = "pad on the left alone by (kernel - 1) * dilation, or not at all";

/// Zeros before the first step, for the convolution that follows.
pub(super) fn pad(op: &Op) -> Result<Vec<Value>, Fault> {
    let signal = unpadded(op.signal(0)?)?;
    let rank = signal.axes.len();
    let value = op.constant(2, "value")?.and_then(super::tensor::Tensor::scalar).or(op.float("value").map(f64::from));
    if op.text("mode").is_some_and(|m| m != "constant") || value.unwrap_or(0.0) != 0.0 {
        return Err(fault("it pads with something else than zeros", "pad with zeros"));
    }
    let pads = op.list(1, "pads")?.ok_or_else(|| fault("its pads are missing", AGAIN))?;
    let axes = op.list(3, "axes")?.map_or_else(|| Ok((0..rank).collect()), |a| Op::axes(&a, rank))?;
    if pads.len() != 2 * axes.len() {
        return Err(fault(format!("it has {} pads for {} axes", pads.len(), axes.len()), AGAIN));
    }
    let mut out = signal.clone();
    for (&axis, ends) in axes.iter().zip(pads.iter().zip(&pads[axes.len()..])) {
        match (ends, &mut out.axes[axis]) {
            ((0, 0), _) => {}
            ((&left, 0), Axis::Rows(rows))
                if left > 0 && left <= 65535 && rows.len() == 1 && rows[0].0 == Row::Time =>
            {
                rows[0].1 = rows[0].1.plus(Size::of(left)).ok_or_else(|| fault("its length overflows", AGAIN))?;
                out.pad += left as usize;
            }
            ((_, &right), Axis::Rows(_)) if right > 0 => {
                return Err(fault("it pads at the end of the sequence, which is the future", CAUSAL));
            }
            _ => return Err(fault("it pads an axis that is not time, or by a negative number", CAUSAL)),
        }
    }
    Ok(vec![Value::Signal(Signal { open: None, ..out })])
}

/// What the attributes say of the axis of time.
struct Shape {
    taps: usize,
    dilation: usize,
    stride: usize,
    left: usize,
    right: usize,
}

impl Shape {
    /// Steps from the oldest to the newest input of an output.
    fn reach(&self) -> usize {
        (self.taps - 1) * self.dilation
    }

    fn of(op: &Op, kernel: &[usize], axis: usize) -> Result<Self, Fault> {
        let spatial = kernel.len();
        let numbers = |name: &str, count: usize, default: i64| -> Result<Vec<usize>, Fault> {
            let given = op.ints(name).map_or_else(|| vec![default; count], <[i64]>::to_vec);
            let small =
                given.iter().map(|&n| usize::try_from(n).ok().filter(|&n| n <= 65535)).collect::<Option<Vec<_>>>();
            small.filter(|v| v.len() == count).ok_or_else(|| fault(format!("its {name} are {given:?}"), AGAIN))
        };
        let (dilations, strides) = (numbers("dilations", spatial, 1)?, numbers("strides", spatial, 1)?);
        let pads = match op.text("auto_pad").as_deref() {
            None | Some("NOTSET") => numbers("pads", 2 * spatial, 0)?,
            Some("VALID") => vec![0; 2 * spatial],
            Some(_) if kernel.iter().all(|&k| k == 1) && strides.iter().all(|&s| s == 1) => vec![0; 2 * spatial],
            Some(other) => return Err(fault(format!("its padding is {other}, which needs future steps"), CAUSAL)),
        };
        let others = (0..spatial).filter(|&k| k != axis);
        for k in others {
            if (kernel[k], strides[k], pads[k], pads[spatial + k]) != (1, 1, 0, 0) {
                return Err(fault("it is over two axes", "use convolutions over time alone"));
            }
        }
        let shape = Self {
            taps: kernel[axis],
            dilation: dilations[axis],
            stride: strides[axis],
            left: pads[axis],
            right: pads[spatial + axis],
        };
        if shape.taps == 0 || shape.dilation == 0 || shape.stride == 0 || shape.taps > 65535 {
            return Err(fault("its kernel, stride or dilation is 0", AGAIN));
        }
        Ok(shape)
    }
}

pub(super) fn layer(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let signal = op.signal(0)?;
    let weights = op.weights(1, "weights")?;
    let dims: Option<Vec<usize>> = weights.dims.iter().map(|d| usize::try_from(d.known()?).ok()).collect();
    let dims = dims.filter(|d| d.len() >= 3 && d.len() <= 8 && d.len() == signal.axes.len());
    let dims = dims.ok_or_else(|| fault("its weights have other axes than its input", AGAIN))?;
    let (outputs, own, kernel) = (dims[0], dims[1], &dims[2..]);
    let inputs = signal.width();
    let group = op.int("group").and_then(|g| usize::try_from(g).ok()).unwrap_or(1);
    let rows = |k: usize, row: Row| signal.axes[k] == UNIT || signal.axes[k].is(row);
    let steps: Vec<usize> = (2..signal.axes.len()).filter(|&k| signal.axes[k] != UNIT).collect();
    if !rows(0, Row::Batch) || signal.axes[1] != Axis::Features(inputs) || steps.iter().any(|&k| !rows(k, Row::Time)) {
        let wrong = fault("it is not over time", "use convolutions over (batch, features, time)");
        return Err(wrong.of_order());
    }
    if group == 0 || own.checked_mul(group) != Some(inputs) || !outputs.is_multiple_of(group) || outputs == 0 {
        let cause = format!("it takes {own} features in {group} groups and is given {inputs}");
        return Err(fault(cause, AGAIN));
    }
    let axis = steps.first().map_or(0, |k| k - 2);
    let shape = Shape::of(op, kernel, axis)?;
    let length = after(signal, &shape, steps.first().copied())?;
    let values = weights.values()?;
    // Row by row: the taps in order, and within a tap the features.
    let columns = inputs.checked_mul(shape.taps).filter(|&n| n <= 65535);
    let columns = columns.ok_or_else(|| fault("it takes more than 65535 values at once", "use a smaller kernel"))?;
    builder.spend(outputs.checked_mul(columns))?;
    let w = Matrix::from_fn(outputs, columns, |row, column| {
        let (tap, feature) = (column / inputs, column % inputs);
        match feature.checked_sub(row / (outputs / group) * own) {
            Some(k) if k < own => values[(row * own + k) * shape.taps + tap],
            _ => 0.0,
        }
    });
    let bias = match op.constant(2, "bias")? {
        Some(b) => b.values()?,
        None => vec![0.0; outputs],
    };
    if bias.len() != outputs {
        return Err(fault(format!("it has {} biases for {outputs} values", bias.len()), AGAIN));
    }
    let mut axes = signal.axes.clone();
    axes[1] = Axis::Features(outputs);
    let node = if shape.taps == 1 && shape.stride == 1 {
        builder.linear(&op.name, signal, &w, bias)?
    } else {
        let from = builder.whole(&format!("{}/input", op.name), signal)?;
        let causal = shape.reach() > 0 && shape.left + signal.pad > 0;
        let Shape { taps, dilation, stride, .. } = shape;
        let window =
            builder.node(&format!("{}/window", op.name), Layer::Window { taps, dilation, stride, causal }, from);
        let joined = Signal::new(vec![Axis::Features(columns)], builder.columns(window));
        builder.linear(&op.name, &joined, &w, bias)?
    };
    let mut out = signal.with(axes, builder.columns(node));
    if let (Some(&k), Some((length, tail))) = (steps.first(), length) {
        out.axes[k] = if length == Size::of(1) { UNIT } else { Axis::Rows(vec![(Row::Time, length)]) };
        out.tail = tail;
    }
    Ok(vec![Value::Signal(Signal { open: Some(node), pad: 0, ..out })])
}

/// How many steps come out, and how many of them at the end are made of zeros there.
fn after(signal: &Signal, shape: &Shape, time: Option<usize>) -> Result<Option<(Size, usize)>, Fault> {
    let Some(axis) = time else {
        if shape.taps > 1 || shape.stride > 1 || shape.left + shape.right > 0 {
            return Err(fault(
                "it is over time, and the model takes a single step",
                "export it with a longer sequence",
            ));
        }
        return Ok(None);
    };
    if signal.tail > 0 || signal.reversed && shape.taps > 1 {
        return Err(fault("its input has steps of the future", CAUSAL));
    }
    let left = signal.pad + shape.left;
    if left > 0 && left != shape.reach() || shape.right > 0 && (left != shape.reach() || shape.stride > 1) {
        let cause = format!("it pads {left} steps before and {} after, and so needs future steps", shape.right);
        return Err(fault(cause, CAUSAL));
    }
    let unclear = || fault("how many steps come out cannot be told", "export the model with a fixed number of steps");
    let length = signal.axes[axis].size().ok_or_else(unclear)?;
    let more = (shape.left + shape.right) as i64 - shape.reach() as i64 - 1;
    let span = length.plus(Size::of(more)).ok_or_else(unclear)?;
    let strides = match (shape.stride as i64, span.known()) {
        (1, _) => span,
        (stride, Some(n)) => Size::of(n.div_euclid(stride)),
        _ => return Err(unclear()),
    };
    let length = strides.plus(Size::of(1)).ok_or_else(unclear)?;
    if length.known().is_some_and(|n| n < 1) {
        return Err(fault("its kernel is longer than the sequence", "export the model with a longer sequence"));
    }
    Ok(Some((length, shape.right)))
}
