//! Operators that take parts of a value: steps, features, rows of a table.

use super::build::{Builder, End};
use super::glue::whole_steps;
use super::op::{Op, Value};
use super::signal::{Axis, Row, Signal, UNIT};
use super::size::Size;
use super::{Fault, fault};
use cellstate_reference::Layer;

const AGAIN: &str = "export the model again";
const STEPS: &str = "keep all steps, or the last one";

/// A part of an axis.
pub(super) struct Range {
    start: Size,
    end: Size,
    step: i64,
}

impl Range {
    /// A bound counted from the start of an axis.
    fn bound(at: Size, length: Size) -> Option<Size> {
        let Some(n) = at.known() else { return Some(at) };
        match length.known() {
            Some(l) => Some(Size::of(if n < 0 { n.saturating_add(l).max(0) } else { n.min(l) })),
            // Exporters write the end of an axis as a large number.
            None if n > i64::from(i32::MAX) / 2 => Some(length),
            None if n < 0 => length.plus(at),
            None => Some(at),
        }
    }

    fn is_reversal(&self, length: Size) -> bool {
        let last = length.minus(Size::of(1));
        let start = self.start == Size::of(-1) || Some(self.start) == last || self.start.known() > length.known();
        self.step == -1 && start && self.end.known().is_some_and(|e| e < length.known().map_or(-(1 << 30), |l| -l))
    }

    /// The positions that it takes of an axis of known length.
    pub(super) fn of(&self, length: Size) -> Option<Vec<usize>> {
        let l = length.known()?;
        if self.is_reversal(length) {
            return Some((0..l as usize).rev().collect());
        }
        let (start, end) = (Self::bound(self.start, length)?.known()?, Self::bound(self.end, length)?.known()?);
        let step = usize::try_from(self.step).ok().filter(|&s| s > 0)?;
        Some((start as usize..end.max(start) as usize).step_by(step).collect())
    }
}

/// The parts that `Slice` takes, axis by axis.
pub(super) fn slices(op: &Op, dims: &[Size]) -> Result<Vec<(usize, Range)>, Fault> {
    let sizes = |k: usize, name: &str| -> Result<Option<Vec<Size>>, Fault> {
        Ok(match op.constant(k, name)? {
            Some(t) => Some(t.sizes().ok_or_else(|| fault(format!("its {name} are no integers"), AGAIN))?.to_vec()),
            None => op.ints(name).map(|v| v.iter().map(|&n| Size::of(n)).collect()),
        })
    };
    let missing = || fault("its bounds are missing", AGAIN);
    let (starts, ends) = (sizes(1, "starts")?.ok_or_else(missing)?, sizes(2, "ends")?.ok_or_else(missing)?);
    let axes = match op.list(3, "axes")? {
        Some(axes) => Op::axes(&axes, dims.len())?,
        None => (0..dims.len().min(starts.len())).collect(),
    };
    let steps = op.list(4, "steps")?.unwrap_or_else(|| vec![1; starts.len()]);
    if [starts.len(), ends.len(), steps.len()] != [axes.len(); 3] || axes.len() > dims.len() {
        return Err(missing());
    }
    let range = |k: usize| Range { start: starts[k], end: ends[k], step: steps[k] };
    Ok(axes.iter().enumerate().map(|(k, &axis)| (axis, range(k))).collect())
}

pub(super) fn sliced(builder: &mut Builder, op: &Op) -> Result<Signal, Fault> {
    let mut signal = op.signal(0)?.clone();
    let dims: Option<Vec<Size>> = signal.axes.iter().map(Axis::size).collect();
    for (axis, range) in slices(op, &dims.ok_or_else(|| fault("its bounds cannot be followed", STEPS))?)? {
        signal = match &signal.axes[axis] {
            Axis::Features(n) => {
                let at = range.of(Size::of(*n as i64)).filter(|at| !at.is_empty());
                signal.chosen(axis, &at.ok_or_else(|| fault("it takes no features", AGAIN))?)
            }
            Axis::Rows(rows) => {
                let [(row, length)] = rows[..] else {
                    return Err(fault("it cuts an axis of batch and time together", STEPS));
                };
                rows_cut(builder, &signal, axis, row, length, &range)?
            }
        };
    }
    Ok(signal)
}

