//! Rounding a row so that its errors make up for one another.
//!
//! The error of a row on an input `x` is `d x`, with `d` the errors of its weights; its mean goes into the bias, and what is
//! left has the variance `d' A d`, with `A` the covariance of `x`. Rounding each weight to the nearest makes every `d` small;
//! what counts is that `d' A d` is. With `A = M' D M`, `M` unit lower triangular, the variance is a sum of one square a
//! weight, `D_j (d_j + sum_{k<j} M_jk d_k)^2`, so each weight in turn can take up what those before it left. That is the
//! rounding of GPTQ (Frantar et al. 2023), without its inverse. Then single weights move while that lowers the variance.

use super::moments::Moments;

/// The most passes of single moves over a row. Few rows need more than five.
const PASSES: usize = 20;

/// What errors of a row's weights cost: the covariance of its input vector, at full scale of each column, and its factors.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The column at each place of the order in which weights are rounded: the largest variance first.
    order: Vec<usize>,
    /// The covariance in that order, row by row, with the damping on its diagonal.
    covariance: Vec<f64>,
    /// `M`, row by row, in that order.
    factor: Vec<f64>,
    /// `D`.
    pivots: Vec<f64>,
}

impl Cost {
    /// Of columns whose values are these of a vector, one unit of each being `full`.
    ///
    /// `damping` times the mean variance is added to each: what the calibration data never did may come. None if the data
    /// tells nothing.
    pub fn new(moments: &Moments, columns: &[usize], full: &[f64], damping: f64) -> Option<Self> {
        let n = columns.len();
        if columns.iter().any(|&c| c >= moments.width()) {
            return None;
        }
        let at = |i: usize, j: usize| moments.covariance(columns[i], columns[j]) / (full[i] * full[j]);
        let variances: Vec<f64> = (0..n).map(|k| at(k, k).max(0.0)).collect();
        let damped = variances.iter().sum::<f64>() / n as f64 * damping;
        if !(damped.is_finite() && damped > 0.0) {
            return None;
        }
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|&a, &b| variances[b].total_cmp(&variances[a]));
        let mut covariance = vec![0.0; n * n];
        for i in 0..n {
            for j in 0..n {
                covariance[i * n + j] = at(order[i], order[j]) + if i == j { damped } else { 0.0 };
            }
        }
        let (factor, pivots) = factors(&covariance, n, damped);
        Some(Self { order, covariance, factor, pivots })
    }

    /// Rounds weights in multiples of `steps`, of magnitude up to `tops`, and gives the cost of the result.
    pub fn round(&self, weights: &[f64], steps: &[f64], tops: &[f64]) -> (Vec<i32>, f64) {
        let n = self.order.len();
        let mut errors = vec![0.0; n];
        let mut integers = vec![0.0; n];
        for (j, &column) in self.order.iter().enumerate() {
            let (w, step, top) = (weights[column], steps[column], tops[column]);
            let carried = dot(&self.factor[j * n..][..j], &errors[..j]);
            integers[j] = ((w - carried) / step + 0.5).floor().clamp(-top, top);
            errors[j] = integers[j] * step - w;
        }
        let cost = self.settle(&mut integers, &mut errors, steps, tops);
        let mut out = vec![0; n];
        self.order.iter().zip(&integers).for_each(|(&column, &q)| out[column] = q as i32);
        (out, cost)
    }

    /// The cost of errors, column by column.
    pub fn of(&self, errors: &[f64]) -> f64 {
        let n = self.order.len();
        let ordered: Vec<f64> = self.order.iter().map(|&c| errors[c]).collect();
        let square = |j: usize| {
            let e = ordered[j] + dot(&self.factor[j * n..][..j], &ordered[..j]);
            self.pivots[j] * e * e
        };
        (0..n).map(square).sum()
    }

    /// Moves single weights while that lowers the cost, which it gives.
    fn settle(&self, integers: &mut [f64], errors: &mut [f64], steps: &[f64], tops: &[f64]) -> f64 {
        let n = self.order.len();
        let row = |j: usize| &self.covariance[j * n..][..n];
        let mut slope: Vec<f64> = (0..n).map(|j| dot(row(j), errors)).collect();
        for _ in 0..PASSES {
            let mut moved = false;
            for (j, &column) in self.order.iter().enumerate() {
                let (step, top) = (steps[column], tops[column]);
                let best = (integers[j] - slope[j] / (row(j)[j] * step) + 0.5).floor().clamp(-top, top);
                let by = best - integers[j];
                // One unit of a double is no reason to move.
                if by != 0.0 && 2.0 * by * step * slope[j] + by * by * step * step * row(j)[j] < 0.0 {
                    integers[j] = best;
                    errors[j] += by * step;
                    slope.iter_mut().zip(row(j)).for_each(|(s, a)| *s += by * step * a);
                    moved = true;
                }
            }
            if !moved {
                break;
            }
        }
        dot(&slope, errors)
    }
}

/// `M` and `D` of `A = M' D M`, from the last row up. No pivot is below `least`, which all would be above in exact numbers.
fn factors(a: &[f64], n: usize, least: f64) -> (Vec<f64>, Vec<f64>) {
    let mut factor = a.to_vec();
    let mut pivots = vec![0.0; n];
    for j in (0..n).rev() {
        let (above, mine) = factor.split_at_mut(j * n);
        let mine = &mut mine[..n];
        let pivot = mine[j].max(least);
        for (i, row) in above.chunks_exact_mut(n).enumerate() {
            let by = mine[i] / pivot;
            row[..=i].iter_mut().zip(&mine[..=i]).for_each(|(a, m)| *a -= by * m);
        }
        mine[..j].iter_mut().for_each(|m| *m /= pivot);
        pivots[j] = pivot;
    }
    (factor, pivots)
}

/// The sum of products in four running sums: a fixed order that the compiler can put into vectors.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<4>(), b.as_chunks::<4>());
    let mut sums = [0.0; 4];
    for (a, b) in a.iter().zip(b) {
        for k in 0..4 {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    (sums[0] + sums[1]) + (sums[2] + sums[3]) + rest
}
