//! What is known of a value that depends on the input: which of its axes are time, batch and features, and where each feature
//! comes from.

use super::size::Size;
use super::tensor::{along, reorder};
use cellstate_reference::Source;
use std::rc::Rc;

/// What an axis that is not of features counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Row {
    Batch,
    Time,
}

/// An axis of a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Axis {
    /// Batch, time or both, the last one fastest; never empty, and nothing in it has length 1.
    Rows(Vec<(Row, Size)>),
    /// So many features; one is also what an axis without meaning has.
    Features(usize),
}

/// An axis of length 1.
pub(super) const UNIT: Axis = Axis::Features(1);

impl Axis {
    pub(super) fn features(&self) -> usize {
        match self {
            Axis::Rows(_) => 1,
            Axis::Features(n) => *n,
        }
    }

    pub(super) fn size(&self) -> Option<Size> {
        match self {
            Axis::Rows(rows) => rows.iter().try_fold(Size::of(1), |p, (_, n)| p.times(*n)),
            Axis::Features(n) => Some(Size::of(*n as i64)),
        }
    }

    /// Whether it is nothing but a row of this kind.
    pub(super) fn is(&self, row: Row) -> bool {
        matches!(self, Axis::Rows(rows) if matches!(rows[..], [(r, _)] if r == row))
    }
}

/// A multiple of a value that the network computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Term {
    pub(super) source: Source,
    pub(super) index: usize,
    pub(super) factor: f64,
}

/// A feature: a sum of terms and an offset.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Column {
    pub(super) terms: Vec<Term>,
    pub(super) offset: f64,
}

impl Column {
    pub(super) fn one(source: Source, index: usize) -> Self {
        Self { terms: vec![Term { source, index, factor: 1.0 }], offset: 0.0 }
    }

    /// This times a factor, and an offset.
    pub(super) fn affine(&self, factor: f64, offset: f64) -> Self {
        let term = |t: &Term| Term { factor: t.factor * factor, ..*t };
        Self { terms: self.terms.iter().map(term).collect(), offset: self.offset * factor + offset }
    }

    /// The value itself, and nothing done to it.
    pub(super) fn plain(&self) -> Option<(Source, usize)> {
        match self.terms[..] {
            [Term { source, index, factor: 1.0 }] if self.offset == 0.0 => Some((source, index)),
            _ => None,
        }
    }
}

/// Why a value does not fit another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clash {
    /// An axis would mix time and features, which unrolling the sequence makes possible.
    Time,
    /// The lengths do not fit, or an axis would mix what must stay apart.
    Shape,
}

/// A value that depends on the input.
#[derive(Clone, Debug)]
pub(super) struct Signal {
    pub(super) axes: Vec<Axis>,
    /// The features, row by row over all axes of features.
    pub(super) columns: Rc<Vec<Column>>,
    /// Of one step of a sequence, and not of each.
    pub(super) ended: bool,
    /// The last step stands first.
    pub(super) reversed: bool,
    /// Zeros put before the first step, which only a convolution can take.
    pub(super) pad: usize,
    /// Steps at the end that a convolution made out of zeros there: they must be cut off.
    pub(super) tail: usize,
    /// A node of which this is the only view so far: what follows may be folded into it.
    pub(super) open: Option<usize>,
    /// The hidden state that the model hands from call to call.
    pub(super) state: bool,
}

impl Signal {
    pub(super) fn new(axes: Vec<Axis>, columns: Vec<Column>) -> Self {
        Self {
            axes,
            columns: Rc::new(columns),
            ended: false,
            reversed: false,
            pad: 0,
            tail: 0,
            open: None,
            state: false,
        }
    }

    /// As this one, with other features.
    pub(super) fn with(&self, axes: Vec<Axis>, columns: Vec<Column>) -> Self {
        Self { axes, columns: Rc::new(columns), open: None, state: false, ..self.clone() }
    }

    pub(super) fn width(&self) -> usize {
        self.columns.len()
    }

    /// How many numbers it holds.
    pub(super) fn terms(&self) -> usize {
        self.columns.iter().map(|c| 1 + c.terms.len()).sum()
    }

