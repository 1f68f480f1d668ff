//! The walk over the operators.

use super::build::Builder;
use super::graph::{Graph, name, plain};
use super::op::{Op, Value};
use super::signal::{Axis, Column, Signal};
use super::size::Size;
use super::{Fault, conv, dense, fault, fold, glue, norm, point, recurrent};
use crate::error::Error;
use cellstate_reference::{Network, Source};
use std::collections::HashMap;
use std::rc::Rc;

/// How many operators made sense, and whether the order of axes did at the next one.
pub(super) type Reached = (usize, bool);

/// The most axes that a value may have.
const AXES: usize = 16;

/// The network of a graph whose input has these axes; or how far it made sense, and what is wrong there.
pub(super) fn walk(graph: &Graph, (input, axes): (&str, Vec<Axis>)) -> Result<Network, (Reached, Error)> {
    let width = axes.iter().map(Axis::features).product();
    let mut builder = Builder::new(width);
    let columns = (0..width).map(|k| Column::one(Source::Input, k)).collect();
    let signal = Signal::new(axes, columns);
    let steps = signal.time().map_or(Size::of(1), |(_, n)| n);
    let mut values: HashMap<&str, Value> = HashMap::new();
    for other in graph.inputs.iter().filter(|i| i.name != input) {
        let what = format!("the model's further input {:?}", plain(&other.name));
        values.insert(&other.name, Value::Foreign(what, true));
    }
    values.insert(input, Value::Signal(signal));
    for (done, node) in graph.order.iter().enumerate() {
        let at = |f: Fault| {
            let place = format!("layer {:?} ({})", name(node), plain(&node.op_type));
            ((done, !f.order), Error::new(graph.path, plain(&f.cause), plain(&f.remedy)).at(place))
        };
        let mut inputs = Vec::new();
        for (k, value) in node.input.iter().enumerate() {
            let taken = take(graph, &mut values, value).map_err(|e| ((done, true), e))?;
            // Three numbers each.
            if let Some(Value::Tensor(t)) = &taken
                && let Some(sizes) = t.sizes()
            {
                builder.spend(sizes.len().checked_mul(3)).map_err(at)?;
            }
            inputs.push(taken);
            // A value that is named and not there: only a cut file has that.
            if inputs[k].is_none() && !value.is_empty() {
                return Err(at(fault(format!("its input {value:?} is made by nothing"), "export the model again")));
            }
        }
        let op = Op { path: graph.path, node, name: name(node), opset: graph.opset, inputs };
        let made = step(&mut builder, &op).map_err(at)?;
        for (name, value) in node.output.iter().zip(made) {
            bounded(&mut builder, &value).map_err(at)?;
            values.insert(name, value);
        }
    }
    let done = graph.order.len();
    finish(graph, builder, &mut values, steps).map_err(|e| ((done, true), e))
}

/// Counts what a value holds: a feature is some eight times as large as a number.
fn bounded(builder: &mut Builder, value: &Value) -> Result<(), Fault> {
    let axes = match value {
        Value::Signal(s) => {
            if Rc::strong_count(&s.columns) == 1 {
                builder.spend(s.terms().checked_mul(8))?;
            }
            s.axes.len()
        }
        Value::Norm(part) => {
            builder.spend(Some(part.width()))?;
            0
        }
        Value::Tensor(t) => t.dims.len(),
        Value::Foreign(..) => 0,
    };
    if axes > AXES {
        return Err(fault(format!("its value has {axes} axes"), "export the model again"));
    }
    Ok(())
}

/// A value; one that is taken again elsewhere is not open to changes.
fn take<'a>(graph: &Graph<'a>, values: &mut HashMap<&str, Value>, name: &'a str) -> Result<Option<Value>, Error> {
    let mut value = match values.get(name) {
        Some(value) => value.clone(),
        None => match graph.initializer(name) {
            Some(tensor) => Value::Tensor(tensor?),
            None => return Ok(None),
        },
    };
    if let Value::Signal(s) = &mut value
        && graph.uses.get(name).is_none_or(|&n| n > 1)
    {
        s.open = None;
    }
    Ok(Some(value))
}

