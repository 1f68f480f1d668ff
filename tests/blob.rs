//! A blob is never trusted: every flipped bit, every truncation, and blobs whose checksum is right and whose content lies.

use cellstate::kernel::layout::pack;
use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Header, Node, PREFIX_BYTES, Weights};
use cellstate::model::layer::Layer;
use cellstate::model::more::{Formats, More};
use cellstate::model::{checksum, prefix};
use cellstate::{LoadError, Model, Session, State};

mod common;
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes, seal};

fn committed(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/models/{name}/{name}.cell", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// Every single-bit flip, on two threads; the digits blob has 656,000 of them.
#[test]
fn every_flipped_bit_is_an_error() {
    for name in ["watch", "digits"] {
        let blob = committed(name);
        std::thread::scope(|scope| {
            for half in 0..2 {
                let blob = &blob;
                scope.spawn(move || {
                    let mut words = aligned(blob);
                    for bit in (half..blob.len() * 8).step_by(2) {
                        words[bit / 32] ^= 1 << (bit % 32);
                        assert!(Model::parse(bytes(&words, blob.len())).is_err(), "{name}: bit {bit}");
                        words[bit / 32] ^= 1 << (bit % 32);
                    }
                    assert!(Model::parse(bytes(&words, blob.len())).is_ok());
                });
            }
        });
    }
}

#[test]
fn every_truncation_and_every_extension_is_an_error() {
    for name in ["watch", "digits"] {
        let mut blob = committed(name);
        let words = aligned(&blob);
        for len in 0..blob.len() {
            let error = Model::parse(bytes(&words, len)).unwrap_err();
            assert!(matches!(error, LoadError::Truncated { .. }), "{name}: {len} bytes: {error:?}");
        }
        let whole = blob.len();
        assert_eq!(Model::blob_len(&blob), Some(whole));
        blob.extend([0; 3]);
        let words = aligned(&blob);
        assert_eq!(Model::parse(bytes(&words, blob.len())).err(), Some(LoadError::TrailingBytes { extra: 3 }));
    }
}

#[test]
fn an_unaligned_blob_is_an_error() {
    let blob = committed("watch");
    let mut shifted = vec![0u8; 1];
    shifted.extend(&blob);
    let words = aligned(&shifted);
    assert_eq!(Model::parse(&bytes(&words, shifted.len())[1..]).err(), Some(LoadError::Misaligned));
}

/// A blob with a right checksum around any header and words.
fn forge(header: &Header, words: &[i32]) -> Vec<u8> {
    let mut body = postcard::to_stdvec(header).unwrap();
    let header_len = body.len() as u32;
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    let mut out = prefix((PREFIX_BYTES + body.len()) as u32, header_len).to_vec();
    out.extend(checksum([&out[..], &body[..]]).to_le_bytes());
    out.extend(body);
    out
}

fn refused(header: &Header, words: &[i32]) -> Option<LoadError> {
    let blob = forge(header, words);
    Model::parse(bytes(&aligned(&blob), blob.len())).err()
}

/// Layers one after the other; the last is the output.
fn header(layers: &[Layer]) -> Header<'static> {
    let nodes = layers.iter().enumerate().map(|(k, &layer)| Node::streaming(k as u8, layer)).collect();
    let heads = layers.len().checked_sub(1).map(|k| k as u8).into_iter().collect();
    Header {
        name: "",
        provenance: "",
        labels: "",
        features: "",
        inputs: 1,
        window: 0,
        mask: false,
        tests: 0,
        streams: heapless::Vec::new(),
        heads,
        nodes,
    }
}

const FEATURE: Feature = Feature { multiplier: 1, bias: 0, shift: 0, centre: 0.0, gain: 1.0 };
const DENSE: Layer =
    Layer::Dense { outputs: 1, weights: Weights::W8, activation: Activation::Linear, z_shift: 0, scale: 1.0 };
const LSTM: Layer = Layer::Lstm { units: 1, weights: Weights::W8, cell_frac: 24, z_shift: 0, initial: false };

/// The input map of one feature, then `records` words.
fn words(feature: Feature, records: &[i32]) -> Vec<i32> {
    feature.to_words().into_iter().chain(records.iter().copied()).collect()
}

