//! Gates and attention weights, computed again after a step: those of the step, bit for bit where its result tells, and those
//! of the float network.

use cellstate::model::header::Weights;
use cellstate::numeric::activation::tanh;
use cellstate::{Model, Session, State};
use cellstate_convert::convert;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::Units;
use cellstate_convert::random::Rng;
use cellstate_reference::{
    Activation, Attention, Evaluator, Gru, Head, InputMap, Layer, Lstm, Matrix, Network, Node, Score, Source,
};
use fixed::types::{I1F15, I16F16};

mod common;

const UNITS: usize = 11;
const STEPS: usize = 80;

fn real(rng: &mut Rng) -> f64 {
    rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0
}

fn matrix(rng: &mut Rng, rows: usize, cols: usize) -> Matrix {
    Matrix { rows, cols, data: (0..rows * cols).map(|_| real(rng)).collect() }
}

fn lstm(rng: &mut Rng, inputs: usize) -> Lstm {
    let (w, u) = (matrix(rng, 4 * UNITS, inputs), matrix(rng, 4 * UNITS, UNITS));
    Lstm::from_unit_major(w, u, (0..4 * UNITS).map(|_| real(rng)).collect())
}

fn data(rng: &mut Rng, streams: &[usize]) -> Sequences {
    let features = if streams.len() > 1 { streams.iter().sum() } else { streams[0] };
    let mut order = Vec::new();
    let mut samples = Vec::new();
    for t in 0..STEPS {
        let stream = t * 5 / 3 % streams.len();
        let mine = (0..features).map(|k| if k < streams[stream] { real(rng) } else { 0.0 });
        samples.extend(mine);
        order.push(stream);
    }
    Sequences { features, sequences: vec![Sequence::interleaved(features, samples, order)] }
}

/// Steps both sides; `visit` sees each step with its stream.
fn beside(network: &Network, streams: &[usize], weights: Weights, mut visit: impl FnMut(&Session, &Evaluator, usize)) {
    let data = data(&mut Rng(3), streams);
    let blob = convert(network, &data, Units::Model, weights, "test", 0, || ()).unwrap().blob;
    let words = common::aligned(&blob);
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = Box::new(State::<65536>::new());
    let mut session = Session::new(&model, &mut state).unwrap();
    let mut float = Evaluator::new(network);
    let sequence = &data.sequences[0];
    for (t, sample) in sequence.steps().enumerate() {
        let stream = sequence.stream(t);
        let x = &sample[..streams[stream]];
        float.step_stream(stream, x);
        session.step_stream_f32(stream, &x.iter().map(|&v| v as f32).collect::<Vec<_>>()).unwrap();
        let digest = session.digest();
        visit(&session, &float, stream);
        assert_eq!(session.digest(), digest);
    }
}

