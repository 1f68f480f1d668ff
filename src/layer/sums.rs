//! The two products of a recurrent layer, `W x` and `U h`: in records that both share, or each in its own.
//!
//! Where both matrices are alike and whole they stand in one record, and a step passes over it once. Where they differ in
//! format, or groups of columns have a scale of their own, each part of a row is requantized for itself:
//! `b + sum over parts of mul_high(W x, m)`.

use crate::kernel::{self, COLUMNS, Four, ROWS, Vector};
use crate::model::header::Weights;
use crate::model::more::{Formats, MAX_PARTS};

/// Pre-activations of `count` records, four rows at a time.
pub(crate) trait Sums {
    /// Of both matrices, from their records; the second are none where both share the first.
    fn rows<'a>(&'a self, records: [&'a [i32]; 2], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a;

    /// Of `W x` alone, from records of its own.
    fn input<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a;

    /// Of `U h` alone, from records of its own.
    fn hidden<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a;
}

/// Matrices that share their records: see [`Formats::is_joint`].
pub(crate) struct Joint<'v> {
    weights: Weights,
    vectors: [Vector<'v>; 2],
}

impl<'v> Joint<'v> {
    #[inline(always)]
    pub(crate) fn new(formats: Formats, vectors: [&'v [Four]; 2]) -> Self {
        Self { weights: formats.w, vectors: vectors.map(|v| Vector::new(formats.w, v)) }
    }
}

impl Sums for Joint<'_> {
    #[inline(always)]
    fn rows<'a>(&'a self, [both, _]: [&'a [i32]; 2], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        kernel::rows(self.weights, both, count, &self.vectors)
    }

    #[inline(always)]
    fn input<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        let [x, _] = self.vectors.each_ref();
        kernel::rows(self.weights, records, count, core::slice::from_ref(x))
    }

    #[inline(always)]
    fn hidden<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        let [_, h] = self.vectors.each_ref();
        kernel::rows(self.weights, records, count, core::slice::from_ref(h))
    }
}

/// Matrices with records of their own, in parts.
pub(crate) struct Apart<'v> {
    formats: Formats,
    parts: heapless::Vec<Vector<'v>, MAX_PARTS>,
    /// Parts of the input.
    inputs: usize,
}

impl<'v> Apart<'v> {
    pub(crate) fn new(formats: Formats, [x, h]: [&'v [Four]; 2]) -> Self {
        let mut sums = Self { formats, parts: heapless::Vec::new(), inputs: 0 };
        sums.push(formats.w, x);
        sums.inputs = sums.parts.len();
        sums.push(formats.u, h);
        sums
    }

    fn push(&mut self, weights: Weights, vector: &'v [Four]) {
        let group = match self.formats.group_of(weights) {
            0 => usize::MAX,
            group => group / COLUMNS,
        };
        for part in vector.chunks(group.max(1)) {
            // No checked model has more parts than there is room for.
            let _ = self.parts.push(Vector::new(weights, part));
        }
    }
}

impl Sums for Apart<'_> {
    fn rows<'a>(&'a self, [w, u]: [&'a [i32]; 2], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        // Bounded by the loader.
        let add = |(a, b)| core::array::from_fn(|k| at(a, k).wrapping_add(at(b, k)));
        self.input(w, count).zip(self.hidden(u, count)).map(add)
    }

    fn input<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        kernel::rows(self.formats.w, records, count, self.parts.get(..self.inputs).unwrap_or_default())
    }

    fn hidden<'a>(&'a self, records: &'a [i32], count: usize) -> impl Iterator<Item = [i32; ROWS]> + 'a {
        kernel::rows(self.formats.u, records, count, self.parts.get(self.inputs..).unwrap_or_default())
    }
}

/// Row `k` of four.
#[inline(always)]
pub(super) fn at(z: [i32; ROWS], k: usize) -> i32 {
    z.get(k).copied().unwrap_or(0)
}
