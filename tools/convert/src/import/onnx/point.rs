//! Operators on single values: sums, scales and activations; and sums over an axis.

use super::build::Builder;
use super::glue::{unpadded, whole_steps};
use super::op::{Op, Value};
use super::signal::{Axis, Column, Row, Signal, UNIT};
use super::tensor::{Tensor, positions};
use super::{Fault, fault};
use cellstate_reference::Activation;
use std::collections::HashMap;

/// Sums, differences, multiples and means.
pub(super) fn arithmetic(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let kind = op.kind();
    let all = |s: &Signal, v: f64| vec![v; s.width()];
    let one = match (kind, op.input(0), op.input(1)) {
        ("Neg", ..) => {
            let s = unpadded(op.signal(0)?)?;
            builder.affine(s, &all(s, -1.0), &all(s, 0.0))
        }
        ("Sum" | "Mean", ..) => {
            let mut sum = op.signal(0)?.clone();
            for k in 1..op.inputs.len() {
                sum = added(builder, &sum, op.signal(k)?, 1.0)?;
            }
            let share = if kind == "Mean" { 1.0 / op.inputs.len() as f64 } else { 1.0 };
            builder.affine(&sum, &all(&sum, share), &all(&sum, 0.0))
        }
        (_, Some(Value::Tensor(t)), _) => constant(builder, kind, op.signal(1)?, t, true)?,
        (_, _, Some(Value::Tensor(t))) => constant(builder, kind, op.signal(0)?, t, false)?,
        ("Add", ..) => added(builder, op.signal(0)?, op.signal(1)?, 1.0)?,
        ("Sub", ..) => added(builder, op.signal(0)?, op.signal(1)?, -1.0)?,
        _ => {
            let cause = "it multiplies or divides two values that both depend on the input";
            return Err(fault(cause, "join them by a sum, or by concatenation and a dense layer"));
        }
    };
    Ok(vec![Value::Signal(one)])
}

/// With a constant, which stands first if `left`.
fn constant(builder: &mut Builder, kind: &str, signal: &Signal, t: &Tensor, left: bool) -> Result<Signal, Fault> {
    let (signal, values) = aligned(builder, unpadded(signal)?, t)?;
    let (ones, zeros) = (vec![1.0; values.len()], vec![0.0; values.len()]);
    let negative = |v: &[f64]| v.iter().map(|v| -v).collect::<Vec<_>>();
    Ok(match (kind, left) {
        ("Add", _) => builder.affine(&signal, &ones, &values),
        ("Sub", false) => builder.affine(&signal, &ones, &negative(&values)),
        ("Sub", true) => builder.affine(&signal, &negative(&ones), &values),
        ("Mul", _) => builder.affine(&signal, &values, &zeros),
        ("Div", false) => builder.affine(&signal, &values.iter().map(|v| 1.0 / v).collect::<Vec<_>>(), &zeros),
        _ => return Err(fault("it divides by a value that depends on the input", "train a model without that")),
    })
}

/// A constant's value for each feature, once both are broadcast.
pub(super) fn aligned(builder: &mut Builder, signal: &Signal, t: &Tensor) -> Result<(Signal, Vec<f64>), Fault> {
    let mut signal = signal.clone();
    let mut lengths = t.stored();
    if lengths.len() > 8 {
        return Err(fault("its constant has more than eight axes", "export the model again"));
    }
    while signal.axes.len() < lengths.len() {
        signal.axes.insert(0, UNIT);
    }
    while lengths.len() < signal.axes.len() {
        lengths.insert(0, 1);
    }
    for (k, &length) in lengths.iter().enumerate() {
        match signal.axes[k] {
            Axis::Features(n) if n == length || length == 1 => {}
            Axis::Features(1) if length > 0 => {
                builder.spend(signal.terms().checked_mul(length))?;
                signal = Signal { open: None, ..signal.chosen(k, &vec![0; length]) };
            }
            Axis::Rows(_) if length == 1 => {}
            Axis::Rows(_) => {
                return Err(fault("its constant differs from step to step", "use one that is the same in all steps"));
            }
            Axis::Features(n) => {
                let wrong =
                    fault(format!("its constant has {length} values for {n} features"), "export the model again");
                return Err(wrong.of_order());
            }
        }
    }
    let values = t.values()?;
    let mut stride = 1;
    let mut walk: Vec<(usize, usize)> = signal
        .extents()
        .iter()
        .zip(&lengths)
        .rev()
        .map(|(&n, &length)| {
            let step = if length == 1 { 0 } else { stride };
            stride *= length;
            (n, step)
        })
        .collect();
    walk.reverse();
    let spread: Option<Vec<f64>> = positions(&walk).into_iter().map(|k| values.get(k).copied()).collect();
    let spread = spread.filter(|s| s.len() == signal.width());
    Ok((signal, spread.ok_or_else(|| fault("its constant does not fit", "export the model again"))?))
}

/// The sum of two values, the second times a factor.
fn added(builder: &mut Builder, a: &Signal, b: &Signal, factor: f64) -> Result<Signal, Fault> {
    let (mut a, mut b) = (unpadded(a)?.clone(), unpadded(b)?.clone());
    let rank = a.axes.len().max(b.axes.len());
    for s in [&mut a, &mut b] {
        while s.axes.len() < rank {
            s.axes.insert(0, UNIT);
        }
    }
    for k in 0..rank {
        let both = (a.axes[k].clone(), b.axes[k].clone());
        for (s, wide) in [(&mut a, &both.1), (&mut b, &both.0)] {
            if let (Axis::Features(1), &Axis::Features(n)) = (&s.axes[k], wide)
                && n > 1
            {
                builder.spend(s.terms().checked_mul(n))?;
                *s = s.chosen(k, &vec![0; n]);
            }
        }
    }
    builder.spend(a.terms().checked_add(b.terms()))?;
    let kind = |s: &Signal| (s.axes.clone(), s.ended, s.reversed, s.tail);
    if kind(&a) != kind(&b) {
        return Err(fault("it adds values of different steps or shapes", "add features of the same steps"));
    }
    let sum = |(x, y): (&Column, &Column)| {
        let y = y.affine(factor, 0.0);
        merged(x.terms.iter().chain(&y.terms).copied(), x.offset + y.offset)
    };
    let columns = a.columns.iter().zip(&*b.columns).map(sum).collect();
    Ok(a.with(a.axes.clone(), columns))
}

