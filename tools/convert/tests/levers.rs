//! The accuracy levers: what they round stays loadable, serves better, is the same every time, and fits its budget.

use cellstate::Model;
use cellstate::model::header::Weights;
use cellstate::model::more::Formats;
use cellstate_convert::budget::OverBudget;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::emit::blob::blob;
use cellstate_convert::eval::Units;
use cellstate_convert::lower::lower;
use cellstate_convert::quantize::calibrate::Calibration;
use cellstate_convert::quantize::compensate::Cost;
use cellstate_convert::quantize::levers::{Format, How, Levers, grouped, matrices};
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
                // Both matrices alike, or each its own, in groups or whole.
                let formats = |k| {
                    let mixed = Formats { u: FORMATS[round % 3], ..Formats::of(weights) };
                    matrices(&network, k).map_or(mixed, |widths| grouped(mixed, 4 * (round % 4), widths))
                };
                let plan: Vec<How> = (0..3).map(|k| How { formats: formats(k), levers }).collect();
                let quantized = quantize(&network, &calibration, &plan).unwrap();
                let bytes = blob(&network, &quantized, "test");
                let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
                assert!(Model::parse(bytemuck::cast_slice(&words)).is_ok(), "{weights:?} {levers}");
            }
        }
    }
}

#[test]
fn a_weight_counts_as_often_as_it_says() {
    let mut rng = Rng(3);
    let [mut plain, mut weighted, mut unseen] = [(); 3].map(|()| Moments::default());
    for _ in 0..50 {
        let x = [real(&mut rng), real(&mut rng)];
        let times = rng.below(4);
        (0..times).for_each(|_| plain.observe([&x, &[]]));
        weighted.observe_weighted([&x, &[]], times as f64);
        unseen.observe_weighted([&x, &[]], 0.0);
    }
    let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
    // Half of the same is the same, and what never had a weight tells nothing.
    for other in [&weighted, &weighted.mixed_with(&plain, 0.5), &unseen.mixed_with(&plain, 0.1)] {
        near(plain.mean(1), other.mean(1));
        near(plain.covariance(0, 1), other.covariance(0, 1));
        near(plain.covariance(1, 1), other.covariance(1, 1));
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
        let (integers, least) = cost.round(&weights, &vec![1.0; n], &vec![7.0; n]);
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
fn each_matrix_may_have_a_format_and_groups_of_columns_a_scale() {
    // Hidden units of very different reach: a row's largest weight says little of the others.
    let mut network = synthetic::lstm(3, 16);
    let Layer::Lstm(lstm) = &mut network.nodes[0].layer else { panic!("an LSTM comes first") };
    let width = lstm.u.cols;
    for (k, w) in lstm.u.data.iter_mut().enumerate() {
        *w *= if k % width < width / 2 { 1.0 } else { 0.1 };
    }
    let data = walk(network.inputs());
    let db = |format: Format| {
        let converted = convert(&network, &data, Units::Model, format, "test", 16, || ()).unwrap();
        (converted.blob.len(), converted.choices[0].db(), converted.choices[0].how.formats)
    };
    let (small, whole, _) = db(Format { weights: Weights::W4, group: 0 });
    let (large, groups, formats) = db(Format { weights: Weights::W4, group: 4 });
    println!("one scale a row: {whole:.1} dB in {small} bytes, groups: {groups:.1} dB in {large} bytes, {formats:?}");
    assert!(groups > whole + 0.4 && large > small && formats.group > 0);
    // What matters little may have fewer bits than what matters.
    let mut network = synthetic::lstm(24, 24);
    let Layer::Lstm(lstm) = &mut network.nodes[0].layer else { panic!("an LSTM comes first") };
    lstm.u.data.iter_mut().for_each(|w| *w *= 0.02);
    let data = walk(network.inputs());
    let bytes = |weights| convert(&network, &data, Units::Model, weights, "test", 16, || ()).unwrap().blob.len();
    let budget = usize::midpoint(bytes(Weights::W4), bytes(Weights::W8)) + 600;
    let mixed = convert_within(&network, &data, Units::Model, budget, "test", 16, || ()).unwrap();
    let formats = mixed.choices[0].how.formats;
    println!("in {budget} bytes: {formats:?}");
    assert_eq!((formats.w, formats.u), (Weights::W8, Weights::W4));
}

#[test]
fn a_budget_is_kept_or_refused_with_the_smallest_size() {
    let network = network(&mut Rng(9), 1.0);
    let data = walk(network.inputs());
    let within = |budget| convert_within(&network, &data, Units::Model, budget, "test", 16, || ());
    let Err(OverBudget::TooLarge { smallest, budget: 100 }) = within(100) else { panic!("too small a budget") };
    assert!(matches!(within(smallest - 1), Err(OverBudget::TooLarge { .. })));
    let largest = within(usize::MAX).unwrap();
    assert!(largest.choices.iter().all(|c| c.how.formats == Formats::of(Weights::W16)));
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

/// A matrix of random integers up to `top`, each row times a step that a device has exactly.
fn trained(rng: &mut Rng, rows: usize, cols: usize, top: i32) -> (Matrix, Vec<Vec<i32>>) {
    let integers: Vec<Vec<i32>> = (0..rows)
        .map(|_| {
            let mut row: Vec<i32> = (0..cols).map(|_| rng.below(2 * top as u64 + 1) as i32 - top).collect();
            // Else a larger step with smaller integers would be the same row.
            (row[0], row[1]) = (top, 1);
            row
        })
        .collect();
    let steps: Vec<f64> = (0..rows).map(|_| (200 + rng.below(500)) as f64 / f64::from(top) / 128.0).collect();
    // As a framework stores it: single floats.
    let matrix = Matrix::from_fn(rows, cols, |r, c| {
        let step = (steps[r] * 1024.0).round() / 131_072.0;
        f64::from((step * f64::from(integers[r][c])) as f32)
    });
    (matrix, integers)
}

#[test]
fn what_was_trained_as_integers_is_kept() {
    let mut rng = Rng(23);
    for (weights, top) in [(Weights::W4, 7), (Weights::W8, 127), (Weights::W8, 7)] {
        for _ in 0..10 {
            let [inputs, units] = [0; 2].map(|_| 3 + rng.below(6) as usize);
            let mut network = synthetic::lstm(inputs, units);
            let (w, w_integers) = trained(&mut rng, 4 * units, inputs, top);
            let (u, u_integers) = trained(&mut rng, 4 * units, units, top);
            if let Layer::Lstm(l) = &mut network.nodes[0].layer {
                (l.w, l.u) = (w, u);
            }
            // Features of different ranges.
            let scale: Vec<f64> = (0..inputs).map(|k| 1.0 + k as f64).collect();
            let samples: Vec<f64> =
                synthetic::walk(inputs).iter().zip(scale.iter().cycle()).map(|(x, s)| x * s).collect();
            let mut calibration = Calibration::new(&network);
            samples.chunks_exact(inputs).for_each(|x| calibration.observe(x));
            for levers in Levers::ALL {
                let plan = vec![How { formats: Formats::of(weights), levers }; network.nodes.len()];
                let rows =
                    quantize(&network, &calibration, &plan).unwrap().layers.swap_remove(0).sections.swap_remove(0);
                assert_eq!(rows.products[0].weights, w_integers, "{weights:?} {levers}");
                assert_eq!(rows.products[1].weights, u_integers, "{weights:?} {levers}");
            }
            let data = Sequences { features: inputs, sequences: vec![Sequence::unlabelled(inputs, samples)] };
            let converted = convert(&network, &data, Units::Model, weights, "test", 0, || ()).unwrap();
            assert!(converted.choices[0].trained);
            // What is left are 16-bit inputs, states and activations; a step of 2^-17 is met exactly.
            let db = converted.choices[0].db();
            assert!(db > 60.0, "{weights:?}: {db}");
        }
    }
}
