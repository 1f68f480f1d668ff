//! Attention, transformers and several streams in integers, beside the float network.

use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::convert;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::{STATE_BYTES, Units};
use cellstate_convert::random::Rng;
use cellstate_reference::{
    Activation, Attention, Dense, Evaluator, Head, InputMap, Layer, Lstm, Matrix, Network, Node, Score, Source,
};

const STEPS: usize = 600;

fn real(rng: &mut Rng) -> f64 {
    rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0
}

fn matrix(rng: &mut Rng, rows: usize, cols: usize) -> Matrix {
    let reach = 1.7 / (cols as f64).sqrt();
    Matrix { rows, cols, data: (0..rows * cols).map(|_| real(rng) * reach).collect() }
}

fn dense(rng: &mut Rng, inputs: usize, outputs: usize, activation: Activation) -> Dense {
    Dense { w: matrix(rng, outputs, inputs), b: (0..outputs).map(|_| 0.1 * real(rng)).collect(), activation }
}

fn lstm(rng: &mut Rng, inputs: usize, units: usize) -> Layer {
    let (w, u) = (matrix(rng, 4 * units, inputs), matrix(rng, 4 * units, units));
    Layer::Lstm(Lstm::from_unit_major(w, u, (0..4 * units).map(|r| if r % 4 == 1 { 1.0 } else { 0.0 }).collect()))
}

/// Heads with matrices of their own for everything.
fn attention(
    rng: &mut Rng,
    query: usize,
    memory: usize,
    [heads, kv_heads, key]: [usize; 3],
    slots: usize,
) -> Attention {
    let mut linear = |inputs, outputs| dense(rng, inputs, outputs, Activation::Linear);
    let matrices = [
        linear(query, heads * key),
        linear(memory, kv_heads * key),
        linear(memory, kv_heads * key),
        linear(heads * key, query),
    ];
    Attention::projected(matrices, [heads, kv_heads], slots, 2.0 / (key as f64).sqrt())
}

/// Nodes with their sources; the last is the output.
fn network(streams: &[usize], nodes: Vec<(Layer, Vec<Source>)>) -> Network {
    let head = nodes.len() - 1;
    let nodes = nodes.into_iter().enumerate();
    Network {
        name: "test".to_owned(),
        nodes: nodes.map(|(k, (layer, from))| Node::new(&format!("node {k}"), layer, from)).collect(),
        heads: vec![Head { node: head, labels: Vec::new() }],
        input: InputMap::identity(streams.iter().sum()),
        streams: if streams.len() > 1 { streams.to_vec() } else { Vec::new() },
        window: None,
        mask: None,
    }
}

/// Smooth noise in all streams, which step in turns of random length.
fn data(rng: &mut Rng, streams: &[usize]) -> Sequences {
    let features = if streams.len() > 1 { streams.iter().sum() } else { streams[0] };
    let mut walks: Vec<Vec<f64>> = streams.iter().map(|&n| vec![0.0; n]).collect();
    let (mut samples, mut order) = (Vec::new(), Vec::new());
    for t in 0..STEPS {
        let stream = if t < streams.len() { streams.len() - 1 - t } else { rng.below(streams.len() as u64) as usize };
        for v in &mut walks[stream] {
            *v = 0.7 * *v + real(rng);
        }
        samples.extend(walks[stream].iter().copied().chain(std::iter::repeat(0.0)).take(features));
        order.push(stream);
    }
    Sequences { features, sequences: vec![Sequence::interleaved(features, samples, order)] }
}