    /// The features along each axis: their product is the width.
    pub(super) fn extents(&self) -> Vec<usize> {
        self.axes.iter().map(Axis::features).collect()
    }

    /// The axis that holds the steps, and how many they are; none for a single step.
    pub(super) fn time(&self) -> Option<(usize, Size)> {
        self.axes.iter().enumerate().find_map(|(k, axis)| match axis {
            Axis::Rows(rows) => rows.iter().find(|(r, _)| *r == Row::Time).map(|(_, n)| (k, *n)),
            Axis::Features(_) => None,
        })
    }

    /// The axis of all features, if it is one; the last one of a value with a single feature.
    pub(super) fn feature_axis(&self) -> Option<usize> {
        let mut wide = (0..self.axes.len()).filter(|&k| self.axes[k].features() > 1);
        match (wide.next(), wide.next()) {
            (Some(k), None) => Some(k),
            (None, _) => (0..self.axes.len()).rev().find(|&k| self.axes[k] == UNIT),
            _ => None,
        }
    }

    /// The features at these positions, with another number of them on one axis.
    pub(super) fn chosen(&self, axis: usize, at: &[usize]) -> Self {
        let columns = along(&self.extents(), axis, at).into_iter().map(|k| self.columns[k].clone()).collect();
        let mut axes = self.axes.clone();
        axes[axis] = Axis::Features(at.len());
        Self { columns: Rc::new(columns), axes, ..self.clone() }
    }

    /// Axis `k` of the result is axis `order[k]` of this.
    pub(super) fn transposed(&self, order: &[usize]) -> Self {
        let axes = order.iter().map(|&k| self.axes[k].clone()).collect();
        let wide = |k: &&usize| self.axes[**k].features() > 1;
        let moved = !order.iter().filter(wide).is_sorted();
        let columns = if moved {
            Rc::new(reorder(&self.extents(), order).into_iter().map(|k| self.columns[k].clone()).collect())
        } else {
            Rc::clone(&self.columns)
        };
        Self { axes, columns, ..self.clone() }
    }

    /// In another shape with the same elements in the same order.
    pub(super) fn reshaped(&self, target: &[Size]) -> Result<Self, Clash> {
        let (axes, mixed) = self.regrouped(target).ok_or(Clash::Shape)?;
        if mixed { Err(Clash::Time) } else { Ok(Self { axes, ..self.clone() }) }
    }

    /// The axes of another shape, and whether one mixes time and features.
    fn regrouped(&self, target: &[Size]) -> Option<(Vec<Axis>, bool)> {
        let mut atoms: Vec<Axis> = Vec::new();
        for axis in self.axes.iter().rev() {
            match axis {
                Axis::Rows(rows) => atoms.extend(rows.iter().rev().map(|&r| Axis::Rows(vec![r]))),
                Axis::Features(1) => {}
                Axis::Features(n) => atoms.push(Axis::Features(*n)),
            }
        }
        let mut axes = Vec::new();
        let mut mixed = false;
        for &length in target {
            let (mut rows, mut features, mut need) = (Vec::new(), 1usize, length);
            while need != Size::of(1) {
                let atom = atoms.pop()?;
                let whole = atom.size()?;
                if let Some(rest) = need.over(whole) {
                    need = rest;
                    match atom {
                        Axis::Rows(r) => rows.extend(r),
                        Axis::Features(n) => features = features.checked_mul(n)?,
                    }
                } else {
                    // A part of the features: the outer ones.
                    let (Axis::Features(n), Some(part)) = (atom, need.known()) else { return None };
                    let part = usize::try_from(part).ok().filter(|&p| p > 0 && n.is_multiple_of(p))?;
                    atoms.push(Axis::Features(n / part));
                    features = features.checked_mul(part)?;
                    need = Size::of(1);
                }
            }
            if !rows.is_empty() && features > 1 {
                if rows.iter().any(|(r, _)| *r == Row::Batch) {
                    return None;
                }
                mixed = true;
            }
            axes.push(if rows.is_empty() { Axis::Features(features) } else { Axis::Rows(rows) });
        }
        if !atoms.is_empty() {
            return None;
        }
        Some((axes, mixed))
    }
}