/// A column out of terms, of which those of the same value are one.
fn merged(terms: impl Iterator<Item = super::signal::Term>, offset: f64) -> Column {
    let mut column = Column { terms: Vec::new(), offset };
    let mut places = HashMap::new();
    for term in terms {
        let next = column.terms.len();
        match *places.entry((term.source, term.index)).or_insert(next) {
            k if k < next => column.terms[k].factor += term.factor,
            _ => column.terms.push(term),
        }
    }
    column
}

/// An activation that follows.
pub(super) fn activation(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let signal = unpadded(op.signal(0)?)?;
    let activation = match op.kind() {
        "Relu" => Activation::Relu,
        "Sigmoid" => Activation::Sigmoid,
        "Tanh" => Activation::Tanh,
        "HardSigmoid" => hard_sigmoid(op.float("alpha"), op.float("beta"))?,
        _ => {
            softmax_axis(op, signal)?;
            Activation::Softmax
        }
    };
    Ok(vec![Value::Signal(builder.activated(&op.name, signal, activation)?)])
}

/// `max(0, min(1, alpha x + beta))`: ONNX's defaults are 1/5 and 1/2.
pub(super) fn hard_sigmoid(alpha: Option<f32>, beta: Option<f32>) -> Result<Activation, Fault> {
    let (alpha, beta) = (alpha.unwrap_or(0.2), beta.unwrap_or(0.5));
    if beta - 0.5 != 0.0 || !alpha.is_finite() || alpha <= 0.0 {
        let cause = format!("its HardSigmoid has alpha {alpha} and beta {beta}");
        return Err(fault(cause, "use an alpha above 0 and beta 0.5"));
    }
    // The usual slopes as they are meant, not as 32 bits round them.
    let meant = [0.2, 1.0 / 6.0, 0.25, 0.5].into_iter().find(|&s: &f64| s as f32 - alpha == 0.0);
    Ok(Activation::HardSigmoid { slope: meant.unwrap_or(alpha.into()) })
}

/// Softmax is over all features of a step. Before operator set 13 it was over all axes from its own on.
fn softmax_axis(op: &Op, signal: &Signal) -> Result<(), Fault> {
    let rank = signal.axes.len();
    let axis = Op::axis(op.int("axis").unwrap_or(if op.opset < 13 { 1 } else { -1 }), rank)?;
    let apart = op.opset < 13 && signal.axes[axis + 1..].iter().any(|a| *a != UNIT);
    if signal.feature_axis() != Some(axis) && signal.width() > 1 || apart {
        return Err(fault("it is not over the features of a step", "apply Softmax to the axis of features").of_order());
    }
    Ok(())
}

/// The axes over which an operator sums, and whether they stay.
pub(super) fn reduced(op: &Op, rank: usize) -> Result<(Vec<usize>, bool), Fault> {
    if op.kind() == "GlobalAveragePool" {
        return Ok(((2.min(rank)..rank).collect(), true));
    }
    let axes = match op.list(1, "axes")? {
        Some(axes) if !axes.is_empty() => Op::axes(&axes, rank)?,
        _ if op.int("noop_with_empty_axes") == Some(1) => Vec::new(),
        _ => (0..rank).collect(),
    };
    Ok((axes, op.int("keepdims") != Some(0)))
}

/// A sum or a mean over steps or features.
pub(super) fn reduce(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let mut signal = whole_steps(op.signal(0)?)?.clone();
    let rank = signal.axes.len();
    let (axes, kept) = reduced(op, rank)?;
    if axes.iter().any(|&k| signal.axes[k].is(Row::Time)) {
        signal = builder.unroll(&op.name, &signal)?;
    }
    if axes.iter().any(|&k| matches!(signal.axes[k], Axis::Rows(_))) {
        let wrong = fault("it is over the batch", "export a model that keeps the sequences of a batch apart");
        return Err(wrong.of_order());
    }
    let stay: Vec<usize> = (0..rank).filter(|k| !axes.contains(k)).collect();
    let order: Vec<usize> = stay.iter().copied().chain((0..rank).filter(|k| axes.contains(k))).collect();
    let count: usize = signal.extents().iter().enumerate().filter(|(k, _)| axes.contains(k)).map(|(_, n)| n).product();
    let share = if op.kind() == "ReduceSum" { 1.0 } else { 1.0 / count as f64 };
    let moved = signal.transposed(&order);
    let sum = |part: &[Column]| {
        let offset = part.iter().map(|c| c.offset).sum();
        merged(part.iter().flat_map(|c| c.terms.iter().copied()), offset).affine(share, 0.0)
    };
    let columns = moved.columns.chunks_exact(count.max(1)).map(sum).collect();
    let shape = if kept {
        (0..rank).map(|k| if axes.contains(&k) { UNIT } else { signal.axes[k].clone() }).collect()
    } else {
        stay.iter().map(|&k| signal.axes[k].clone()).collect()
    };
    Ok(vec![Value::Signal(signal.with(shape, columns))])
}
