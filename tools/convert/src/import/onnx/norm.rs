//! Normalizations: `BatchNormalization`, `LayerNormalization`, and the latter as exporters take it apart.

use super::build::Builder;
use super::glue::unpadded;
use super::op::{Op, Value};
use super::point::{aligned, reduced};
use super::signal::{Axis, Signal};
use super::tensor::Tensor;
use super::{Fault, fault};
use cellstate_reference::Layer;
use std::rc::Rc;

const AGAIN: &str = "export the model again";

/// How far a layer normalization of a value has come.
#[derive(Clone)]
enum Stage {
    /// The mean over features, times a factor.
    Mean(f64),
    /// The value without its mean.
    Centered,
    /// The square of that.
    Squared,
    /// The mean of those.
    Variance,
    /// With an epsilon.
    Shifted(f64),
    /// The root of that.
    Deviation(f64),
    /// One over that, times a factor for each feature.
    Inverse(f64, Vec<f64>),
    /// The value times that.
    Scaled(f64, Vec<f64>),
    /// The mean times that, and an offset.
    Moved(f64, Vec<f64>, Vec<f64>),
}

/// A part of the layer normalization of a value.
#[derive(Clone)]
pub(super) struct Part {
    of: Signal,
    stage: Stage,
}

impl Part {
    fn is_of(&self, other: &Signal) -> bool {
        Rc::ptr_eq(&self.of.columns, &other.columns) && self.of.axes == other.axes
    }
}

/// What an operator makes of a part, or the part that it begins with; none if it has to do with none.
pub(super) fn part(builder: &mut Builder, op: &Op) -> Result<Option<Value>, Fault> {
    let (a, b) = (op.input(0), op.input(1));
    let next = |part: &Part, stage| Ok(Some(Value::Norm(Part { of: part.of.clone(), stage })));
    let ones = |part: &Part| vec![1.0; part.of.width()];
    let number = |v: Option<&Value>| match v {
        Some(Value::Tensor(t)) => t.scalar(),
        _ => None,
    };
    match (op.kind(), a, b) {
        ("ReduceMean" | "GlobalAveragePool", Some(Value::Signal(s)), _) if over_features(op, s)? => {
            Ok(Some(Value::Norm(Part { of: unpadded(s)?.clone(), stage: Stage::Mean(1.0) })))
        }
        ("ReduceMean" | "GlobalAveragePool", Some(Value::Norm(p)), _)
            if matches!(p.stage, Stage::Squared) && over_features(op, &p.of)? =>
        {
            next(p, Stage::Variance)
        }
        ("Neg", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Mean(factor) => next(p, Stage::Mean(-factor)),
            _ => Ok(None),
        },
        ("Sub", Some(Value::Signal(x)), Some(Value::Norm(p))) if p.is_of(x) && matches!(p.stage, Stage::Mean(1.0)) => {
            next(p, Stage::Centered)
        }
        ("Pow", Some(Value::Norm(p)), exponent)
            if matches!(p.stage, Stage::Centered) && number(exponent) == Some(2.0) =>
        {
            next(p, Stage::Squared)
        }
        ("Sqrt", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Shifted(epsilon) => next(p, Stage::Deviation(epsilon)),
            _ => Ok(None),
        },
        ("Reciprocal", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Deviation(epsilon) => next(p, Stage::Inverse(epsilon, ones(p))),
            _ => Ok(None),
        },
        ("Div", Some(Value::Norm(p)), Some(Value::Norm(q))) => match (&p.stage, &q.stage) {
            (Stage::Centered, &Stage::Deviation(epsilon)) if q.is_of(&p.of) => {
                let zeros = vec![0.0; p.of.width()];
                made(builder, op, &p.of, ones(p), zeros, epsilon).map(Some)
            }
            _ => Ok(None),
        },
        ("Add" | "Mul" | "Sub", Some(a), Some(b)) => joined(builder, op, a, b),
        _ => Ok(None),
    }
}

