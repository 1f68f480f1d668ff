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
    count: u64,
    /// The latest vector from the origin.
    shifted: Vec<f64>,
}

impl Moments {
    /// Takes a vector into account, given in parts; all have the same width. Wider ones than [`WIDEST`] are not.
    pub fn observe(&mut self, parts: [&[f64]; 2]) {
        let width = parts.iter().map(|p| p.len()).sum();
        if width > WIDEST {
            return;
        }
        if self.count == 0 {
            self.origin = parts.concat();
            self.sum = vec![0.0; width];
            self.products = vec![0.0; width * width];
        }
        self.shifted.clear();
        self.shifted.extend(parts.iter().copied().flatten().zip(&self.origin).map(|(x, o)| x - o));
        for (i, &x) in self.shifted.iter().enumerate() {
            self.sum[i] += x;
            let row = &mut self.products[i * width + i..(i + 1) * width];
            row.iter_mut().zip(&self.shifted[i..]).for_each(|(p, y)| *p += x * y);
        }
        self.count += 1;
    }

    /// The vector's width; 0 if none was seen.
    pub fn width(&self) -> usize {
        self.sum.len()
    }

    /// The mean of value `k`.
    pub fn mean(&self, k: usize) -> f64 {
        self.origin[k] + self.sum[k] / self.count as f64
    }

    /// The covariance of two values, of the population.
    pub fn covariance(&self, i: usize, j: usize) -> f64 {
        let n = self.count as f64;
        let (i, j) = if i <= j { (i, j) } else { (j, i) };
        self.products[i * self.width() + j] / n - self.sum[i] / n * (self.sum[j] / n)
    }
}
