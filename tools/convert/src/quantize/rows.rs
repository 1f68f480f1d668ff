//! Weight rows to integers and multipliers, and the proof that nothing can overflow.

use super::calibrate::Range;
use super::compensate::Cost;
use super::levers::Levers;
use super::moments::Moments;
use super::trained;
use cellstate::model::header::Weights;
use cellstate::numeric::rounding::MULTIPLIER_UNIT;
use cellstate_reference::{Matrix, matrix::dot};

/// A layer's input vector, feature by feature: what Q0.15 means there.
#[derive(Clone, Debug)]
pub struct Side {
    /// The real value of 32768 units.
    pub full: Vec<f64>,
    /// The real value of 0 units.
    pub centre: Vec<f64>,
    /// The mean over the calibration data, from the centre.
    pub mean: Vec<f64>,
}

impl Side {
    /// A vector around zero whose unit is `scale`, such as a hidden state.
    pub fn of(seen: &[Range], scale: f64) -> Self {
        Self { mean: seen.iter().map(Range::mean).collect(), ..Self::uniform(seen.len(), scale) }
    }

    /// The same, with nothing known of its mean.
    pub fn uniform(width: usize, scale: f64) -> Self {
        Self { full: vec![32768.0 * scale; width], centre: vec![0.0; width], mean: vec![0.0; width] }
    }

    /// One vector after the other.
    pub fn joined<'a>(sides: impl Iterator<Item = &'a Self>) -> Self {
        let mut all = Self::uniform(0, 1.0);
        for side in sides {
            all.full.extend(&side.full);
            all.centre.extend(&side.centre);
            all.mean.extend(&side.mean);
        }
        all
    }
}

/// The integers of a matrix's rows.
#[derive(Clone, Debug, Default)]
pub struct Integers {
    /// Row by row.
    pub weights: Vec<Vec<i32>>,
    /// One multiplier a row.
    pub multipliers: Vec<i32>,
}

/// The integers of a layer: one bias a row, and one set of integers a product.
#[derive(Clone, Debug)]
pub struct Rows {
    /// In units of the pre-activation.
    pub biases: Vec<i32>,
    /// `W`, and for an LSTM `U`, part by part.
    pub products: Vec<Integers>,
}

impl Rows {
    /// The first products with the biases, and the others in records of their own.
    pub fn apart(mut self, first: usize) -> [Self; 2] {
        let products = self.products.split_off(first);
        let biases = vec![0; self.biases.len()];
        [self, Self { biases, products }]
    }
}

/// One product of a layer.
#[derive(Clone, Copy)]
pub struct Product<'a> {
    /// What its vector is multiplied by.
    pub matrix: &'a Matrix,
    /// What its vector is.
    pub side: &'a Side,
    /// Format of its weights.
    pub weights: Weights,
    /// Columns that have a multiplier of their own; 0 for all.
    pub group: usize,
}

impl<'a> Product<'a> {
    /// With a multiplier a row.
    pub fn new(matrix: &'a Matrix, side: &'a Side, weights: Weights) -> Self {
        Self { matrix, side, weights, group: 0 }
    }

    /// Its parts, which have a multiplier each.
    fn parts(self) -> impl Iterator<Item = Part> {
        let (columns, weights) = (self.matrix.cols, self.weights);
        let group = if self.group == 0 { columns.max(1) } else { self.group };
        (0..columns).step_by(group).map(move |first| Part { weights, columns: group.min(columns - first) })
    }
}

/// Columns of a matrix that have a multiplier of their own.
struct Part {
    weights: Weights,
    columns: usize,
}

/// Scales that are tried for each matrix of a row, as shares of the one that holds its largest weight. Of 16 bits none is
/// better than another.
fn shares(weights: Weights) -> &'static [f64] {
    match weights {
        Weights::W4 => &[1.15, 1.1, 1.05, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5],
        Weights::W8 => &[1.06, 1.04, 1.02, 1.01, 0.99, 0.98, 0.97, 0.96, 0.94, 0.92, 0.9, 0.87, 0.84, 0.8, 0.75],
        Weights::W16 => &[],
    }
}