/// A slice of the steps: all of them, in reverse, the first or the last, or without those that a convolution has added.
fn rows_cut(
    builder: &mut Builder,
    signal: &Signal,
    axis: usize,
    row: Row,
    length: Size,
    range: &Range,
) -> Result<Signal, Fault> {
    let bounds = (Range::bound(range.start, length), Range::bound(range.end, length));
    let zero = Size::of(0);
    if range.step == 1 && bounds == (Some(zero), Some(length)) {
        return Ok(signal.clone());
    }
    if row == Row::Batch {
        return Err(batch_cut());
    }
    if range.is_reversal(length) {
        return Ok(Signal { reversed: !signal.reversed, ..whole_steps(signal)?.clone() });
    }
    if range.step == 1 && signal.tail > 0 && !signal.reversed {
        let kept = length.minus(Size::of(signal.tail as i64));
        if bounds == (Some(zero), kept) {
            let mut out = Signal { tail: 0, ..signal.clone() };
            let kept = kept.unwrap_or(length);
            out.axes[axis] = if kept == Size::of(1) { UNIT } else { Axis::Rows(vec![(Row::Time, kept)]) };
            return Ok(out);
        }
    }
    let last = length.minus(Size::of(1));
    let end = if range.step == 1 && bounds == (last, Some(length)) {
        End::Last
    } else if range.step == 1 && bounds == (Some(zero), Some(Size::of(1))) {
        End::First
    } else {
        return Err(fault("it takes some steps of a sequence and not others", STEPS));
    };
    step_of(builder, signal, axis, end)
}

fn batch_cut() -> Fault {
    fault("it takes a part of the batch", "export the model with a fixed batch of 1").of_order()
}

/// One step, in an axis of length 1.
fn step_of(builder: &mut Builder, signal: &Signal, axis: usize, end: End) -> Result<Signal, Fault> {
    let columns = builder.pick(whole_steps(signal)?, end)?;
    let mut axes = signal.axes.clone();
    axes[axis] = UNIT;
    Ok(Signal { ended: true, reversed: false, ..signal.with(axes, columns) })
}

fn without(mut signal: Signal, axis: usize) -> Signal {
    signal.axes.remove(axis);
    signal
}

pub(super) fn gather(builder: &mut Builder, op: &Op) -> Result<Signal, Fault> {
    if let Some(Value::Tensor(table)) = op.input(0) {
        return embedding(builder, op, table);
    }
    let signal = op.signal(0)?;
    let axis = Op::axis(op.int("axis").unwrap_or(0), signal.axes.len())?;
    let indices = op.weights(1, "index")?;
    let scalar = indices.dims.is_empty();
    let unclear = || fault("its index cannot be followed", STEPS);
    if indices.dims.len() > 1 {
        return Err(fault("its index has several axes", AGAIN));
    }
    let out = match &signal.axes[axis] {
        Axis::Features(n) => {
            let length = *n as i64;
            let place = |i: i64| usize::try_from(if i < 0 { i.checked_add(length)? } else { i }).ok().filter(|i| i < n);
            let at: Option<Vec<usize>> = indices.ints().and_then(|v| v.into_iter().map(place).collect());
            let at = at.filter(|at| !at.is_empty()).ok_or_else(unclear)?;
            builder.spend(signal.terms().checked_mul(at.len()))?;
            signal.chosen(axis, &at)
        }
        rows if rows.is(Row::Time) => {
            let length = rows.size().ok_or_else(unclear)?;
            let &[index] = indices.sizes().ok_or_else(unclear)? else { return Err(unclear()) };
            if index == Size::of(-1) || Some(index) == length.minus(Size::of(1)) {
                step_of(builder, signal, axis, End::Last)?
            } else if index == Size::of(0) {
                step_of(builder, signal, axis, End::First)?
            } else {
                return Err(fault("it takes a step that is neither the first nor the last", STEPS));
            }
        }
        Axis::Rows(_) => return Err(batch_cut()),
    };
    Ok(if scalar { without(out, axis) } else { out })
}

/// Rows of a table by the input.
fn embedding(builder: &mut Builder, op: &Op, table: &super::tensor::Tensor) -> Result<Signal, Fault> {
    let signal = whole_steps(op.signal(1)?)?;
    let axis = Op::axis(op.int("axis").unwrap_or(0), table.dims.len())?;
    let table = table.matrix()?;
    if axis != 0 || signal.width() != 1 {
        let remedy = "give each embedding one feature, and take rows of its table";
        return Err(fault(format!("it looks up {} features at once", signal.width()), remedy).of_order());
    }
    builder.spend(Some(table.data.len()))?;
    let from = builder.whole(&format!("{}/index", op.name), signal)?;
    let node = builder.node(&op.name, Layer::Embedding(table), from);
    let columns = builder.columns(node);
    let mut axes = signal.axes.clone();
    axes.push(Axis::Features(columns.len()));
    Ok(signal.with(axes, columns))
}
