//! Generation: greedy is argmax, samples follow the softmax of the logits, and a seed gives the same symbols everywhere.

use cellstate::model::header::Weights;
use cellstate::{Choice, Model, Sampler, Session, State, StepError};
use cellstate_convert::convert;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::Units;
use cellstate_convert::random::Rng;
use cellstate_reference::{Activation, Dense, Layer, Lstm, Matrix, Network};

mod common;

const SYMBOLS: usize = 24;
const ONE: u32 = 1 << 16;

fn matrix(rng: &mut Rng, rows: usize, cols: usize, reach: f64) -> Matrix {
    let mut real = || rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0;
    Matrix { rows, cols, data: (0..rows * cols).map(|_| real() * reach).collect() }
}

/// Embedding, LSTM and softmax over the same symbols, with random weights.
fn blob() -> Vec<u32> {
    let mut rng = Rng(21);
    let table = matrix(&mut rng, SYMBOLS, 12, 1.0);
    let (w, u) = (matrix(&mut rng, 64, 12, 1.0), matrix(&mut rng, 64, 16, 1.0));
    let lstm = Lstm::from_unit_major(w, u, vec![0.0; 64]);
    let dense = Dense { w: matrix(&mut rng, SYMBOLS, 16, 6.0), b: vec![0.0; SYMBOLS], activation: Activation::Softmax };
    let layers = [("symbols", Layer::Embedding(table)), ("lstm", Layer::Lstm(lstm)), ("next", Layer::Dense(dense))];
    let layers = layers.map(|(name, layer)| (name.to_owned(), layer)).into();
    let network = Network::chain("text", 1, layers);
    let samples = (0..200).map(|_| rng.below(SYMBOLS as u64) as f64).collect();
    let data = Sequences { features: 1, sequences: vec![Sequence::unlabelled(1, samples)] };
    common::aligned(&convert(&network, &data, Units::Model, Weights::W8, "test", 0, || ()).unwrap().blob)
}

fn sample(temperature: u32, top: u16) -> Choice {
    Choice::Sample { temperature, top }
}

/// Choices from one output.
fn choices(session: &Session, seed: u64, choice: Choice, count: usize) -> Vec<usize> {
    let mut sampler = Sampler::new(seed, choice);
    (0..count).map(|_| sampler.choose(&session.output())).collect()
}

#[test]
fn greedy_is_the_largest_and_so_are_its_equals() {
    let blob = blob();
    let model = Model::parse(bytemuck::cast_slice(&blob)).unwrap();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    for (k, choice) in
        [Choice::Greedy, sample(ONE, 1), sample(0, 0), sample(1, 0)].into_iter().cycle().take(400).enumerate()
    {
        let symbol = fixed::types::I1F15::from_bits((k * 7 % SYMBOLS) as i16);
        session.step(&[symbol]).unwrap();
        assert_eq!(choices(&session, k as u64, choice, 3), [session.output().argmax(); 3], "{choice:?}");
    }
    // All logits are zero before the first step: the first of equals, and among the first of them.
    session.reset();
    assert_eq!(choices(&session, 1, sample(ONE, 1), 2), [0, 0]);
    assert!(choices(&session, 1, sample(ONE, 5), 200).into_iter().all(|k| k < 5));
    assert_eq!(choices(&session, 1, sample(ONE, 5), 200).into_iter().max(), Some(4));
}

#[test]
fn samples_follow_the_softmax() {
    const DRAWS: usize = 200_000;
    let blob = blob();
    let model = Model::parse(bytemuck::cast_slice(&blob)).unwrap();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    session.step(&[fixed::types::I1F15::from_bits(3)]).unwrap();
    let logits: Vec<f64> = (0..SYMBOLS).map(|k| f64::from(session.output().value(k).unwrap())).collect();
    let mut order: Vec<usize> = (0..SYMBOLS).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
    for (temperature, top) in [(1.0, 0), (0.5, 0), (2.0, 0), (1.0, 3), (3.0, 10), (1.0, 24), (1.0, 1000)] {
        let kept = &order[..if top == 0 { SYMBOLS } else { SYMBOLS.min(top) }];
        let weight = |k: usize| ((logits[k] - logits[order[0]]) / temperature).exp();
        let sum: f64 = kept.iter().map(|&k| weight(k)).sum();
        let drawn = choices(&session, 5, sample((temperature * 65536.0) as u32, top as u16), DRAWS);
        for k in 0..SYMBOLS {
            let p = if kept.contains(&k) { weight(k) / sum } else { 0.0 };
            let found = drawn.iter().filter(|&&d| d == k).count() as f64 / DRAWS as f64;
            // Five standard deviations, and weights of 15 bits.
            let bound = 5.0 * (p * (1.0 - p) / DRAWS as f64).sqrt() + 1.0 / 32768.0;
            assert!((found - p).abs() <= bound, "{temperature} {top} symbol {k}: {found} for {p}");
            assert!(p > 0.0 || found == 0.0, "{temperature} {top} symbol {k}: {found}");
        }
    }
}

#[test]
fn a_seed_gives_the_same_symbols_everywhere() {
    let blob = blob();
    let model = Model::parse(bytemuck::cast_slice(&blob)).unwrap();
    let mut states = [State::<1024>::new(), State::<1024>::new()];
    let [one, two] = &mut states;
    let mut sampler = Sampler::new(9, sample(ONE, 8));
    let mut session = Session::new(&model, one).unwrap();
    let symbols: Vec<u16> = session.generate(0, [3, 1, 4], &mut sampler).unwrap().take(40).collect();
    // Also with the portable kernels: `cargo test --features portable`.
    assert_eq!(symbols, EXPECTED);
    // The same, step by step, and in two parts.
    let mut sampler = Sampler::new(9, sample(ONE, 8));
    let mut again = Session::new(&model, two).unwrap();
    let mut found: Vec<u16> = again.generate(0, [3, 1, 4], &mut sampler).unwrap().take(10).collect();
    let last = found[9];
    found.extend(again.generate(0, [last], &mut sampler).unwrap().take(30));
    assert_eq!(found, symbols);
    assert_eq!(session.digest(), again.digest());
}

const EXPECTED: [u16; 40] = [
    4, 13, 17, 22, 22, 16, 17, 17, 13, 13, 17, 17, 13, 13, 13, 17, 4, 13, 13, 17, 13, 13, 17, 13, 13, 17, 13, 13, 13,
    17, 13, 13, 13, 17, 13, 13, 13, 17, 4, 13,
];

#[test]
fn a_prompt_needs_samples_of_one_index() {
    let bytes = std::fs::read("tests/models/watch/watch.cell").unwrap();
    let words = common::aligned(&bytes);
    let model = Model::parse(common::bytes(&words, bytes.len())).unwrap();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let mut sampler = Sampler::new(0, Choice::Greedy);
    let error = session.generate(0, [1], &mut sampler).err();
    assert_eq!(error, Some(StepError::SampleLength { needed: 6, got: 1 }));
    assert_eq!(session.generate(3, [1], &mut sampler).err(), Some(StepError::SampleLength { needed: 0, got: 1 }));
}