/// The products whose sum is a pre-activation, and how their weights are rounded.
pub struct Joint<'a> {
    products: Vec<Product<'a>>,
    parts: Vec<Part>,
    levers: Levers,
    /// What is known of the vectors: the same for all rows, or row by row.
    known: Vec<Known>,
}

/// What is known of a row's vectors.
struct Known {
    /// The mean of each column, from its centre.
    mean: Vec<f64>,
    /// What errors cost, if the calibration data tell.
    cost: Option<Cost>,
}

/// What was seen of the products' vectors one after the other, which begin at value `first`.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// Of all rows alike.
    pub all: &'a Moments,
    /// Where the vectors begin.
    pub first: usize,
    /// Row by row, or empty.
    pub rows: &'a [Moments],
}

impl<'a> Seen<'a> {
    /// The same for all rows.
    pub fn alike(all: &'a Moments, first: usize) -> Self {
        Self { all, first, rows: &[] }
    }
}

/// What a row shall be.
struct Wanted<'a> {
    known: &'a Known,
    /// At full scale of their columns.
    weights: &'a [f64],
    /// One a part.
    grids: &'a [Grid],
    /// In units of the pre-activation.
    unit: f64,
    bias: f64,
    /// Of the pre-activation's magnitude.
    limit: f64,
}

/// A row with a scale chosen for each product.
struct Row {
    multipliers: Vec<i32>,
    integers: Vec<i32>,
    bias: i32,
    cost: f64,
}