/// What an operator makes.
fn step(builder: &mut Builder, op: &Op) -> Result<Vec<Value>, Fault> {
    if !["", "ai.onnx"].contains(&op.node.domain.as_str()) || is_quantized(op.kind()) {
        let cause = format!("operator {}.{} is not supported", op.node.domain, op.kind());
        let remedy = if is_quantized(op.kind()) || op.node.domain == "com.microsoft" {
            "export the float model: cellstate quantizes it itself"
        } else {
            "export the model with the operators of ONNX alone"
        };
        return Err(fault(cause.replace("operator .", "operator "), remedy));
    }
    if let Some(folded) = fold::fold(builder, op)? {
        return Ok(vec![Value::Tensor(Rc::new(folded))]);
    }
    if let Some(part) = norm::part(builder, op)? {
        return Ok(vec![part]);
    }
    match op.kind() {
        "LSTM" | "GRU" | "RNN" => recurrent::layer(builder, op),
        "Gemm" | "MatMul" => dense::layer(builder, op),
        "Conv" => conv::layer(builder, op),
        "BatchNormalization" | "LayerNormalization" => norm::layer(builder, op),
        "Add" | "Sub" | "Mul" | "Div" | "Neg" | "Sum" | "Mean" => point::arithmetic(builder, op),
        "Relu" | "Sigmoid" | "Tanh" | "HardSigmoid" | "Softmax" => point::activation(builder, op),
        "ReduceMean" | "ReduceSum" | "GlobalAveragePool" => point::reduce(builder, op),
        "Pad" => conv::pad(op),
        _ => glue::moved(builder, op),
    }
}

/// Operators of models with integer weights.
fn is_quantized(kind: &str) -> bool {
    kind.starts_with("QLinear")
        || kind.ends_with("Integer")
        || kind.contains("QuantizeLinear")
        || kind.contains("DequantizeLinear")
        || kind.starts_with("DynamicQuantize")
}

fn finish(
    graph: &Graph,
    mut builder: Builder,
    values: &mut HashMap<&str, Value>,
    steps: Size,
) -> Result<Network, Error> {
    let mut heads = Vec::new();
    let mut states = Vec::new();
    for &output in &graph.outputs {
        let at = |f: Fault| Error::new(graph.path, f.cause, f.remedy).at(format_args!("output {:?}", plain(output)));
        let head = match take(graph, values, output)? {
            Some(Value::Signal(s)) => {
                if s.tail > 0 || s.pad > 0 || s.reversed {
                    return Err(at(fault(
                        "its steps are not those of the input",
                        "export a model whose convolutions pad on the left, and whose outputs run forward",
                    )));
                }
                let head = builder.head(&plain(output), &s).map_err(at)?;
                if s.state { &mut states } else { &mut heads }.push(head);
                continue;
            }
            Some(Value::Foreign(_, true)) => continue,
            Some(Value::Foreign(what, false)) => fault(format!("it is {what}"), "export a model without this output"),
            Some(Value::Norm(_)) => fault("it is a mean or a variance", "export a model without this output"),
            Some(Value::Tensor(_)) => fault("it does not depend on the input", "export a model without this output"),
            None => fault("nothing makes it", "export the model again"),
        };
        return Err(at(head));
    }
    // States that are handed from call to call are kept on the device: they are no results, unless there are no others.
    let heads = if heads.is_empty() { states } else { heads };
    if heads.is_empty() {
        return Err(Error::new(graph.path, "it has no output", "export a model with outputs"));
    }
    let stem = plain(&graph.path.file_stem().unwrap_or_default().to_string_lossy());
    builder.finish(&stem, &heads, Some(steps)).map_err(|f| Error::new(graph.path, f.cause, f.remedy))
}
