//! Means and covariances of the vectors that a layer's rows are multiplied by, streamed.

/// A vector wider than this has no covariance: its weights are rounded one by one. The table has the square of it.
pub const WIDEST: usize = 1024;

/// The first two moments of a vector.
///
/// Sums are taken from the first vector seen, so that an offset larger than the spread costs no digits.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    origin: Vec<f64>,
    sum: Vec<f64>,
    /// Row by row the sums of products; only those of a column not below the row are kept up.
    products: Vec<f64>,
    /// The sum of all weights.
    total: f64,
    /// The latest vector from the origin.
    shifted: Vec<f64>,
}

impl Moments {
    /// Takes a vector into account, given in parts; all have the same width. Wider ones than [`WIDEST`] are not.
    pub fn observe(&mut self, parts: [&[f64]; 2]) {
        self.observe_weighted(parts, 1.0);
    }

    /// Takes a vector into account as if it had come `weight` times.
    pub fn observe_weighted(&mut self, parts: [&[f64]; 2], weight: f64) {
        let width = parts.iter().map(|p| p.len()).sum();
        if width > WIDEST {
            return;
        }
        if self.sum.is_empty() {
            self.origin = parts.concat();
            self.sum = vec![0.0; width];
            self.products = vec![0.0; width * width];
        }
        self.shifted.clear();
        self.shifted.extend(parts.iter().copied().flatten().zip(&self.origin).map(|(x, o)| x - o));
        for (i, &x) in self.shifted.iter().enumerate() {
            let x = x * weight;
            self.sum[i] += x;
            let row = &mut self.products[i * width + i..(i + 1) * width];
            row.iter_mut().zip(&self.shifted[i..]).for_each(|(p, y)| *p += x * y);
        }
        self.total += weight;
    }

    /// The vector's width; 0 if none was seen.
    pub fn width(&self) -> usize {
        self.sum.len()
    }

    /// These and others of the same vectors, weighted otherwise, of which `share` is taken; all of the others if these have no
    /// weight.
    #[must_use]
    pub fn mixed_with(&self, other: &Self, share: f64) -> Self {
        let mine = if self.total > 0.0 { (1.0 - share) / self.total } else { 0.0 };
        let others = (if self.total > 0.0 { share } else { 1.0 }) / other.total;
        let mix = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * mine + b * others).collect();
        Self {
            origin: self.origin.clone(),
            sum: mix(&self.sum, &other.sum),
            products: mix(&self.products, &other.products),
            total: 1.0,
            shifted: Vec::new(),
        }
    }

    /// The mean of value `k`.
    pub fn mean(&self, k: usize) -> f64 {
        self.origin[k] + self.sum[k] / self.total
    }

    /// The covariance of two values, of the population.
    pub fn covariance(&self, i: usize, j: usize) -> f64 {
        let n = self.total;
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        self.products[i * self.width() + j] / n - self.sum[i] / n * (self.sum[j] / n)
    }
}
