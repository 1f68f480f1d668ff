//! `Gemm` and `MatMul`: fully connected layers.

use super::build::Builder;
use super::glue::{unpadded, whole_steps};
use super::op::{Op, Value};
use super::signal::{Axis, Row, Signal};
use super::{Fault, fault};
use cellstate_reference::Matrix;

pub(super) fn layer(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    let (a, b) = (op.input(0), op.input(1));
    if matches!(a, Some(Value::Tensor(_))) {
        return Err(fault("its weights stand on the left", "export a model that multiplies features by weights"));
    }
    if matches!((a, b), (Some(Value::Signal(_)), Some(Value::Signal(_)))) {
        let cause = "it multiplies two values that both depend on the input";
        return Err(fault(cause, "use recurrent and dense layers without attention"));
    }
    let signal = unpadded(op.signal(0)?)?;
    let w = op.weights(1, "weights")?.matrix()?;
    let gemm = op.kind() == "Gemm";
    let mut w = if gemm && op.int("transB") == Some(1) { w } else { w.transpose() };
    let mut bias = vec![0.0; w.rows];
    if gemm {
        if op.int("transA") == Some(1) {
            return Err(fault("it transposes its input", "export a model that multiplies features by weights"));
        }
        let alpha = f64::from(op.float("alpha").unwrap_or(1.0));
        w.data.iter_mut().for_each(|v| *v *= alpha);
        if let Some(c) = op.constant(2, "bias")? {
            let beta = f64::from(op.float("beta").unwrap_or(1.0));
            let c = c.values()?;
            if c.len() != w.rows && c.len() != 1 {
                return Err(fault(
                    format!("it has {} biases for {} values", c.len(), w.rows),
                    "export the model again",
                ));
            }
            bias.iter_mut().zip(c.iter().cycle()).for_each(|(b, c)| *b = beta * c);
        }
    }
    Ok(vec![Value::Signal(features(builder, &op.name, signal, &w, bias)?)])
}

/// A linear layer on the last axis.
fn features(builder: &mut Builder, name: &str, signal: &Signal, w: &Matrix, bias: Vec<f64>) -> Result<Signal, Fault> {
    // The steps of a single feature are what a flattened window is.
    let steps = signal.width() == 1 && signal.axes.last().is_some_and(|a| a.is(Row::Time));
    let unrolled = if steps { Some(builder.unroll(&format!("{name}/steps"), whole_steps(signal)?)?) } else { None };
    let signal = unrolled.as_ref().unwrap_or(signal);
    let mut axes = signal.axes.clone();
    let last = axes.last_mut().filter(|a| **a == Axis::Features(signal.width()));
    let Some(last) = last.filter(|_| signal.width() == w.cols) else {
        let cause = format!("it takes {} features where the last axis has others", w.cols);
        return Err(fault(cause, "put the features in the last axis").of_order());
    };
    *last = Axis::Features(w.rows);
    let node = builder.linear(name, signal, w, bias)?;
    Ok(Signal { open: Some(node), ..signal.with(axes, builder.columns(node)) })
}
