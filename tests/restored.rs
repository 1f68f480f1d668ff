//! A saved state comes from anywhere: whatever its counters say, a step ends, and outputs are those of the model.

use cellstate::model::checksum;
use cellstate::{Model, Session, State};
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes};

mod common;

/// Steps of every stream, long enough for a window.
fn step(session: &mut Session, rng: &mut Rng) {
    let model = session.model();
    for _ in 0..=model.header().samples() {
        for stream in 0..model.streams() {
            let sample: Vec<i16> = (0..model.header().stream_width(stream)).map(|_| rng.i16()).collect();
            session.step_stream_i16(stream, &sample).unwrap();
        }
    }
}

/// Restores the session's own state with one word changed.
fn restore_with(session: &mut Session, word: usize, value: i32) {
    let mut saved = vec![0; session.model().saved_bytes()];
    session.save(&mut saved).unwrap();
    saved[4 + 4 * word..][..4].copy_from_slice(&value.to_le_bytes());
    let (body, crc) = saved.split_last_chunk_mut::<4>().unwrap();
    *crc = checksum([&*body]).to_le_bytes();
    session.restore(&saved).unwrap();
}

#[test]
fn counters_that_are_no_counts_do_no_harm() {
    let mut rng = Rng(5);
    let mut windowed = 0;
    for _ in 0..300 {
        let (_, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let mut state = State::<65536>::new();
        let mut session = Session::new(&model, &mut state).unwrap();
        windowed += usize::from(model.header().window > 0);
        // The samples seen and kept, and of each node the outputs yielded and the first words that it carries.
        let counters: Vec<usize> =
            [0, 1].into_iter().chain(model.nodes().flat_map(|(_, p)| p.state..p.state + 4)).collect();
        for word in counters.into_iter().filter(|&w| w < model.state_bytes() / 4) {
            for value in [-1, i32::MIN, i32::MAX] {
                step(&mut session, &mut rng);
                restore_with(&mut session, word, value);
                for head in 0..model.header().heads.len() {
                    assert!(session.head(head).len() <= model.head_width(head));
                    assert!(session.head_at(head, usize::MAX).len() <= model.head_width(head));
                }
                step(&mut session, &mut rng);
            }
        }
    }
    assert!(windowed > 20, "{windowed}");
}

#[test]
fn there_is_no_output_past_the_end_of_a_run() {
    let mut rng = Rng(6);
    let mut backward = 0;
    for _ in 0..300 {
        let (_, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let mut state = State::<65536>::new();
        let mut session = Session::new(&model, &mut state).unwrap();
        for head in 0..model.header().heads.len() {
            assert!(session.head_at(head, 0).is_empty(), "nothing ran yet");
        }
        step(&mut session, &mut rng);
        for (head, &node) in model.header().heads.iter().enumerate() {
            let node = model.header().nodes[usize::from(node)];
            backward += usize::from(node.backward && !node.last);
            for t in [usize::from(node.steps), usize::from(node.steps) + 1, usize::MAX / 2, usize::MAX] {
                assert!(session.head_at(head, t).is_empty(), "step {t} of {node:?}");
            }
        }
    }
    assert!(backward > 2, "{backward}");
}
