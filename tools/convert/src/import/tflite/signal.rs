//! What flows along a tensor: features of a sequence, and which dimension of the tensor is what.

use super::model::{Result, fault};
use cellstate_reference::Source;

/// What a dimension of a tensor counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Nothing: the batch, which is 1, and whatever dimension of size 1 was put in.
    One,
    Time,
    Features,
}

/// A tensor that depends on the network's input.
#[derive(Clone, Debug)]
pub(super) struct Signal {
    /// The parts that are joined in it.
    pub(super) from: Vec<Source>,
    pub(super) axes: Vec<Axis>,
    /// Number of features.
    pub(super) width: usize,
    /// Number of steps, if it is fixed.
    pub(super) steps: Option<usize>,
    /// Stands in the tensor with its last step first.
    pub(super) reversed: bool,
    /// Whether more than one operator reads it, so that what follows may not change what made it.
    pub(super) shared: bool,
}

/// One of the ends of a tensor's time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    First,
    Last,
}

/// What a slice leaves of a signal.
pub(super) enum Slice {
    All,
    Reversed,
    Step(End),
}

/// The operands of a slice.
pub(super) struct Range {
    pub(super) begin: Vec<i64>,
    pub(super) end: Vec<i64>,
    pub(super) stride: Vec<i64>,
    pub(super) begin_mask: i32,
    pub(super) end_mask: i32,
    pub(super) shrink_mask: i32,
}

impl Signal {
    /// Size of a dimension, if it is fixed.
    fn size(&self, axis: Axis) -> Option<usize> {
        match axis {
            Axis::One => Some(1),
            Axis::Time => self.steps,
            Axis::Features => Some(self.width),
        }
    }

    /// Its tensor's shape.
    pub(super) fn sizes(&self) -> Vec<Option<usize>> {
        self.axes.iter().map(|&a| self.size(a)).collect()
    }

    /// Whether the last dimension is the features'.
    pub(super) fn by_features(&self) -> bool {
        self.axes.last() == Some(&Axis::Features)
    }

    pub(super) fn has_time(&self) -> bool {
        self.axes.contains(&Axis::Time)
    }

    /// The dimensions of a tensor of `shape` that holds the same values in the same order; none if they are told apart
    /// differently there.
    pub(super) fn reshaped(&self, shape: &[Option<usize>]) -> Option<Vec<Axis>> {
        let mut rest: Vec<Axis> = self.axes.iter().rev().copied().filter(|&a| a != Axis::One).collect();
        let mut axes = Vec::new();
        for (k, &size) in shape.iter().enumerate() {
            let next = rest.last().copied().filter(|&a| self.size(a) == size);
            // A size of 1 may be a dimension of no meaning, unless those with one would not find their place.
            if let Some(axis) = next
                && (size != Some(1) || shape.len() - k <= rest.len())
            {
                axes.push(axis);
                rest.pop();
            } else if size == Some(1) {
                axes.push(Axis::One);
            } else {
                return None;
            }
        }
        rest.is_empty().then_some(axes)
    }

    /// What a range takes of the signal, and the dimensions of the result.
    pub(super) fn sliced(&self, range: &Range) -> Result<(Slice, Vec<Axis>)> {
        let (mut left, mut axes) = (Slice::All, Vec::new());
        for (k, &axis) in self.axes.iter().enumerate() {
            let (Some(&begin), Some(&end), Some(&stride)) = (range.begin.get(k), range.end.get(k), range.stride.get(k))
            else {
                axes.push(axis);
                continue;
            };
            let set = |mask: i32| mask >> k & 1 == 1;
            let steps = self.size(axis).and_then(|n| i64::try_from(n).ok());
            let (from_begin, to_end) = (set(range.begin_mask), set(range.end_mask));
            let shrinks = set(range.shrink_mask);
            let whole = (from_begin || begin == 0) && (to_end || steps.is_some_and(|n| end >= n));
            if axis == Axis::One {
                axes.extend((!shrinks).then_some(axis));
            } else if !shrinks && stride == 1 && whole {
                axes.push(axis);
            } else if axis == Axis::Time && !shrinks && stride == -1 && from_begin && to_end {
                left = Slice::Reversed;
                axes.push(axis);
            } else if axis == Axis::Time && (shrinks || stride == 1) {
                let last = begin == -1 || steps == begin.checked_add(1);
                let one = shrinks || (last && to_end) || steps == Some(end) || end == begin.saturating_add(1);
                left = match (last && one, begin == 0 && one) {
                    (true, _) => Slice::Step(End::Last),
                    (_, true) => Slice::Step(End::First),
                    _ => return Err(fault("it takes a part of the sequence", "take all steps or the last one")),
                };
                axes.extend((!shrinks).then_some(Axis::One));
            } else {
                return Err(fault("it takes a part of a sample", "give a layer all features of the one before it"));
            }
        }
        Ok((left, axes))
    }
}
