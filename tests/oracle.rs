//! The session against the naive oracle on random networks, and the state's save, restore and reset.

mod common;

#[path = "oracle/attention.rs"]
mod attention;
#[path = "oracle/walk.rs"]
mod walk;

use cellstate::{Model, RestoreError, Session, State, StateTooSmall, StepError};
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes};
use fixed::types::I1F15;
use proptest::prelude::*;
use walk::Oracle;

const STATE: usize = 16384;

fn sample(rng: &mut Rng, features: usize) -> Vec<I1F15> {
    (0..features).map(|_| I1F15::from_bits(rng.i16())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_equals_the_oracle(seed in 1u64..) {
        let mut rng = Rng(seed);
        let (net, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let mut state = State::<STATE>::new();
        let mut session = Session::new(&model, &mut state).unwrap();
        let header = model.header();
        let mut oracle = Oracle::new(&net, (0..net.layers.len()).map(|k| header.is_wide(k)).collect());
        for step in 0..24 {
            let stream = rng.below(model.streams() as u64) as usize;
            let width = header.stream_width(stream);
            let x = if step % 7 == 5 { vec![I1F15::MAX; width] } else { sample(&mut rng, width) };
            let raw: Vec<i16> = x.iter().map(|v| v.to_bits()).collect();
            let ran = oracle.step(stream, &raw);
            session.step_stream(stream, &x).unwrap();
            for (head, &k) in net.heads.iter().enumerate() {
                let expected = &oracle.outputs[k as usize];
                let mine = oracle.stream(k + 1) == stream;
                prop_assert_eq!(session.head(head).is_new(), ran && mine && !expected.is_empty(), "step {} of stream {}, head {}, {:?}: {:?}", step, stream, head, header.streams, header.nodes);
                for (t, expected) in expected.iter().enumerate().filter(|_| ran) {
                    let got: Vec<i128> = session.head_at(head, t).iter().map(i128::from).collect();
                    prop_assert_eq!(&got, expected, "step {} of stream {}, head {} at {}: {:?}", step, stream, head, t, header.nodes);
                }
            }
            for (k, layer) in net.layers.iter().enumerate() {
                prop_assert_eq!(session.hidden(k).is_some(), layer.node.layer.is_recurrent());
                if let Some(h) = session.hidden(k) {
                    prop_assert!(h.iter().map(|h| i128::from(h.to_bits())).eq(oracle.memories[k].h.iter().copied()));
                }
                prop_assert_eq!(session.cell(k).is_some(), layer.node.layer.cell_frac().is_some());
                if let Some(cell) = session.cell(k) {
                    prop_assert!(cell.raw.iter().map(|&c| i128::from(c)).eq(oracle.memories[k].c.iter().copied()));
                }
            }
        }
    }

    #[test]
    fn saving_and_restoring_in_the_middle_changes_nothing(seed in 1u64.., cut in 0usize..9) {
        let mut rng = Rng(seed);
        let (_, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let samples: Vec<_> = (0..10).map(|_| sample(&mut rng, model.header().stream_width(0))).collect();
        let (mut one, mut two) = (State::<STATE>::new(), State::<STATE>::new());
        let mut whole = Session::new(&model, &mut one).unwrap();
        let mut saved = vec![0; model.saved_bytes()];
        for (k, x) in samples.iter().enumerate() {
            whole.step(x).unwrap();
            if k == cut {
                prop_assert_eq!(whole.save(&mut saved), Ok(model.saved_bytes()));
            }
        }
        let mut resumed = Session::new(&model, &mut two).unwrap();
        resumed.step(&samples[0]).unwrap(); // something to overwrite
        resumed.restore(&saved).unwrap();
        for x in &samples[cut + 1..] {
            resumed.step(x).unwrap();
        }
        prop_assert_eq!(whole.digest(), resumed.digest());
        prop_assert!(whole.output().iter().eq(resumed.output().iter()));
        whole.reset();
        for x in &samples {
            whole.step(x).unwrap();
        }
        prop_assert_eq!(whole.digest(), resumed.digest());
    }
}

#[test]
fn misuse_is_an_error_that_says_what_is_needed() {
    let (_, blob) = random(&mut Rng(5));
    let words = aligned(&blob);
    let model = Model::parse(bytes(&words, blob.len())).unwrap();
    let needed = model.state_bytes();
    assert_eq!(Session::new(&model, &mut State::<4>::new()).err(), Some(StateTooSmall { needed, got: 4 }));
    let mut state = State::<STATE>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let wrong = StepError::SampleLength { needed: model.inputs() as u16, got: 0 };
    assert_eq!(session.step(&[]).err(), Some(wrong));
    assert_eq!(session.step_i16(&[]).err(), Some(wrong));
    assert_eq!(session.step_f32(&[]).err(), Some(wrong));
    let (needed, before) = (model.saved_bytes(), session.digest());
    assert_eq!(session.save(&mut [0; 3]).err(), Some(RestoreError::Length { needed, got: 3 }));
    assert_eq!(session.restore(&[0; 3]).err(), Some(RestoreError::Length { needed, got: 3 }));
    let mut saved = vec![0; needed];
    session.save(&mut saved).unwrap();
    for bit in 0..needed * 8 {
        let mut damaged = saved.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(session.restore(&damaged).err(), Some(RestoreError::Checksum));
    }
    let (_, other) = random(&mut Rng(6));
    assert_ne!(blob, other);
    let mut foreign = saved[..needed - 4].to_vec();
    foreign[0] ^= 1;
    let crc = cellstate::model::checksum([&foreign[..]]);
    foreign.extend(crc.to_le_bytes());
    assert_eq!(session.restore(&foreign).err(), Some(RestoreError::OtherModel));
    assert_eq!(session.digest(), before);
}