/// Sums and products with parts, in either order.
fn joined(builder: &mut Builder, op: &Op, a: &Value, b: &Value) -> Result<Option<Value>, Fault> {
    let next = |part: &Part, stage| Some(Value::Norm(Part { of: part.of.clone(), stage }));
    let times = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).collect::<Vec<_>>();
    for (left, a, b) in [(true, a, b), (false, b, a)] {
        let Value::Norm(p) = a else { continue };
        match (op.kind(), &p.stage, b) {
            ("Add", Stage::Variance, Value::Tensor(t)) => {
                return Ok(t.scalar().and_then(|epsilon| next(p, Stage::Shifted(epsilon))));
            }
            ("Mul", Stage::Inverse(epsilon, scale), Value::Tensor(t)) => {
                let scale = times(scale, &constant(builder, &p.of, t)?);
                return Ok(next(p, Stage::Inverse(*epsilon, scale)));
            }
            ("Mul", Stage::Inverse(epsilon, scale), Value::Signal(x)) if p.is_of(x) => {
                return Ok(next(p, Stage::Scaled(*epsilon, scale.clone())));
            }
            ("Mul", Stage::Centered, Value::Norm(q)) if q.is_of(&p.of) => match &q.stage {
                Stage::Centered => return Ok(next(p, Stage::Squared)),
                Stage::Inverse(epsilon, scale) => {
                    let zeros = vec![0.0; scale.len()];
                    return made(builder, op, &p.of, scale.clone(), zeros, *epsilon).map(Some);
                }
                _ => {}
            },
            ("Mul", &Stage::Mean(factor), Value::Norm(q)) if q.is_of(&p.of) => {
                if let Stage::Inverse(epsilon, scale) = &q.stage {
                    let scale: Vec<f64> = scale.iter().map(|s| s * factor).collect();
                    let zeros = vec![0.0; scale.len()];
                    return Ok(next(p, Stage::Moved(*epsilon, scale, zeros)));
                }
            }
            ("Sub", Stage::Moved(epsilon, scale, offset), Value::Tensor(t)) if !left => {
                let t = constant(builder, &p.of, t)?;
                let scale = scale.iter().map(|s| -s).collect();
                let offset = t.iter().zip(offset).map(|(t, o)| t - o).collect();
                return Ok(next(p, Stage::Moved(*epsilon, scale, offset)));
            }
            ("Add" | "Sub", Stage::Scaled(epsilon, scale), Value::Norm(q))
                if q.is_of(&p.of) && (left || op.kind() == "Add") =>
            {
                let sign = if op.kind() == "Add" { 1.0 } else { -1.0 };
                if let Stage::Moved(other, mean, offset) = &q.stage
                    && other == epsilon
                    && mean.iter().zip(scale).all(|(m, s)| m * sign == -s)
                {
                    let offset = offset.iter().map(|o| o * sign).collect();
                    return made(builder, op, &p.of, scale.clone(), offset, *epsilon).map(Some);
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// A constant's value for each feature of a value that keeps its shape.
fn constant(builder: &mut Builder, of: &Signal, t: &Tensor) -> Result<Vec<f64>, Fault> {
    let (same, values) = aligned(builder, of, t)?;
    if same.width() != of.width() {
        return Err(fault("its constant does not fit", AGAIN));
    }
    Ok(values)
}

/// Whether a mean is over all features of a step and nothing else.
fn over_features(op: &Op, signal: &Signal) -> Result<bool, Fault> {
    let (axes, kept) = reduced(op, signal.axes.len())?;
    let all = (0..signal.axes.len()).all(|k| signal.axes[k].features() == 1 || axes.contains(&k));
    let rows = axes.iter().any(|&k| matches!(signal.axes[k], Axis::Rows(_)));
    Ok(kept && all && !rows && signal.width() > 1)
}

/// The layer itself.
fn made(
    builder: &mut Builder,
    op: &Op,
    signal: &Signal,
    scale: Vec<f64>,
    offset: Vec<f64>,
    epsilon: f64,
) -> Result<Value, Fault> {
    let from = builder.whole(&format!("{}/input", op.name), signal)?;
    let node = builder.node(&op.name, Layer::LayerNorm { scale, offset, epsilon }, from);
    let out = signal.with(signal.axes.clone(), builder.columns(node));
    Ok(Value::Signal(Signal { open: Some(node), ..out }))
}

pub(super) fn layer(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let signal = unpadded(op.signal(0)?)?;
    let epsilon = op.float("epsilon").unwrap_or(1e-5).into();
    let (scale, width) = (op.weights(1, "scale")?.values()?, signal.width());
    let fits = |values: &[f64]| {
        if values.len() == width {
            return Ok(());
        }
        Err(fault(format!("it has {} values for {width} features", values.len()), AGAIN))
    };
    fits(&scale)?;
    if op.kind() == "LayerNormalization" {
        let offset = op.constant(2, "offset")?.map_or_else(|| Ok(vec![0.0; width]), Tensor::values)?;
        fits(&offset)?;
        let axis = Op::axis(op.int("axis").unwrap_or(-1), signal.axes.len())?;
        let inner = |k: usize| {
            matches!(signal.axes[k], Axis::Features(_)) == (k >= axis) || signal.axes[k].features() == 1 && k < axis
        };
        if !(0..signal.axes.len()).all(inner) {
            return Err(fault("it is not over the features of a step", "normalize the last axis, that of features"));
        }
        return Ok(vec![made(builder, op, signal, scale, offset, epsilon)?]);
    }
    if op.int("training_mode") == Some(1) {
        return Err(fault("it is in training mode", "export the model in inference mode"));
    }
    let [offset, mean, variance] = [(2, "offset"), (3, "mean"), (4, "variance")].map(|(k, what)| {
        let values = op.weights(k, what)?.values()?;
        fits(&values).map(|()| values)
    });
    let (offset, mean, variance) = (offset?, mean?, variance?);
    if signal.feature_axis() != Some(1) {
        return Err(fault("it is not over features", "normalize the features: axis 1 of (batch, features, time)"));
    }
    let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let offset: Vec<f64> = offset.iter().zip(&mean).zip(&factor).map(|((o, m), f)| o - m * f).collect();
    Ok(vec![Value::Signal(builder.affine(signal, &factor, &offset))])
}