/// The signal over the error of the outputs, in dB.
fn snr(network: &Network, data: &Sequences, weights: Weights) -> f64 {
    let blob = convert(network, data, Units::Model, weights, "test", 16, || ()).unwrap().blob;
    let words: Vec<u32> = blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(&model, &mut state).unwrap();
    session.self_test().unwrap();
    let mut float = Evaluator::new(network);
    let (mut signal, mut noise, mut compared) = (0.0, 0.0, 0);
    let sequence = &data.sequences[0];
    for (t, sample) in sequence.steps().enumerate() {
        let stream = sequence.stream(t);
        let x = &sample[..network.features(stream).len()];
        let (expected, new) = float.step_stream(stream, x);
        let x: Vec<f32> = x.iter().map(|&v| v as f32).collect();
        let output = session.step_stream_f32(stream, &x).unwrap();
        assert_eq!(output.is_new(), new, "step {t} of stream {stream}");
        if new {
            compared += 1;
            for (k, f) in expected.iter().enumerate() {
                let i = f64::from(output.value(k).unwrap());
                signal += f * f;
                noise += (f - i) * (f - i);
            }
        }
    }
    assert!(compared > STEPS / 8, "{compared}");
    10.0 * f64::log10(signal / noise)
}

/// `w8` and `w16` are what was measured less 2 dB.
fn holds(name: &str, network: &Network, data: &Sequences, [w8, w16]: [f64; 2]) {
    let found = [Weights::W8, Weights::W16].map(|weights| snr(network, data, weights));
    println!("{name}: {:.1} dB with w8, {:.1} with w16", found[0], found[1]);
    assert!(found[0] >= w8 && found[1] >= w16, "{name}: {found:?}");
}

const INPUT: Source = Source::Input;

fn node(k: usize) -> Source {
    Source::Node(k)
}

/// A block of Llama's: norms, grouped heads that turn, a gated feed-forward part, two residual sums.
fn block(rng: &mut Rng, width: usize, first: usize) -> Vec<(Layer, Vec<Source>)> {
    let rms = |rng: &mut Rng| {
        let scale = (0..width).map(|_| 1.0 + 0.3 * real(rng)).collect();
        Layer::LayerNorm { scale, offset: vec![0.0; width], epsilon: 1e-5, rms: true }
    };
    let mut heads = attention(rng, width, width, [4, 2, 8], 24);
    heads.rotary = (0..4).map(|i| 100f64.powf(-f64::from(i) / 4.0)).collect();
    let x = first - 1;
    vec![
        (rms(rng), vec![node(x)]),
        (Layer::Attention(Box::new(heads)), vec![node(first), node(first)]),
        (Layer::Sum, vec![node(x), node(first + 1)]),
        (rms(rng), vec![node(first + 2)]),
        (Layer::Dense(dense(rng, width, 2 * width, Activation::Silu)), vec![node(first + 3)]),
        (Layer::Dense(dense(rng, width, 2 * width, Activation::Linear)), vec![node(first + 3)]),
        (Layer::Product, vec![node(first + 4), node(first + 5)]),
        (Layer::Dense(dense(rng, 2 * width, width, Activation::Linear)), vec![node(first + 6)]),
        (Layer::Sum, vec![node(first + 2), node(first + 7)]),
    ]
}

#[test]
fn transformers_keep_their_outputs() {
    let mut rng = Rng(5);
    let data = data(&mut rng, &[6]);
    let mut nodes = vec![(Layer::Dense(dense(&mut rng, 6, 32, Activation::Linear)), vec![INPUT])];
    nodes.extend(block(&mut rng, 32, 1));
    nodes.push((Layer::Dense(dense(&mut rng, 32, 10, Activation::Linear)), vec![node(9)]));
    holds("rotary, RMSNorm, SiLU, grouped heads", &network(&[6], nodes), &data, [43.3, 71.0]);

    for tanh in [false, true] {
        let table = matrix(&mut rng, 64, 24);
        let norm = Layer::LayerNorm { scale: vec![1.2; 24], offset: vec![0.1; 24], epsilon: 1e-5, rms: false };
        let nodes = vec![
            (Layer::Dense(dense(&mut rng, 6, 24, Activation::Linear)), vec![INPUT]),
            (Layer::Position(table), vec![node(0)]),
            (norm.clone(), vec![node(1)]),
            (Layer::Attention(Box::new(attention(&mut rng, 24, 24, [3, 3, 8], 32))), vec![node(2), node(2)]),
            (Layer::Sum, vec![node(1), node(3)]),
            (norm, vec![node(4)]),
            (Layer::Dense(dense(&mut rng, 24, 48, Activation::Gelu { tanh })), vec![node(5)]),
            (Layer::Dense(dense(&mut rng, 48, 24, Activation::Linear)), vec![node(6)]),
            (Layer::Sum, vec![node(4), node(7)]),
        ];
        holds("positions, LayerNorm, GELU", &network(&[6], nodes), &data, [44.5, 71.1]);
    }
}