#[test]
fn forged_blobs_are_refused_with_the_right_error() {
    let zeros = words(FEATURE, &[0; 12]);
    assert_eq!(refused(&header(&[DENSE]), &zeros), None);
    assert_eq!(refused(&header(&[LSTM]), &words(FEATURE, &[0; 20])), None);

    assert_eq!(refused(&header(&[]), &zeros), Some(LoadError::Empty));
    assert_eq!(refused(&Header { inputs: 0, ..header(&[DENSE]) }, &zeros), Some(LoadError::Empty));
    let none = Layer::Lstm { units: 0, weights: Weights::W8, cell_frac: 24, z_shift: 0, initial: false };
    assert_eq!(refused(&header(&[none]), &zeros), Some(LoadError::Empty));
    assert_eq!(refused(&header(&[DENSE]), &zeros[1..]), Some(LoadError::Length { needed: 17, found: 16 }));
    // A sample of one feature takes two words, and the checksum one.
    let tested = |tests, inputs| Header { tests, inputs, ..header(&[DENSE]) };
    let with = |words: usize| [&zeros[..], &vec![0; words]].concat();
    assert_eq!(refused(&tested(2, 1), &with(5)), None);
    assert_eq!(refused(&tested(2, 1), &with(4)), Some(LoadError::Length { needed: 22, found: 21 }));
    assert_eq!(refused(&tested(3, 1), &with(5)), Some(LoadError::Length { needed: 24, found: 22 }));
    assert_eq!(refused(&tested(0, 1), &with(1)), Some(LoadError::Length { needed: 17, found: 18 }));
    assert_eq!(refused(&tested(2, 1), &zeros), Some(LoadError::Length { needed: 22, found: 17 }));
    let most = tested(u16::MAX, u16::MAX);
    assert!(matches!(refused(&most, &with(5)), Some(LoadError::Length { needed: 0x8000_0000.., .. })));
    let huge = Layer::Lstm { units: u16::MAX, weights: Weights::W16, cell_frac: 24, z_shift: 0, initial: false };
    assert!(refused(&header(&[huge, huge]), &zeros).is_some());
    assert_eq!(refused(&Header { labels: "a\nb", ..header(&[DENSE]) }, &zeros), Some(LoadError::Names));
    assert_eq!(refused(&Header { features: "a\nb", ..header(&[DENSE]) }, &zeros), Some(LoadError::Names));

    for feature in [
        Feature { multiplier: 32768, ..FEATURE },
        Feature { multiplier: i32::MIN, ..FEATURE },
        Feature { bias: (1 << 30) + 1, ..FEATURE },
        Feature { shift: 31, ..FEATURE },
        Feature { centre: f32::NAN, ..FEATURE },
        Feature { gain: f32::INFINITY, ..FEATURE },
    ] {
        let error = refused(&header(&[DENSE]), &words(feature, &[0; 12]));
        assert_eq!(error, Some(LoadError::InputMap { feature: 0 }), "{feature:?}");
    }

    let dense =
        |activation, z_shift, scale| Layer::Dense { outputs: 1, weights: Weights::W8, activation, z_shift, scale };
    for layer in [
        Layer::Lstm { units: 1, weights: Weights::W8, cell_frac: 17, z_shift: 0, initial: false },
        Layer::Lstm { units: 1, weights: Weights::W8, cell_frac: 31, z_shift: 0, initial: false },
        Layer::Lstm { units: 1, weights: Weights::W8, cell_frac: 24, z_shift: 16, initial: false },
        dense(Activation::Linear, 1, 1.0),
        dense(Activation::Tanh, 16, 1.0),
        dense(Activation::Linear, 0, 0.0),
        dense(Activation::Linear, 0, -1.0),
        dense(Activation::Linear, 0, f32::NAN),
    ] {
        let records = if matches!(layer, Layer::Lstm { .. }) { 20 } else { 12 };
        let error = refused(&header(&[layer]), &words(FEATURE, &vec![0; records]));
        assert_eq!(error, Some(LoadError::Scale { layer: 0 }), "{layer:?}");
    }
    let softmax = dense(Activation::Softmax, 0, 1.0);
    assert_eq!(refused(&header(&[softmax, DENSE]), &words(FEATURE, &[0; 24])), Some(LoadError::Softmax { layer: 0 }));

    // bias, multiplier, weights of the first of four rows; a block of one column is 4 words.
    let accumulator = Some(LoadError::Accumulator { layer: 0, record: 0 });
    let mut negative = zeros.clone();
    negative[5 + 4] = -1;
    assert_eq!(refused(&header(&[DENSE]), &negative), accumulator);
    let mut fine = zeros.clone();
    fine[5 + 4] = 1 << 15;
    assert_eq!(refused(&header(&[DENSE]), &fine), accumulator);
    let block = |weights, w| pack(weights, &[[w, 0, 0, 0], [0; 4], [0; 4], [0; 4]]);
    let mut full = words(FEATURE, &[i32::MAX, 0, 0, 0, 32767 << 16, 0, 0, 0]);
    full.extend(&block(Weights::W8, 127)[..4]);
    assert_eq!(refused(&header(&[DENSE]), &full), accumulator);
    full[5] = 0;
    assert_eq!(refused(&header(&[DENSE]), &full), None);
    full[5] = i32::MIN;
    assert_eq!(refused(&header(&[DENSE]), &full), accumulator);
    // 513 columns of -128 reach 2^31, and 512 of -8 reach 2^27.
    for (weights, lowest) in [(Weights::W8, -128), (Weights::W4, -8)] {
        let layer = Layer::Dense { outputs: 1, weights, activation: Activation::Linear, z_shift: 0, scale: 1.0 };
        let wide = |columns: u16| {
            let header = Header { inputs: columns, ..header(&[layer]) };
            let mut words: Vec<i32> = (0..columns).flat_map(|_| FEATURE.to_words()).collect();
            words.extend([0, 0, 0, 0, 1 << 16, 0, 0, 0]);
            let block = pack(weights, &[[0; 4], [0; 4], [0; 4], [lowest; 4]]);
            words.extend((0..columns / 4).flat_map(|_| &block[..weights.block_words()]));
            refused(&header, &words)
        };
        assert_eq!(wide(508), None);
        assert_eq!(wide(512), accumulator);
    }
}

