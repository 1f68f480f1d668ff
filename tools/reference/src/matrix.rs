//! Matrices of 64-bit floats.

/// A row-major matrix of 64-bit floats.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub cols: usize,
    /// `rows * cols` values, row by row.
    pub data: Vec<f64>,
}

impl Matrix {
    /// A matrix from a function of row and column.
    pub fn from_fn(rows: usize, cols: usize, f: impl Fn(usize, usize) -> f64) -> Self {
        let data = (0..rows * cols).map(|k| f(k / cols, k % cols)).collect();
        Self { rows, cols, data }
    }

    /// The identity times `v`, column by column.
    pub fn diagonal(v: &[f64]) -> Self {
        Self::from_fn(v.len(), v.len(), |r, c| if r == c { v[r] } else { 0.0 })
    }

    /// One row.
    pub fn row(&self, row: usize) -> &[f64] {
        &self.data[row * self.cols..][..self.cols]
    }

    /// The matrix of `rows` rows whose row `r` is row `source(r)` of this one.
    #[must_use]
    pub fn gather(&self, rows: usize, source: impl Fn(usize) -> usize) -> Self {
        Self::from_fn(rows, self.cols, |r, c| self.row(source(r))[c])
    }

    /// Columns for rows.
    #[must_use]
    pub fn transpose(&self) -> Self {
        Self::from_fn(self.cols, self.rows, |r, c| self.row(c)[r])
    }

    /// This times a vector.
    pub fn times(&self, x: &[f64]) -> Vec<f64> {
        (0..self.rows).map(|r| dot(self.row(r), x)).collect()
    }
}

/// The sum of products.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