impl<'a> Joint<'a> {
    /// Products whose vectors were seen so.
    pub fn new(products: &[Product<'a>], seen: Seen, levers: Levers) -> Self {
        let columns = |side: fn(&Side) -> &Vec<f64>| products.iter().flat_map(move |p| side(p.side)).copied();
        let full: Vec<f64> = columns(|s| &s.full).collect();
        let know = |moments: &Moments| {
            let mut mean: Vec<f64> = columns(|s| &s.mean).collect();
            if seen.first + full.len() > moments.width() {
                return Known { mean, cost: None };
            }
            for (k, (mean, centre)) in mean.iter_mut().zip(columns(|s| &s.centre)).enumerate() {
                *mean = moments.mean(seen.first + k) - centre;
            }
            let at: Vec<usize> = (seen.first..seen.first + full.len()).collect();
            let wanted = levers.compensated.is_some() || levers.ranges;
            let cost = wanted.then(|| Cost::new(moments, &at, &full, levers.compensated.unwrap_or(DAMPING)));
            Known { mean, cost: cost.flatten() }
        };
        let known = if levers.weighted && !seen.rows.is_empty() {
            seen.rows.iter().map(|m| know(&m.mixed_with(seen.all, UNWEIGHTED))).collect()
        } else {
            vec![know(seen.all)]
        };
        let parts = products.iter().flat_map(|p| p.parts()).collect();
        Self { products: products.to_vec(), parts, levers, known }
    }

    /// Quantizes the rows for a pre-activation in units of `unit`, of magnitude below `limit`.
    ///
    /// The bias takes up the centres of the vectors, and the mean error that rounding the weights leaves on the calibration
    /// data (bias correction). None if some row does not fit.
    pub fn quantize(&self, bias: &[f64], unit: f64, limit: f64) -> Option<Rows> {
        let mut out = Rows { biases: Vec::new(), products: vec![Integers::default(); self.parts.len()] };
        for (r, &b) in bias.iter().enumerate() {
            let row = self.row(r, b, unit, limit)?;
            let mut integers = row.integers.into_iter();
            for ((part, m), to) in self.parts.iter().zip(&row.multipliers).zip(&mut out.products) {
                to.weights.push(integers.by_ref().take(part.columns).collect());
                to.multipliers.push(m * MULTIPLIER_UNIT);
            }
            out.biases.push(row.bias);
        }
        Some(out)
    }

    /// The row of least cost; rounded to the nearest if the levers leave none that fits.
    fn row(&self, r: usize, bias: f64, unit: f64, limit: f64) -> Option<Row> {
        let grids: Vec<Grid> = self.parts.iter().map(|p| Grid::new(p.weights, unit)).collect();
        let known = self.known.get(r).or(self.known.first())?;
        let weights: Vec<f64> = self.products.iter().flat_map(|p| scaled(p.matrix.row(r), p.side)).collect();
        let mut exact = Vec::new();
        let mut rest = &weights[..];
        for (part, grid) in self.parts.iter().zip(&grids) {
            exact.push(grid.multiplier(rest.split_off(..part.columns)?));
        }
        if exact.iter().any(|m| !(m.is_finite() && *m <= MOST)) {
            return None;
        }
        let centred: f64 = bias + self.products.iter().map(|p| dot(p.matrix.row(r), &p.side.centre)).sum::<f64>();
        let limit = limit.min(f64::from(i32::MAX) * unit);
        let wanted = Wanted { known, weights: &weights, grids: &grids, unit, bias: centred, limit };
        if let Some(row) = self.trained(&wanted) {
            return Some(row);
        }
        let attempt = |multipliers: &[f64], compensated| self.attempt(&wanted, multipliers, compensated);
        // Rounded up: the largest weight fits.
        let plain: Vec<f64> = exact.iter().map(|m| m.ceil().max(1.0)).collect();
        let compensated = self.levers.compensated.is_some() && known.cost.is_some();
        let mut chosen = plain.clone();
        let mut best = attempt(&plain, compensated);
        if self.levers.ranges && known.cost.is_some() {
            for (k, part) in self.parts.iter().enumerate() {
                for share in shares(part.weights) {
                    let mut multipliers = chosen.clone();
                    multipliers[k] = (exact[k] * share + 0.5).floor().clamp(1.0, MOST);
                    if let Some(row) = attempt(&multipliers, compensated)
                        && best.as_ref().is_none_or(|b| row.cost < b.cost)
                    {
                        best = Some(row);
                        chosen = multipliers;
                    }
                }
            }
        }
        best.or_else(|| attempt(&plain, false))
    }

    /// The row as it was trained, if it was trained as integers and its scales can be met.
    fn trained(&self, wanted: &Wanted) -> Option<Row> {
        let (mut multipliers, mut integers) = (Vec::new(), Vec::new());
        let mut rest = wanted.weights;
        for (part, grid) in self.parts.iter().zip(wanted.grids) {
            let mine = rest.split_off(..part.columns)?;
            let step = trained::step(mine, part.weights.top())?;
            let exact = step / grid.per_multiplier;
            let multiplier = (exact + 0.5).floor().clamp(1.0, MOST);
            if (multiplier - exact).abs() > exact * SCALE_MET && step > 0.0 {
                return None;
            }
            multipliers.push(multiplier);
            integers.extend(mine.iter().map(|w| if step > 0.0 { (w / step).round() as i32 } else { 0 }));
        }
        let (steps, _) = self.steps(wanted, &multipliers);
        self.finish(wanted, &multipliers, &steps, integers, 0.0)
    }

    /// What one integer of each column is worth, and how large it may be.
    fn steps(&self, wanted: &Wanted, multipliers: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let parts = self.parts.iter().zip(multipliers).zip(wanted.grids);
        parts.flat_map(|((p, m), g)| std::iter::repeat_n((m * g.per_multiplier, g.top), p.columns)).unzip()
    }

    /// A row with given multipliers, if it fits.
    fn attempt(&self, wanted: &Wanted, multipliers: &[f64], compensated: bool) -> Option<Row> {
        let Wanted { known, weights, .. } = wanted;
        let (steps, tops) = self.steps(wanted, multipliers);
        let nearest = |((w, s), top): ((&f64, &f64), &f64)| (w / s + 0.5).floor().clamp(-top, *top) as i32;
        let (integers, mut cost) = match &known.cost {
            Some(cost) if compensated => cost.round(weights, &steps, &tops),
            _ => (weights.iter().zip(&steps).zip(&tops).map(nearest).collect(), 0.0),
        };
        if let Some(table) = known.cost.as_ref().filter(|_| !compensated) {
            let errors = integers.iter().zip(&steps).zip(*weights).map(|((&q, s), w)| f64::from(q) * s - w);
            cost = table.of(&errors.collect::<Vec<_>>());
        }
        self.finish(wanted, multipliers, &steps, integers, cost)
    }

    /// A row of these integers with its bias, if it fits.
    fn finish(
        &self,
        wanted: &Wanted,
        multipliers: &[f64],
        steps: &[f64],
        integers: Vec<i32>,
        cost: f64,
    ) -> Option<Row> {
        let Wanted { known, weights, grids, unit, bias, limit } = wanted;
        let errors: Vec<f64> =
            integers.iter().zip(steps).zip(*weights).map(|((&q, s), w)| f64::from(q) * s - w).collect();
        let mut rest = &integers[..];
        for (part, grid) in self.parts.iter().zip(*grids) {
            let sum: f64 = rest.split_off(..part.columns)?.iter().map(|q| f64::from(q.abs())).sum();
            if sum > grid.sum_limit {
                return None;
            }
        }
        let full = self.products.iter().flat_map(|p| &p.side.full);
        let drift: f64 = errors.iter().zip(full).zip(&known.mean).map(|((e, full), mean)| e / full * mean).sum();
        let reach: f64 = integers.iter().zip(steps).map(|(q, s)| f64::from(q.abs()) * s).sum();
        let bias = bias - drift;
        // Two more units for the rounding of each part; the loader repeats this proof on the integers.
        if reach + bias.abs() + 2.0 * (self.parts.len() as f64).max(2.0) * unit > *limit {
            return None;
        }
        let multipliers = multipliers.iter().map(|&m| m as i32).collect();
        Some(Row { multipliers, integers, bias: (bias / unit + 0.5).floor() as i32, cost })
    }
}

/// The share of the unweighted moments in weighted ones: a gate that was shut in the calibration data may open later.
const UNWEIGHTED: f64 = 0.5;
/// The damping of the covariance where only scales are chosen by it.
const DAMPING: f64 = 0.01;
/// How far, in parts of it, a multiplier may be from the scale that integers were trained with.
const SCALE_MET: f64 = 1.0 / 1024.0;
/// The largest multiplier, in its units.
const MOST: f64 = 32767.0;

/// A row's weights at full scale of their columns.
fn scaled<'a>(row: &'a [f64], side: &'a Side) -> impl Iterator<Item = f64> + 'a {
    row.iter().zip(&side.full).map(|(w, full)| w * full)
}

/// What the integers of a format can be.
struct Grid {
    /// What one integer is worth, with a multiplier of one of its units, at full scale of its column.
    per_multiplier: f64,
    /// The largest weight.
    top: f64,
    /// The largest sum of a row's weights.
    sum_limit: f64,
}

impl Grid {
    fn new(weights: Weights, unit: f64) -> Self {
        let limit = weights.accumulator_limit() as f64;
        let (multiplier_bits, sum_limit) = match weights {
            // acc = sum q x, and z = acc m / 2^16 with m in its units and x in units of 2^-15.
            Weights::W4 | Weights::W8 => (1, limit / 32768.0),
            // acc = sum q x / 2^8.
            Weights::W16 => (9, limit / 128.0 - 1.0),
        };
        let top = f64::from(weights.top());
        Self { per_multiplier: unit / f64::from(1 << multiplier_bits), top, sum_limit }
    }

    /// The multiplier at which a row's largest weight is `top`, before it becomes an integer.
    fn multiplier(&self, scaled: &[f64]) -> f64 {
        let largest = scaled.iter().fold(0.0, |a: f64, v| a.max(v.abs()));
        let sum: f64 = scaled.iter().map(|v| v.abs()).sum();
        // Half an integer more a column: what rounding can add to the sum.
        let room = self.sum_limit - scaled.len() as f64 / 2.0;
        (largest / self.top).max(sum / room) / self.per_multiplier
    }
}
