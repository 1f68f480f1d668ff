//! The accuracy levers: what they round stays loadable, serves better, is the same every time, and fits its budget.

use cellstate::Model;
use cellstate::model::header::Weights;
use cellstate_convert::budget::OverBudget;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::emit::blob::blob;
use cellstate_convert::eval::Units;
use cellstate_convert::lower::lower;
use cellstate_convert::quantize::calibrate::Calibration;
use cellstate_convert::quantize::compensate::Cost;
use cellstate_convert::quantize::levers::{How, Levers};
use cellstate_convert::quantize::moments::Moments;
use cellstate_convert::quantize::quantize;
use cellstate_convert::random::Rng;
use cellstate_convert::{convert, convert_within, synthetic};
use cellstate_reference::{Activation, Dense, Evaluator, Gru, Layer, Matrix, Network, Node, Source};

const FORMATS: [Weights; 3] = [Weights::W4, Weights::W8, Weights::W16];

/// Uniform in -1..1.
fn real(rng: &mut Rng) -> f64 {
    rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0
}

fn matrix(rng: &mut Rng, rows: usize, cols: usize, most: f64) -> Matrix {
    Matrix { rows, cols, data: (0..rows * cols).map(|_| real(rng) * most).collect() }
}

fn walk(inputs: usize) -> Sequences {
    Sequences { features: inputs, sequences: vec![Sequence::unlabelled(inputs, synthetic::walk(inputs))] }
}

/// An LSTM, a GRU and a dense layer, with weights up to `most`.
fn network(rng: &mut Rng, most: f64) -> Network {
    let [inputs, units, hidden] = [0; 3].map(|_| 1 + rng.below(9) as usize);
    let mut network = synthetic::lstm(inputs, units);
    if let Layer::Lstm(l) = &mut network.nodes[0].layer {
        l.w.data.iter_mut().chain(&mut l.u.data).for_each(|w| *w *= most);
    }
    let (w, u) = (matrix(rng, 3 * hidden, units, most), matrix(rng, 3 * hidden, hidden, most));
    let bias = vec![0.1; 3 * hidden];
    let gru = Gru::from_gate_major([0, 1, 2], &w, &u, &bias, &bias, rng.once_in(2));
    network.nodes.push(Node::new("gru", Layer::Gru(gru), vec![Source::Node(0)]));
    let dense = Dense { w: matrix(rng, 3, hidden, most), b: vec![0.0; 3], activation: Activation::Linear };
    network.nodes.push(Node::new("dense", Layer::Dense(dense), vec![Source::Node(1)]));
    network.heads[0].node = 2;
    network
}

#[test]
fn whatever_levers_round_loads() {
    let mut rng = Rng(11);
    for round in 0..40 {
        let network = network(&mut rng, [0.3, 2.0, 20.0][round % 3]);
        let mut calibration = Calibration::new(&network);
        for sample in synthetic::walk(network.inputs()).chunks_exact(network.inputs()) {
            calibration.observe(sample);
        }
        for weights in FORMATS {
            for levers in Levers::ALL {
                let plan = vec![How { weights, levers }; network.nodes.len()];
                let quantized = quantize(&network, &calibration, &plan).unwrap();
                let bytes = blob(&network, &quantized, "test");
                let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
                assert!(Model::parse(bytemuck::cast_slice(&words)).is_ok(), "{weights:?} {levers}");
            }
        }
    }
}