#[test]
fn attention_over_hidden_states_keeps_its_context() {
    let mut rng = Rng(9);
    let data = data(&mut rng, &[5]);
    let scores = [
        ("dot", Score::Dot { scale: 3.0 }),
        ("scaled", Score::Dot { scale: 1.0 / 14f64.sqrt() }),
        ("additive", Score::Additive { v: (0..14).map(|_| 2.0 * real(&mut rng)).collect() }),
    ];
    for (name, score) in scores {
        let nodes = vec![
            (lstm(&mut rng, 5, 14), vec![INPUT]),
            (Layer::Attention(Box::new(Attention::raw(14, 10, score))), vec![node(0), node(0)]),
            (Layer::Dense(dense(&mut rng, 28, 6, Activation::Tanh)), vec![node(0), node(1)]),
        ];
        holds(name, &network(&[5], nodes), &data, [48.8, 78.9]);
    }
}

#[test]
fn several_streams_meet() {
    let mut rng = Rng(13);
    // An encoder and a decoder that looks into what it left.
    let streams = [4, 3];
    let both = data(&mut rng, &streams);
    let nodes = vec![
        (lstm(&mut rng, 4, 12), vec![INPUT]),
        (lstm(&mut rng, 3, 12), vec![Source::Stream(1)]),
        (Layer::Attention(Box::new(attention(&mut rng, 12, 12, [1, 1, 12], 20))), vec![node(1), node(0)]),
        (Layer::Dense(dense(&mut rng, 24, 8, Activation::Linear)), vec![node(1), node(2)]),
    ];
    holds("encoder and decoder", &network(&streams, nodes), &both, [51.3, 81.1]);
    // Two rates, fused on the first one's steps.
    let nodes = vec![
        (lstm(&mut rng, 4, 12), vec![INPUT]),
        (lstm(&mut rng, 3, 8), vec![Source::Stream(1)]),
        (Layer::Dense(dense(&mut rng, 20, 8, Activation::Sigmoid)), vec![node(0), node(1)]),
    ];
    holds("two rates", &network(&streams, nodes), &both, [66.7, 92.3]);
    // A memory network of two hops: facts come on the second stream, with keys and values of their own.
    let hop = |rng: &mut Rng| {
        let mut linear = |inputs, outputs| Some(dense(rng, inputs, outputs, Activation::Linear));
        let (k, v) = (linear(3, 16), linear(3, 16));
        let ages = (0..32).map(|age| -0.1 * f64::from(age)).collect();
        let one = Attention { q: None, o: None, k, v, ages, ..attention(rng, 16, 3, [1, 1, 16], 32) };
        Layer::Attention(Box::new(one))
    };
    let nodes = vec![
        (Layer::Dense(dense(&mut rng, 4, 16, Activation::Linear)), vec![INPUT]),
        (hop(&mut rng), vec![node(0), Source::Stream(1)]),
        (Layer::Sum, vec![node(0), node(1)]),
        (hop(&mut rng), vec![node(2), Source::Stream(1)]),
        (Layer::Sum, vec![node(2), node(3)]),
        (Layer::Dense(dense(&mut rng, 16, 8, Activation::Linear)), vec![node(4)]),
    ];
    holds("memory network", &network(&streams, nodes), &both, [50.2, 77.5]);
}