#[test]
fn prefix_errors_are_typed() {
    let blob = committed("watch");
    let patched = |at: usize, value: u8| {
        let mut blob = blob.clone();
        blob[at] = value;
        Model::parse(bytes(&aligned(&blob), blob.len())).err()
    };
    assert_eq!(patched(0, b'c'), Some(LoadError::NotABlob));
    assert_eq!(patched(4, 9), Some(LoadError::Version { found: 9, supported: 6 }));
    assert_eq!(patched(16, !blob[16]), Some(LoadError::Checksum));
    assert_eq!(patched(6, 1), Some(LoadError::Checksum));
    assert!(matches!(patched(8, 0), Some(LoadError::TrailingBytes { .. } | LoadError::Truncated { .. })));
}

/// Random bytes under a right checksum: whatever the loader takes must step without a panic.
#[test]
fn what_is_accepted_can_be_stepped() {
    let mut rng = Rng(99);
    let mut accepted = 0;
    for _ in 0..4000 {
        let (_, mut blob) = random(&mut rng);
        for _ in 0..=rng.below(3) {
            let at = PREFIX_BYTES + rng.below((blob.len() - PREFIX_BYTES) as u64) as usize;
            blob[at] = rng.next() as u8;
        }
        seal(&mut blob);
        let words = aligned(&blob);
        let Ok(model) = Model::parse(bytes(&words, blob.len())) else {
            continue;
        };
        accepted += 1;
        let mut state = State::<65536>::new();
        let Ok(mut session) = Session::new(&model, &mut state) else {
            continue;
        };
        for _ in 0..8 {
            let stream = rng.below(model.streams() as u64) as usize;
            let sample: Vec<i16> = (0..model.header().stream_width(stream)).map(|_| rng.i16()).collect();
            session.step_stream_i16(stream, &sample).unwrap();
        }
        let mut scores = [0.0; 32];
        session.output().probabilities(&mut scores);
        let _ = session.self_test();
    }
    assert!(accepted > 100, "{accepted}");
}

/// The error of one node behind the sample, which has one value, with `records` words.
fn node_refused(node: Node, window: u16, records: usize) -> Option<LoadError> {
    let header = Header { window, nodes: [node].into_iter().collect(), ..header(&[DENSE]) };
    refused(&header, &words(FEATURE, &vec![0; records]))
}

