//! Values on their way from layer to layer.

use cellstate_reference::{Matrix, Source};

/// What a layer yields: sources, joined, and perhaps sums of their values.
#[derive(Clone)]
pub(super) struct Flow {
    /// Joined in this order; never empty.
    pub(super) from: Vec<Source>,
    /// The values of all sources together.
    pub(super) joined: usize,
    /// How the flow's values are sums of the sources'; none if they are the same.
    pub(super) mix: Option<Mix>,
    pub(super) width: usize,
    pub(super) steps: Steps,
    /// Keras has the sequence in reversed time order. The nodes behind it always have it in that of the input.
    pub(super) reversed: bool,
    /// Masked steps are skipped.
    pub(super) masked: bool,
    /// The first step that has a value, and the distance to the next: convolutions move both.
    pub(super) grid: (usize, usize),
    /// The stream on whose steps it has values.
    pub(super) stream: usize,
    /// Whether a value depends on where its window began: states and the zeros before a causal convolution do.
    pub(super) anchored: bool,
}

/// Each value as a sum of the sources' values: column and factor.
#[derive(Clone, PartialEq)]
pub(super) struct Mix(pub(super) Vec<Vec<(usize, f64)>>);

/// How often a flow has values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Steps {
    /// At each step, of as many as these if that is known.
    Every(Option<usize>),
    /// Once.
    One,
}

impl Flow {
    /// An input stream, or `width` of its features from `first` on.
    pub(super) fn input(stream: usize, features: usize, first: usize, width: usize, steps: Steps) -> Self {
        let part = width < features;
        Self {
            from: vec![if stream == 0 { Source::Input } else { Source::Stream(stream) }],
            joined: features,
            mix: part.then(|| Mix((first..first + width).map(|c| vec![(c, 1.0)]).collect())),
            width,
            steps,
            reversed: false,
            masked: false,
            grid: (0, 1),
            stream,
            anchored: false,
        }
    }

    /// The output of a node in place of this flow's.
    pub(super) fn to(&self, node: Source, width: usize) -> Self {
        Self { from: vec![node], joined: width, mix: None, width, ..self.clone() }
    }

    /// Dimensions as Keras counts them, with the batch.
    pub(super) fn rank(&self) -> usize {
        if self.steps == Steps::One { 2 } else { 3 }
    }

    /// The row of sums that value `k` is.
    pub(super) fn row(&self, k: usize) -> Vec<(usize, f64)> {
        self.mix.as_ref().map_or_else(|| vec![(k, 1.0)], |m| m.0[k].clone())
    }

    /// What it takes to keep it.
    pub(super) fn size(&self) -> usize {
        self.from.len() + self.mix.iter().flat_map(|m| &m.0).map(|row| 2 + row.len()).sum::<usize>()
    }

    /// Whether it is an input as it comes.
    pub(super) fn is_input(&self) -> bool {
        matches!(self.from[..], [Source::Input | Source::Stream(_)]) && self.mix.is_none()
    }

    /// Whether it has the values of another.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.from == other.from && self.mix == other.mix
    }
}

impl Mix {
    /// `w` times this: weights for the sources' values instead of their sums.
    pub(super) fn before(&self, w: &Matrix, joined: usize) -> Matrix {
        let mut out = Matrix::from_fn(w.rows, joined, |_, _| 0.0);
        for r in 0..w.rows {
            for (weight, row) in w.row(r).iter().zip(&self.0) {
                for &(column, factor) in row {
                    out.data[r * joined + column] += weight * factor;
                }
            }
        }
        out
    }

    /// As a matrix.
    pub(super) fn matrix(&self, joined: usize) -> Matrix {
        let mut out = Matrix::from_fn(self.0.len(), joined, |_, _| 0.0);
        for (r, row) in self.0.iter().enumerate() {
            for &(column, factor) in row {
                out.data[r * joined + column] += factor;
            }
        }
        out
    }
}
