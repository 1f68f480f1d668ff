//! Weights that were trained as integers: rows whose weights are multiples of one step.
//!
//! Training with fake quantization leaves such rows. Their integers are taken over as they are, whatever the levers, so that the
//! device runs what was trained. A step becomes a multiplier of 15 bits; steps in multiples of `2^-17` (of the gain, for input
//! weights) are met exactly while no pre-activation is shifted.

use super::levers::How;
use cellstate::model::header::Weights;
use cellstate::model::more::Formats;
use cellstate_reference::{Layer, Matrix, Network, Source};

/// How far from a whole multiple a weight may lie, in steps: what is left of a 32-bit float.
const NEAR: f64 = 1e-4;
/// The largest integer of the formats that are trained for.
const TOP: u32 = 127;

/// The largest step of which all weights are multiples, up to `top` times; none if there is no such step, or of wider formats,
/// whose steps are so fine that any weights would do. A row of zeros has a step of 0.
pub fn step(row: &[f64], top: u32) -> Option<f64> {
    if top > TOP {
        return None;
    }
    let largest = row.iter().fold(0.0, |a: f64, w| a.max(w.abs()));
    let fits = |step: &f64| row.iter().all(|w| (w / step - (w / step).round()).abs() < NEAR);
    if largest == 0.0 { Some(0.0) } else { (1..=top).map(|k| largest / f64::from(k)).find(fits) }
}

/// Whether all rows of a matrix have a step, or all groups of their columns.
fn is_trained(matrix: &Matrix, weights: Weights, formats: Formats) -> bool {
    let group = match formats.group_of(weights) {
        0 => matrix.cols.max(1),
        group => group,
    };
    (0..matrix.rows).all(|r| matrix.row(r).chunks(group).all(|part| step(part, weights.top()).is_some()))
}

/// The matrices of a layer: of its input, and of its hidden state.
fn matrices(layer: &Layer) -> [Option<&Matrix>; 2] {
    match layer {
        Layer::Lstm(l) => [Some(&l.w), Some(&l.u)],
        Layer::Gru(g) => [Some(&g.w), Some(&g.u)],
        Layer::Rnn(r) => [Some(&r.w), Some(&r.u)],
        Layer::Dense(d) => [Some(&d.w), None],
        _ => [None, None],
    }
}

/// Whether a layer has weights and all of them were trained as integers of this format.
pub fn layer(layer: &Layer, formats: Formats) -> bool {
    let mut all = matrices(layer).into_iter().zip([formats.w, formats.u]).filter_map(|(m, w)| Some((m?, w))).peekable();
    all.peek().is_some() && all.all(|(m, w)| is_trained(m, w, formats))
}

/// Whether what takes the input, by windows or at once, has weights that were trained as integers: one gain for all features
/// then keeps them.
pub fn takes_input(network: &Network, plan: &[How]) -> bool {
    let is_input = |from: &[Source]| {
        from.iter().all(|s| match s {
            Source::Input | Source::Stream(_) => true,
            Source::Node(n) => {
                let node = &network.nodes[*n];
                matches!(node.layer, Layer::Window { .. }) && node.from == [Source::Input]
            }
        })
    };
    let takers = network.nodes.iter().zip(plan).filter(|(n, _)| is_input(&n.from));
    let mut first = takers.filter_map(|(n, how)| Some((matrices(&n.layer)[0]?, how))).peekable();
    first.peek().is_some() && first.all(|(m, how)| is_trained(m, how.formats.w, how.formats))
}
