//! Normalizations: `BatchNormalization`, `LayerNormalization`, and the latter as exporters take it apart.

use super::build::Builder;
use super::glue::unpadded;
use super::op::{Op, Value};
use super::point::{aligned, reduced};
use super::signal::{Axis, Column, Signal, UNIT};
use super::tensor::Tensor;
use super::{Fault, fault, glue};
use cellstate_reference::{Layer, Source};
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
    /// Its own axes: not those of the value where the features are gone, or where it was moved.
    axes: Vec<Axis>,
    stage: Stage,
}

impl Part {
    /// The features of the value.
    pub(super) fn width(&self) -> usize {
        self.of.width()
    }

    fn is_of(&self, other: &Signal) -> bool {
        Rc::ptr_eq(&self.of.columns, &other.columns) && self.of.reversed == other.reversed
    }

    fn next(&self, axes: Vec<Axis>, stage: Stage) -> Value {
        Value::Norm(Self { of: self.of.clone(), axes, stage })
    }

    /// What follows without a change of axes.
    fn then(&self, stage: Stage) -> Value {
        self.next(self.axes.clone(), stage)
    }

    /// A value of its axes.
    fn shape(&self) -> Signal {
        let wide = self.axes.iter().any(|a| a.features() > 1);
        let columns = if wide { Rc::clone(&self.of.columns) } else { Rc::new(vec![Column::one(Source::Input, 0)]) };
        Signal { axes: self.axes.clone(), columns, open: None, ..self.of.clone() }
    }

    /// A constant's value for each feature, and the axes of both together; none if it is not of these features.
    fn constant(&self, builder: &mut Builder, t: &Tensor) -> Result<Option<Spread>, Fault> {
        let (both, values) = aligned(builder, &self.shape(), t)?;
        let width = self.of.width();
        Ok(match values[..] {
            [one] => Some((both.axes, vec![one; width])),
            _ => (values.len() == width).then_some((both.axes, values)),
        })
    }
}

/// Axes, and a value for each feature.
type Spread = (Vec<Axis>, Vec<f64>);

/// The axes of two values of which one may lack the features.
fn together(a: &[Axis], b: &[Axis]) -> Option<Vec<Axis>> {
    let rank = a.len().max(b.len());
    let pad = |axes: &[Axis]| [vec![UNIT; rank - axes.len()], axes.to_vec()].concat();
    let one = |(x, y): (Axis, Axis)| match (x, y) {
        (x, y) if x == y => Some(x),
        (UNIT, y @ Axis::Features(_)) => Some(y),
        (x @ Axis::Features(_), UNIT) => Some(x),
        _ => None,
    };
    pad(a).into_iter().zip(pad(b)).map(one).collect()
}

/// What an operator makes of a part, or the part that it begins with; none if it has to do with none.
pub(super) fn part(builder: &mut Builder, op: &Op) -> Result<Option<Value>, Fault> {
    let (a, b) = (op.input(0), op.input(1));
    Ok(match (op.kind(), a, b) {
        ("ReduceMean" | "GlobalAveragePool", Some(Value::Signal(s)), _) => over_features(op, s)?
            .map(|axes| Part { of: s.clone(), axes: Vec::new(), stage: Stage::Squared }.next(axes, Stage::Mean(1.0))),
        ("ReduceMean" | "GlobalAveragePool", Some(Value::Norm(p)), _) if matches!(p.stage, Stage::Squared) => {
            over_features(op, &p.shape())?.map(|axes| p.next(axes, Stage::Variance))
        }
        ("Transpose" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" | "Cast", Some(Value::Norm(p)), _) => {
            let shape = p.shape();
            let mut inputs = op.inputs.clone();
            inputs[0] = Some(Value::Signal(shape.clone()));
            let moved = glue::moved(builder, &Op { inputs, name: op.name.clone(), ..*op })?.pop();
            match moved {
                Some(Value::Signal(s)) if s.columns == shape.columns => Some(p.next(s.axes, p.stage.clone())),
                _ => None,
            }
        }
        ("Neg", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Mean(factor) => Some(p.then(Stage::Mean(-factor))),
            _ => None,
        },
        ("Sub", Some(Value::Signal(x)), Some(Value::Norm(p))) if p.is_of(x) && matches!(p.stage, Stage::Mean(1.0)) => {
            together(&x.axes, &p.axes).map(|axes| p.next(axes, Stage::Centered))
        }
        ("Pow", Some(Value::Norm(p)), Some(Value::Tensor(t)))
            if matches!(p.stage, Stage::Centered) && t.scalar() == Some(2.0) =>
        {
            Some(p.then(Stage::Squared))
        }
        ("Sqrt", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Shifted(epsilon) => Some(p.then(Stage::Deviation(epsilon))),
            _ => None,
        },
        ("Reciprocal", Some(Value::Norm(p)), _) => match p.stage {
            Stage::Deviation(epsilon) => Some(p.then(Stage::Inverse(epsilon, vec![1.0; p.of.width()]))),
            _ => None,
        },
        ("Div", Some(Value::Norm(p)), Some(Value::Norm(q))) if q.is_of(&p.of) => {
            match (&p.stage, &q.stage, together(&p.axes, &q.axes)) {
                (Stage::Centered, &Stage::Deviation(epsilon), Some(axes)) => {
                    let (ones, zeros) = (vec![1.0; p.of.width()], vec![0.0; p.of.width()]);
                    Some(made(builder, op, &Signal { axes, ..p.of.clone() }, ones, zeros, epsilon)?)
                }
                _ => None,
            }
        }
        ("Add" | "Mul" | "Sub", Some(a), Some(b)) => match with_constant(builder, op, a, b)? {
            Some(done) => Some(done),
            None => joined(builder, op, a, b)?,
        },
        _ => None,
    })
}

