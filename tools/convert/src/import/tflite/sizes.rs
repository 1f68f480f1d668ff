//! Arithmetic with shapes: what stands between a model of an open number of steps and the shape that it reshapes to.

use super::graph::{Graph, Value};
use super::model::{Operator, Result, fault};
use super::op;

/// Sizes of dimensions; an open one is none, and there is only one of those: the number of steps.
pub(super) type Sizes = Vec<Option<i64>>;

/// The most sizes that are kept: real shapes have some four dimensions.
const MOST: usize = 64;

/// Whether an operator computes with shapes, and not with values.
pub(super) fn made_of(graph: &Graph, operator: &Operator) -> bool {
    let some = operator.inputs.iter().any(|i| matches!(graph.value(*i), Some(Value::Sizes(_))));
    operator.code == op::SHAPE || some && (0..operator.inputs.len()).all(|k| graph.flows(operator, k).is_none())
}

pub(super) fn add(graph: &mut Graph, operator: &Operator) -> Result<()> {
    let sizes = match operator.code {
        op::SHAPE => graph.signal(operator, 0)?.sizes().iter().map(|n| n.map(|n| n as i64)).collect(),
        op::CAST | op::RESHAPE => operand(graph, operator, 0)?,
        op::PACK | op::CONCATENATION => {
            let parts = (0..operator.inputs.len()).map(|k| operand(graph, operator, k)).collect::<Result<Vec<_>>>()?;
            parts.concat()
        }
        op::GATHER => {
            let (from, at) = (operand(graph, operator, 0)?, graph.integers(operator, 1)?);
            at.iter().map(|&k| pick(&from, k)).collect::<Result<_>>()?
        }
        op::REDUCE_PROD => vec![product(&operand(graph, operator, 0)?)?],
        op::MUL => vec![product(&[operand(graph, operator, 0)?, operand(graph, operator, 1)?].concat())?],
        op::STRIDED_SLICE => {
            let from = operand(graph, operator, 0)?;
            let (begin, end) = (graph.integers(operator, 1)?, graph.integers(operator, 2)?);
            let ([begin], [end], [1]) = (&begin[..], &end[..], &graph.integers(operator, 3)?[..]) else {
                return Err(strange());
            };
            let length = from.len() as i64;
            let place = |k: i64| (if k < 0 { k.saturating_add(length) } else { k }).clamp(0, length) as usize;
            let begin = if operator.i32(0, 0)? == 0 { place(*begin) } else { 0 };
            let end = if operator.i32(1, 0)? == 0 { place(*end) } else { from.len() };
            let end = if operator.i32(4, 0)? == 0 { end } else { begin + 1 };
            from.get(begin..end).ok_or_else(strange)?.to_vec()
        }
        other => return Err(op::unknown(other)),
    };
    if sizes.len() > MOST {
        return Err(strange());
    }
    graph.set(operator, 0, Value::Sizes(sizes))
}

/// The shape that input `k` of an operator gives, if it was computed.
pub(super) fn given(graph: &Graph, operator: &Operator, k: usize) -> Option<Vec<Option<usize>>> {
    let Some(Value::Sizes(sizes)) = graph.value(operator.input(k)?) else { return None };
    // One that is negative is for the kernel to find, and so is in the shape of the result.
    sizes.iter().map(|n| n.map_or(Some(None), |n| usize::try_from(n).ok().map(Some))).collect()
}

fn operand(graph: &Graph, operator: &Operator, k: usize) -> Result<Sizes> {
    match operator.input(k).and_then(|i| graph.value(i)) {
        Some(Value::Sizes(sizes)) => Ok(sizes.clone()),
        _ => Ok(graph.integers(operator, k)?.into_iter().map(Some).collect()),
    }
}

fn pick(from: &[Option<i64>], k: i64) -> Result<Option<i64>> {
    let k = if k < 0 { k.saturating_add(from.len() as i64) } else { k };
    usize::try_from(k).ok().and_then(|k| from.get(k)).copied().ok_or_else(strange)
}

/// The open size stays what it is only among ones.
fn product(sizes: &[Option<i64>]) -> Result<Option<i64>> {
    let known = sizes.iter().flatten().try_fold(1i64, |a, &b| a.checked_mul(b)).ok_or_else(strange)?;
    match sizes.iter().filter(|n| n.is_none()).count() {
        0 => Ok(Some(known)),
        1 if known == 1 => Ok(None),
        _ => Err(strange()),
    }
}

fn strange() -> super::model::Fault {
    fault("it computes a shape in an unusual way", "convert the model with a fixed number of steps")
}
