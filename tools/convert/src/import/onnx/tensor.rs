//! Constants: what initializers hold and what shape computations yield.

use super::{Fault, fault, size::Size};
use cellstate_reference::Matrix;

/// A constant's values, row by row.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Floats(Vec<f64>),
    /// Integers and truth values.
    Ints(Vec<Size>),
}

/// A constant. Of an axis whose length is not known one element is stored, which stands for all.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub(super) dims: Vec<Size>,
    pub(super) data: Data,
}

impl Tensor {
    pub(super) fn floats(dims: Vec<Size>, data: Vec<f64>) -> Self {
        Self { dims, data: Data::Floats(data) }
    }

    /// A list of integers.
    pub(super) fn list(values: Vec<Size>) -> Self {
        Self { dims: vec![Size::of(values.len() as i64)], data: Data::Ints(values) }
    }

    pub(super) fn len(&self) -> usize {
        match &self.data {
            Data::Floats(v) => v.len(),
            Data::Ints(v) => v.len(),
        }
    }

    /// How many elements are stored along each axis.
    pub(super) fn stored(&self) -> Vec<usize> {
        self.dims.iter().map(|d| d.stored()).collect()
    }

    /// The values as floats; none if one depends on the batch or the steps.
    pub(super) fn to_floats(&self) -> Option<Vec<f64>> {
        match &self.data {
            Data::Floats(v) => Some(v.clone()),
            Data::Ints(v) => v.iter().map(|n| Some(n.known()? as f64)).collect(),
        }
    }

    /// The values of a constant of integers.
    pub(super) fn sizes(&self) -> Option<&[Size]> {
        match &self.data {
            Data::Ints(v) => Some(v),
            Data::Floats(_) => None,
        }
    }

    /// The values of a constant of known integers.
    pub(super) fn ints(&self) -> Option<Vec<i64>> {
        self.sizes()?.iter().map(|n| n.known()).collect()
    }

    /// The only value.
    pub(super) fn scalar(&self) -> Option<f64> {
        match self.to_floats()?[..] {
            [v] => Some(v),
            _ => None,
        }
    }

    /// The elements at positions of this one, in a new shape.
    pub(super) fn pick(&self, dims: Vec<Size>, at: &[usize]) -> Option<Self> {
        let data = match &self.data {
            Data::Floats(v) => Data::Floats(at.iter().map(|&k| v.get(k).copied()).collect::<Option<_>>()?),
            Data::Ints(v) => Data::Ints(at.iter().map(|&k| v.get(k).copied()).collect::<Option<_>>()?),
        };
        Some(Self { dims, data })
    }

    /// A matrix of weights, whose shape must be known.
    pub(super) fn matrix(&self) -> Result<Matrix, Fault> {
        let [rows, cols] = self.shape::<2>()?;
        Ok(Matrix { rows, cols, data: self.values()? })
    }

    /// The shape, if it has `N` axes.
    pub(super) fn shape<const N: usize>(&self) -> Result<[usize; N], Fault> {
        let known: Option<Vec<usize>> = self.dims.iter().map(|d| usize::try_from(d.known()?).ok()).collect();
        known.and_then(|k| k.try_into().ok()).ok_or_else(|| {
            fault(format!("its weights have {} axes where {N} are due", self.dims.len()), "export the model again")
        })
    }

    /// The values of weights.
    pub(super) fn values(&self) -> Result<Vec<f64>, Fault> {
        self.to_floats().ok_or_else(|| fault("its weights depend on the shape of the input", "export the model again"))
    }
}

/// The positions in a row-major array of `extents` in the order of one whose axis `k` is axis `order[k]` of it.
pub(super) fn reorder(extents: &[usize], order: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; extents.len()];
    for k in (1..extents.len()).rev() {
        // Beside an axis of no elements the others may be any, and there are no positions.
        strides[k - 1] = strides[k].wrapping_mul(extents[k]);
    }
    positions(order.iter().map(|&k| (extents[k], strides[k])).collect::<Vec<_>>().as_slice())
}

/// The positions that a walk over axes of (length, stride) meets, the last axis fastest.
pub(super) fn positions(axes: &[(usize, usize)]) -> Vec<usize> {
    // Whichever axis has none; those before it may be long.
    if axes.iter().any(|&(length, _)| length == 0) {
        return Vec::new();
    }
    axes.iter().fold(vec![0], |at, &(length, stride)| {
        at.iter().flat_map(|base| (0..length).map(move |k| base + k * stride)).collect()
    })
}

/// The positions in an array of `extents` of the elements `at` along one axis.
pub(super) fn along(extents: &[usize], axis: usize, at: &[usize]) -> Vec<usize> {
    if at.is_empty() || extents[axis + 1..].contains(&0) || extents[..axis].contains(&0) {
        return Vec::new();
    }
    let inner: usize = extents[axis + 1..].iter().product();
    let outer: usize = extents[..axis].iter().product();
    let span = inner * extents[axis];
    (0..outer).flat_map(|o| at.iter().flat_map(move |&k| (0..inner).map(move |i| o * span + k * inner + i))).collect()
}
