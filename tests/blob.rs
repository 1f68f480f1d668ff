//! A blob is never trusted: every flipped bit, every truncation, and blobs whose checksum is right and whose content lies.
//!
//! `docs/blob.md` lists what the loader checks, with the test of each.

use cellstate::layer::input::Feature;
use cellstate::model::header::{Activation, Header, Node, PREFIX_BYTES, Weights};
use cellstate::model::layer::{Layer, Section};
use cellstate::model::more::{Formats, MAX_PARTS, More};
use cellstate::model::{checksum, prefix};
use cellstate::{LoadError, Model, Session, State};

mod common;
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes, seal};

#[path = "blob/attention.rs"]
mod attention;
#[path = "blob/graph.rs"]
mod graph;
#[path = "blob/header.rs"]
mod header;
#[path = "blob/numbers.rs"]
mod numbers;
#[path = "blob/prefix.rs"]
mod prefix_bytes;

fn committed(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/models/{name}/{name}.cell", env!("CARGO_MANIFEST_DIR"));
    std::fs::read(path).unwrap()
}

/// A blob with a right checksum around the bytes of a header, and words.
fn forge_bytes(mut body: Vec<u8>, words: &[i32]) -> Vec<u8> {
    let header_len = body.len() as u32;
    body.resize(body.len().next_multiple_of(4), 0);
    body.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    let mut out = prefix((PREFIX_BYTES + body.len()) as u32, header_len).to_vec();
    out.extend(checksum([&out[..], &body[..]]).to_le_bytes());
    out.extend(body);
    out
}

/// Why these bytes are refused, if they are.
fn error_of(blob: &[u8]) -> Option<LoadError> {
    Model::parse(bytes(&aligned(blob), blob.len())).err()
}

/// The same of a blob with a right checksum around any header and words.
fn refused(header: &Header, words: &[i32]) -> Option<LoadError> {
    error_of(&forge_bytes(postcard::to_stdvec(header).unwrap(), words))
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
const DENSE: Layer = dense(Activation::Linear, 0, 1.0);
const LSTM: Layer = lstm(24, 0);
const GRAPH: Option<LoadError> = Some(LoadError::Graph { layer: 0 });
const SCALE: Option<LoadError> = Some(LoadError::Scale { layer: 0 });
const ACCUMULATOR: Option<LoadError> = Some(LoadError::Accumulator { layer: 0, record: 0 });
/// Words of [`DENSE`] and [`LSTM`] behind one value.
const DENSE_WORDS: usize = 12;
const LSTM_WORDS: usize = 20;

const fn dense(activation: Activation, z_shift: u8, scale: f32) -> Layer {
    Layer::Dense { outputs: 1, weights: Weights::W8, activation, z_shift, scale }
}

const fn lstm(cell_frac: u8, z_shift: u8) -> Layer {
    Layer::Lstm { units: 1, weights: Weights::W8, cell_frac, z_shift, initial: false }
}

/// The input map of one feature, then `records` words.
fn words(feature: Feature, records: &[i32]) -> Vec<i32> {
    feature.to_words().into_iter().chain(records.iter().copied()).collect()
}

/// The error of one node behind the sample, which has one value, with so many words of zero.
fn node_refused(node: Node, window: u16, records: usize) -> Option<LoadError> {
    let header = Header { window, nodes: [node].into_iter().collect(), ..header(&[DENSE]) };
    refused(&header, &words(FEATURE, &vec![0; records]))
}

/// The same of a layer that streams, with its words.
fn layer_refused(layer: Layer, records: &[i32]) -> Option<LoadError> {
    refused(&header(&[layer]), &words(FEATURE, records))
}

fn more_refused(more: More, records: &[i32]) -> Option<LoadError> {
    layer_refused(Layer::More(more), records)
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

/// The time to load is linear in the length: no header can ask for more parts of a row than one beyond what is allowed.
#[test]
fn no_header_has_more_parts_than_are_counted() {
    for columns in [1, 7, 4096, 65_535] {
        for group in [0, 1, 4, 100, 65_535] {
            let section = Section { group, ..Section::new(1, [columns; 2], Weights::W4) };
            assert!(section.parts().count() <= MAX_PARTS + 1, "{columns} columns by {group}");
        }
    }
    let formats = Formats { w: Weights::W4, u: Weights::W4, group: 1 };
    assert!(!formats.fit([65_535; 2]));
    assert!(!Formats { group: 4, ..formats }.fit([4 * MAX_PARTS, 4]));
    assert!(Formats { group: 4, ..formats }.fit([4 * (MAX_PARTS - 1), 4]));
}