#[test]
fn graphs_that_do_not_follow_from_their_sources_are_refused() {
    let graph = Some(LoadError::Graph { layer: 0 });
    let node = |layer| Node::streaming(0, layer);
    assert_eq!(node_refused(node(LSTM), 0, 20), None);
    assert_eq!(node_refused(Node { from: 1, ..node(LSTM) }, 0, 20), graph);
    assert_eq!(node_refused(Node { from: 200, ..node(LSTM) }, 0, 20), graph);
    assert_eq!(node_refused(Node { steps: 2, ..node(LSTM) }, 0, 20), graph);
    // Backward walks are a window's, and a hidden state's.
    assert_eq!(node_refused(Node { backward: true, ..node(LSTM) }, 0, 20), graph);
    assert_eq!(node_refused(Node { backward: true, steps: 5, ..node(LSTM) }, 5, 20), None);
    assert_eq!(node_refused(Node { backward: true, last: true, ..node(LSTM) }, 5, 20), None);
    assert_eq!(node_refused(Node { last: true, steps: 5, ..node(LSTM) }, 5, 20), graph);
    assert_eq!(node_refused(Node { backward: true, steps: 5, ..node(DENSE) }, 5, 12), graph);

    let more = |more| node(Layer::More(more));
    let window = |width, taps, stride| more(More::Window { width, taps, dilation: 1, stride, causal: false });
    for wrong in [window(3, 2, 1), window(0, 0, 1), window(2, 2, 0)] {
        assert!(matches!(node_refused(wrong, 0, 0), Some(LoadError::Graph { .. } | LoadError::Empty)), "{wrong:?}");
    }
    // Joined inputs are no output.
    assert_eq!(node_refused(window(2, 2, 1), 0, 0), Some(LoadError::Empty));
    let norm = |width, shift| more(More::Norm { width, shift, scale: 1.0, epsilon: 0, rms: false });
    assert_eq!(node_refused(norm(1, 0), 0, 2), None);
    assert_eq!(node_refused(norm(2, 0), 0, 4), graph);
    assert_eq!(node_refused(norm(1, 32), 0, 2), Some(LoadError::Scale { layer: 0 }));
    let table = |rows, weights| more(More::Embedding { rows, width: 4, weights, scale: 1.0 });
    assert_eq!(node_refused(table(1, Weights::W8), 0, 1), None);
    assert_eq!(node_refused(table(0, Weights::W8), 0, 0), graph);
    assert_eq!(node_refused(table(1, Weights::W4), 0, 1), graph);
    let softmax = More::Rnn {
        units: 1,
        formats: Formats::of(Weights::W8),
        activation: Activation::Softmax,
        z_shift: 0,
        scale: 1.0,
        initial: false,
    };
    assert_eq!(node_refused(more(softmax), 0, 16), graph);
    let lstm = |formats, projection, peephole| {
        let (units, cell_frac) = (1, 24);
        let (z_shift, initial, hard, scale) = (0, false, true, 1.0);
        more(More::LstmVariant { units, formats, cell_frac, z_shift, initial, hard, peephole, projection, scale })
    };
    let variant = |projection, peephole| lstm(Formats::of(Weights::W8), projection, peephole);
    assert_eq!(node_refused(variant(0, None), 0, 20), None);
    // Matrices apart: four biases, four multipliers and a block each.
    let apart = |w, u, group| lstm(Formats { w, u, group }, 0, None);
    assert_eq!(node_refused(apart(Weights::W8, Weights::W4, 0), 0, 12 + 10), None);
    assert_eq!(node_refused(apart(Weights::W4, Weights::W4, 4), 0, 10 + 10), None);
    assert_eq!(node_refused(apart(Weights::W4, Weights::W4, 6), 0, 10 + 10), graph);
    let nodes = [apart(Weights::W8, Weights::W4, 0)].into_iter().collect();
    let both = Header { nodes, ..header(&[DENSE]) };
    let mut records = vec![0; 12 + 10];
    records[0] = i32::MAX - 2; // two parts are rounded
    assert_eq!(refused(&both, &words(FEATURE, &records)), None);
    records[12] = 1;
    let overflow = Some(LoadError::Accumulator { layer: 0, record: 0 });
    assert_eq!(refused(&both, &words(FEATURE, &records)), overflow);
    // Nine parts.
    let mut wide = header(&[DENSE]);
    wide.inputs = 28;
    wide.nodes = [apart(Weights::W4, Weights::W4, 4)].into_iter().collect();
    assert_eq!(
        refused(&wide, &FEATURE.to_words().repeat(28)),
        Some(LoadError::Length { needed: 28 * 5 + 4 + 7 * 6 + 10, found: 140 })
    );
    wide.inputs = 29;
    assert_eq!(refused(&wide, &FEATURE.to_words().repeat(29)), graph);
    assert_eq!(node_refused(variant(2, None), 0, 32), graph);
    assert_eq!(node_refused(variant(0, Some(16)), 0, 23), Some(LoadError::Scale { layer: 0 }));
    // A state of more words than 2^29: 65,535 taps, as far apart.
    let far = More::Window { width: u16::MAX, taps: u16::MAX, dilation: u16::MAX, stride: 1, causal: false };
    let nodes = [more(far), Node::streaming(1, DENSE)].into_iter().collect();
    let header = Header { heads: [1].into_iter().collect(), nodes, ..header(&[DENSE]) };
    assert_eq!(refused(&header, &words(FEATURE, &[])), Some(LoadError::Header));
}