/// Sums and products of a part and a constant.
fn with_constant(builder: &mut Builder, op: &Op, a: &Value, b: &Value) -> Result<Option<Value>, Fault> {
    let (p, t, left) = match (a, b) {
        (Value::Norm(p), Value::Tensor(t)) => (p, t, true),
        (Value::Tensor(t), Value::Norm(p)) => (p, t, false),
        _ => return Ok(None),
    };
    if let ("Add", Stage::Variance) = (op.kind(), &p.stage) {
        let Some((axes, values)) = p.constant(builder, t)? else { return Ok(None) };
        let same = values.iter().all(|&v| v - values[0] == 0.0) && axes.iter().all(|a| a.features() == 1);
        return Ok(same.then(|| p.next(axes, Stage::Shifted(values[0]))));
    }
    let pairs =
        |a: &[f64], b: &[f64], f: fn(f64, f64) -> f64| a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect::<Vec<_>>();
    let Some((axes, t)) = p.constant(builder, t)? else { return Ok(None) };
    let stage = match (op.kind(), &p.stage) {
        ("Mul", Stage::Inverse(epsilon, scale)) => Stage::Inverse(*epsilon, pairs(scale, &t, |s, t| s * t)),
        ("Add", Stage::Moved(e, scale, offset)) => Stage::Moved(*e, scale.clone(), pairs(offset, &t, |o, t| o + t)),
        ("Sub", Stage::Moved(e, scale, offset)) if left => {
            Stage::Moved(*e, scale.clone(), pairs(offset, &t, |o, t| o - t))
        }
        ("Sub", Stage::Moved(e, scale, offset)) => {
            Stage::Moved(*e, scale.iter().map(|s| -s).collect(), pairs(offset, &t, |o, t| t - o))
        }
        _ => return Ok(None),
    };
    Ok(Some(p.next(axes, stage)))
}

/// Sums and products of parts and the value, in either order.
fn joined(builder: &mut Builder, op: &Op, a: &Value, b: &Value) -> Result<Option<Value>, Fault> {
    for (left, a, b) in [(true, a, b), (false, b, a)] {
        let Value::Norm(p) = a else { continue };
        let (axes, other) = match b {
            Value::Norm(q) if q.is_of(&p.of) => (&q.axes, Some(&q.stage)),
            Value::Signal(x) if p.is_of(x) => (&x.axes, None),
            _ => continue,
        };
        let Some(axes) = together(&p.axes, axes) else { continue };
        match (op.kind(), &p.stage, other) {
            ("Mul", Stage::Inverse(epsilon, scale), None) => {
                return Ok(Some(p.next(axes, Stage::Scaled(*epsilon, scale.clone()))));
            }
            ("Mul", Stage::Centered, Some(Stage::Centered)) => return Ok(Some(p.next(axes, Stage::Squared))),
            ("Mul", Stage::Centered, Some(Stage::Inverse(epsilon, scale))) => {
                let (of, zeros) = (Signal { axes, ..p.of.clone() }, vec![0.0; scale.len()]);
                return made(builder, op, &of, scale.clone(), zeros, *epsilon).map(Some);
            }
            ("Mul", &Stage::Mean(factor), Some(Stage::Inverse(epsilon, scale))) => {
                let scale: Vec<f64> = scale.iter().map(|s| s * factor).collect();
                let zeros = vec![0.0; scale.len()];
                return Ok(Some(p.next(axes, Stage::Moved(*epsilon, scale, zeros))));
            }
            ("Add" | "Sub", Stage::Scaled(epsilon, scale), Some(Stage::Moved(same, mean, offset)))
                if (left || op.kind() == "Add") && same - epsilon == 0.0 =>
            {
                let sign = if op.kind() == "Add" { 1.0 } else { -1.0 };
                if mean.iter().zip(scale).all(|(m, s)| m * sign + s == 0.0) {
                    let offset = offset.iter().map(|o| o * sign).collect();
                    let of = Signal { axes, ..p.of.clone() };
                    return made(builder, op, &of, scale.clone(), offset, *epsilon).map(Some);
                }
            }
            _ => {}
        }
    }
    Ok(None)
}

/// The axes that a mean leaves if it is over all features of a step and nothing else.
fn over_features(op: &Op, signal: &Signal) -> Result<Option<Vec<Axis>>, Fault> {
    let (axes, kept) = reduced(op, signal.axes.len())?;
    let all = (0..signal.axes.len()).all(|k| signal.axes[k].features() == 1 || axes.contains(&k));
    let rows = axes.iter().any(|&k| matches!(signal.axes[k], Axis::Rows(_)));
    let left = |(k, a): (usize, &Axis)| if axes.contains(&k) { UNIT } else { a.clone() };
    let fits = kept && all && !rows && signal.width() > 1 && signal.pad == 0;
    Ok(fits.then(|| signal.axes.iter().enumerate().map(left).collect()))
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
    let node = builder.node(&op.name, Layer::LayerNorm { scale, offset, epsilon, rms: false }, from);
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
        Err(fault(format!("it has {} values for {width} features", values.len()), AGAIN).of_order())
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
            return Err(
                fault("it is not over the features of a step", "normalize the last axis, that of features").of_order()
            );
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
        return Err(
            fault("it is not over features", "normalize the features: axis 1 of (batch, features, time)").of_order()
        );
    }
    let factor: Vec<f64> = scale.iter().zip(&variance).map(|(s, v)| s / (v + epsilon).sqrt()).collect();
    let offset: Vec<f64> = offset.iter().zip(&mean).zip(&factor).map(|((o, m), f)| o - m * f).collect();
    Ok(vec![Value::Signal(builder.affine(signal, &factor, &offset))])
}