fn gates(session: &Session, layer: usize) -> Vec<Vec<i64>> {
    let mut all = Vec::new();
    let some = session.gates(layer, |unit, gates| {
        assert_eq!(unit, all.len());
        all.push(gates.iter().map(|g| g.to_bits().into()).collect());
    });
    assert_eq!(some, !all.is_empty());
    all
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

fn near(found: i64, expected: f64) {
    assert!((found as f64 / 32768.0 - expected).abs() < 0.02, "{found} for {expected}");
}

#[test]
fn an_lstm_s_gates_make_its_state() {
    let mut rng = Rng(4);
    // Two in a row: the second one's input is the first one's new hidden state.
    let layers =
        vec![("a".to_owned(), Layer::Lstm(lstm(&mut rng, 3))), ("b".to_owned(), Layer::Lstm(lstm(&mut rng, UNITS)))];
    let plain = Network::chain("two", 3, layers);
    // Hard sigmoids make it a variant.
    let mut hard = plain.clone();
    for node in &mut hard.nodes {
        if let Layer::Lstm(l) = &mut node.layer {
            l.gates = Activation::HardSigmoid { slope: 0.2 };
        }
    }
    for (network, weights, hard) in [
        (&plain, Weights::W8, false),
        (&plain, Weights::W16, false),
        (&plain, Weights::W4, false),
        (&hard, Weights::W8, true),
    ] {
        let mut before = [[0i32; UNITS]; 2];
        beside(network, &[3], weights, |session, float, _| {
            for (layer, before) in before.iter_mut().enumerate() {
                let cell = session.cell(layer).unwrap();
                let hidden = session.hidden(layer).unwrap();
                let gates = gates(session, layer);
                assert_eq!(gates.len(), UNITS);
                for (k, gate) in gates.iter().enumerate() {
                    let [i, f, g, o] = gate[..] else { panic!("{gate:?}") };
                    let shift = 30 - u32::from(cell.frac_bits);
                    let written = (i * g + (1 << shift >> 1)) >> shift;
                    let kept = 2 * ((i64::from(before[k]) * (f << 16) + (1 << 31)) >> 32);
                    let c = (written + kept).clamp(i32::MIN.into(), i32::MAX.into());
                    assert_eq!(i64::from(cell.raw[k]), c, "layer {layer}, unit {k}");
                    let z = ((c >> (cell.frac_bits - 17)) + 1) >> 1;
                    let t = i64::from(tanh(I16F16::from_bits(z as i32)).to_bits());
                    assert_eq!(i64::from(hidden[k].to_bits()), (o * t + (1 << 14)) >> 15, "layer {layer}, unit {k}");
                    let z = &float.traces(layer)[0].z[4 * k..];
                    if weights != Weights::W4 && !hard {
                        near(i, sigmoid(z[0]));
                        near(f, sigmoid(z[1]));
                        near(g, z[2].tanh());
                        near(o, sigmoid(z[3]));
                    }
                }
                before.copy_from_slice(cell.raw);
            }
        });
    }
}

#[test]
fn a_gru_s_gates_make_its_state() {
    let mut rng = Rng(5);
    for after in [true, false] {
        let gru = Gru {
            w: matrix(&mut rng, 3 * UNITS, 3),
            u: matrix(&mut rng, 3 * UNITS, UNITS),
            b: vec![0.1; 3 * UNITS],
            reset_after: after.then(|| vec![0.2; UNITS]),
            gates: Activation::Sigmoid,
            initial: None,
        };
        let network = Network::chain("gru", 3, vec![("gru".to_owned(), Layer::Gru(gru))]);
        let mut before = [0i32; UNITS];
        beside(&network, &[3], Weights::W8, |session, float, _| {
            let cell = session.cell(0).unwrap();
            let gates = gates(session, 0);
            assert_eq!(gates.len(), UNITS);
            for (k, gate) in gates.iter().enumerate() {
                let [r, z, n] = gate[..] else { panic!("{gate:?}") };
                let kept = 2 * ((i64::from(before[k]) * (z << 16) + (1 << 31)) >> 32);
                let state = ((32768 - z) * n + kept).clamp(i32::MIN.into(), i32::MAX.into());
                assert_eq!(i64::from(cell.raw[k]), state, "unit {k}");
                let f = &float.traces(0)[0].z[3 * k..];
                near(r, sigmoid(f[0]));
                near(z, sigmoid(f[1]));
                near(n, f[2].tanh());
            }
            before.copy_from_slice(cell.raw);
        });
    }
}

/// An encoder, a decoder, and attention of the second over the first's hidden states.
fn translator(rng: &mut Rng, score: Score) -> Network {
    let ages = (0..7).map(|age| -0.2 * f64::from(age)).collect();
    let attention = Attention { ages, ..Attention::raw(UNITS, 7, score) };
    let nodes = vec![
        Node::new("encoder", Layer::Lstm(lstm(rng, 3)), vec![Source::Input]),
        Node::new("decoder", Layer::Lstm(lstm(rng, 2)), vec![Source::Stream(1)]),
        Node::new("attention", Layer::Attention(Box::new(attention)), vec![Source::Node(1), Source::Node(0)]),
    ];
    Network {
        name: "translator".to_owned(),
        nodes,
        heads: vec![Head { node: 2, labels: Vec::new() }],
        input: InputMap::identity(5),
        streams: vec![3, 2],
        window: None,
        mask: None,
    }
}

#[test]
fn attention_s_weights_are_those_of_the_float_network() {
    let mut rng = Rng(6);
    let additive = Score::Additive { v: (0..UNITS).map(|_| real(&mut rng)).collect() };
    for score in [Score::Dot { scale: 1.5 }, additive] {
        let network = translator(&mut rng, score);
        let mut asked = 0;
        let mut memories = 0usize;
        beside(&network, &[3, 2], Weights::W16, |session, float, stream| {
            memories += usize::from(stream == 0);
            let found = session.attention(2, 0).map(Iterator::collect::<Vec<_>>);
            assert!(session.attention(0, 0).is_none() && session.attention(2, 1).is_none());
            assert!(session.attention(9, 0).is_none());
            let Some(found) = found else { return assert_eq!(stream, 0) };
            assert_eq!(stream, 1);
            asked += 1;
            let filled = memories.min(7);
            let mut by_age = vec![None; filled];
            for &(age, weight) in &found {
                assert_eq!(by_age[age].replace(weight), None);
            }
            let oldest_first = &float.traces(2)[0].weights;
            assert_eq!(oldest_first.len(), filled);
            for (weight, expected) in by_age.iter().rev().zip(oldest_first) {
                let weight = f64::from(weight.unwrap()) / 32768.0;
                assert!((weight - expected).abs() < 0.002, "{weight} for {expected}");
            }
            let sum: u32 = found.iter().map(|&(_, weight)| u32::from(weight)).sum();
            assert!(filled == 0 || sum.abs_diff(32768) < 8, "{sum}");
        });
        assert!(asked > STEPS / 4, "{asked}");
    }
}

#[test]
fn what_has_no_gates_has_none() {
    let bytes = std::fs::read("tests/models/watch/watch.cell").unwrap();
    let words = common::aligned(&bytes);
    let model = Model::parse(common::bytes(&words, bytes.len())).unwrap();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let visit = |_: usize, _: &[I1F15]| panic!("there is nothing to see");
    assert!(!session.gates(0, visit), "before the first step");
    session.step_i16(&[1, 2, 3, 4, 5, 6]).unwrap();
    assert!(!session.gates(1, visit), "of a dense layer");
    assert!(!session.gates(2, visit), "of no layer");
    assert_eq!(gates(&session, 0).len(), 32);
    session.reset();
    assert!(!session.gates(0, visit), "after a reset");
}
