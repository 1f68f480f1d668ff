//! Test vectors that travel in the blob: what the converter's host found is found again, and no change goes unseen.

use cellstate::{Model, SelfTestError, Session, State};
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::emit::vectors::Vectors;
use cellstate_convert::eval::Units;
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes, seal};

mod common;

const STATE: usize = 16384;

fn self_test(blob: &[u8]) -> Result<(), SelfTestError> {
    let words = aligned(blob);
    let model = Model::parse(bytes(&words, blob.len())).unwrap();
    let mut state = State::<STATE>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let before = session.digest();
    let result = session.self_test();
    assert_eq!(session.digest(), before, "it ends with the initial state");
    assert_eq!(session.self_test(), result);
    result
}

/// Samples at their extremes, for a model that takes them as they are.
fn data(rng: &mut Rng, features: usize, streams: usize, steps: usize) -> Sequences {
    let samples = (0..features * steps).map(|_| f64::from(rng.i16())).collect();
    let order = (0..steps).map(|t| t % streams.max(1)).collect();
    Sequences { features, sequences: vec![Sequence::interleaved(features, samples, order)] }
}

#[test]
fn committed_blobs_pass() {
    for name in ["watch", "digits", "motes"] {
        let path = format!("{}/tests/models/{name}/{name}.cell", env!("CARGO_MANIFEST_DIR"));
        assert_eq!(self_test(&std::fs::read(path).unwrap()), Ok(()), "{name}");
    }
}

#[test]
fn random_networks_pass_and_forged_checksums_do_not() {
    let (mut answered, mut longer) = (0, 0);
    for seed in 1..=400 {
        let mut rng = Rng(seed);
        let (net, blob) = random(&mut rng);
        assert_eq!(self_test(&blob), Err(SelfTestError::NoVectors));
        let data = data(&mut rng, net.features.len(), net.streams.len(), 40);
        let vectors = Vectors { data: &data, units: Units::Counts, steps: 3 };
        let mut tested = vectors.add(blob.clone());
        assert_eq!(self_test(&tested), Ok(()), "seed {seed}");
        assert_eq!(vectors.add(tested.clone()), tested, "vectors take the place of those that are there");
        let words = aligned(&tested);
        let model = Model::parse(bytes(&words, tested.len())).unwrap();
        let tests = model.header().tests;
        assert_eq!(model.test_samples().count(), usize::from(tests));
        // Those of as many steps come to an output, where the model has one within the data.
        let mut state = State::<STATE>::new();
        let mut session = Session::new(&model, &mut state).unwrap();
        let new = |session: &Session| (0..net.heads.len()).any(|head| session.head(head).is_new());
        let mut seen =
            model.test_samples().map(|(stream, x)| session.step_stream(stream, x).map(|_| ()).is_ok() && new(&session));
        answered += u32::from(seen.any(|new| new));
        longer += u32::from(tests > 3);
        let last = tested.len() - 1;
        tested[last] ^= 1;
        seal(&mut tested);
        assert!(matches!(self_test(&tested), Err(SelfTestError::Mismatch { .. })), "seed {seed}");
    }
    assert!(answered >= 395 && longer > 20, "{answered} came to an output, {longer} by more steps");
}

#[test]
fn a_changed_sample_or_weight_is_a_mismatch() {
    let blob = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/models/watch/watch.cell")).unwrap();
    let words = aligned(&blob);
    let model = Model::parse(bytes(&words, blob.len())).unwrap();
    let (tests, inputs) = (model.header().test_words(), model.inputs());
    let start = blob.len() - 4 * tests;
    let changed = |at: usize, bits: u8| {
        let mut blob = blob.clone();
        blob[at] ^= bits;
        seal(&mut blob);
        let words = aligned(&blob);
        // An accumulator that could overflow is refused before.
        Model::parse(bytes(&words, blob.len())).is_ok().then(|| self_test(&blob))
    };
    // A sample has six values and two that pad it.
    let values = (0..model.header().tests.into()).flat_map(|t| (0..inputs).map(move |k| start + 16 * t + 2 * k));
    for at in values {
        assert!(matches!(changed(at + 1, 0x40), Some(Err(SelfTestError::Mismatch { .. }))), "byte {at}");
    }
    // The input gate's first weight of each unit: behind four biases and eight multipliers.
    let (_, lstm) = model.node(0).unwrap();
    let records = blob.len() - 4 * (model.words().len() - lstm.records);
    for unit in 0..lstm.width {
        let weight = records + 4 * (unit * lstm.record_words / lstm.width + 12);
        assert!(matches!(changed(weight, 0x10), Some(Err(SelfTestError::Mismatch { .. }))), "unit {unit}");
    }
}