#[test]
fn compensated_rounding_costs_less_than_rounding_to_the_nearest() {
    let mut rng = Rng(5);
    let (mut nearest, mut compensated) = (0.0, 0.0);
    for _ in 0..30 {
        // Correlated inputs: mixtures of fewer sources than there are columns, and some noise.
        let n = 3 + rng.below(20) as usize;
        let mix = matrix(&mut rng, n, 1 + n / 2, 1.0);
        let mut moments = Moments::default();
        for _ in 0..200 {
            let source: Vec<f64> = (0..mix.cols).map(|_| real(&mut rng)).collect();
            let x: Vec<f64> = mix.times(&source).iter().map(|v| v + 0.05 * real(&mut rng)).collect();
            moments.observe([&x, &[]]);
        }
        let cost = Cost::new(&moments, &(0..n).collect::<Vec<_>>(), &vec![1.0; n], 0.01).unwrap();
        let weights: Vec<f64> = (0..n).map(|_| 7.0 * real(&mut rng)).collect();
        let rounded: Vec<f64> = weights.iter().map(|w| (w + 0.5).floor().clamp(-7.0, 7.0) - w).collect();
        let (integers, least) = cost.round(&weights, &vec![1.0; n], 7.0);
        let errors: Vec<f64> = integers.iter().zip(&weights).map(|(&q, w)| f64::from(q) - w).collect();
        // What it says is what it costs.
        assert!((cost.of(&errors) - least).abs() <= 1e-9 * (1.0 + least), "{least}");
        nearest += cost.of(&rounded);
        compensated += least;
    }
    println!("cost: nearest {nearest:.3}, compensated {compensated:.3}");
    assert!(compensated < 0.5 * nearest, "{compensated} of {nearest}");
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let network = network(&mut Rng(3), 1.5);
    let data = walk(network.inputs());
    let once = || convert(&network, &data, Units::Model, Weights::W8, "test", 16, || ()).unwrap();
    let first = once();
    assert_eq!(first.choices.len(), 3, "a choice for each layer with weights");
    for choice in &first.choices {
        let best = choice.tried.iter().map(|t| t.1).fold(f64::NEG_INFINITY, f64::max);
        // A lever must be worth something: see `search`.
        assert!(choice.db() >= choice.tried[0].1 && choice.db() > best - 0.5, "{choice:?}");
    }
    assert!((0..3).all(|_| once().blob == first.blob));
}

#[test]
fn a_budget_is_kept_or_refused_with_the_smallest_size() {
    let network = network(&mut Rng(9), 1.0);
    let data = walk(network.inputs());
    let within = |budget| convert_within(&network, &data, Units::Model, budget, "test", 16, || ());
    let Err(OverBudget::TooLarge { smallest, budget: 100 }) = within(100) else { panic!("too small a budget") };
    assert!(matches!(within(smallest - 1), Err(OverBudget::TooLarge { .. })));
    let largest = within(usize::MAX).unwrap();
    assert!(largest.choices.iter().all(|c| c.how.weights == Weights::W16));
    let mut before = 0;
    for budget in [smallest, usize::midpoint(smallest, largest.blob.len()), largest.blob.len()] {
        let size = within(budget).unwrap().blob.len();
        assert!((before..=budget).contains(&size), "{size} of {budget}");
        before = size;
    }
}

/// A constant normalization folds into its neighbours; one that yields its last step alone stays where it is.
#[test]
fn lowering_changes_no_value() {
    let mut rng = Rng(21);
    for last in [false, true] {
        let mut network = network(&mut rng, 1.0);
        let width = network.width(Source::Node(1));
        let [scale, offset] = [0; 2].map(|_| (0..width).map(|_| real(&mut rng)).collect());
        let affine = Node { last, ..Node::new("norm", Layer::Affine { scale, offset }, vec![Source::Node(1)]) };
        network.nodes.insert(2, affine);
        network.nodes[3].from = vec![Source::Node(2)];
        network.heads[0].node = 3;
        network.window = last.then_some(8);
        let lowered = lower(&network);
        assert_eq!(lowered.nodes.len(), if last { 4 } else { 3 });
        let (mut one, mut two) = (Evaluator::new(&network), Evaluator::new(&lowered));
        for sample in synthetic::walk(network.inputs()).chunks_exact(network.inputs()) {
            let (a, new) = one.step(sample);
            let (b, also_new) = two.step(sample);
            assert_eq!(new, also_new);
            assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12));
            let heads = [(&one, network.heads[0].node), (&two, lowered.heads[0].node)];
            let [a, b] = heads.map(|(e, node)| e.traces(node).len());
            assert_eq!(a, b);
        }
    }
}
