//! All that an application can do with a model, in the order that a fuzzer wants.

use arbitrary::{Result, Unstructured};
use cellstate::model::checksum;
use cellstate::model::layer::Layer;
use cellstate::model::more::More;
use cellstate::{Choice, Model, Sampler, Session, State};
use fixed::types::I1F15;
use std::cell::RefCell;

/// The largest state that is tried.
const ROOM: usize = 1 << 14;
/// The most products of all runs: what takes longer teaches nothing.
const WORK: usize = 1 << 16;
/// The most commands.
const COMMANDS: usize = 24;

thread_local! {
    /// Two, so that what a session does can be done again in another.
    static STATES: RefCell<[State<ROOM>; 2]> = const { RefCell::new([State::new(), State::new()]) };
}

/// Carries out commands until there are none left.
pub fn exercise(model: &Model, u: &mut Unstructured) {
    let work = work(model);
    if model.state_bytes() > ROOM || work > WORK {
        return;
    }
    STATES.with_borrow_mut(|[one, other]| {
        let (Ok(mut session), Ok(mut twin)) = (Session::new(model, one), Session::new(model, other)) else {
            panic!("a state of {} bytes has no room for {}", ROOM, model.state_bytes());
        };
        for _ in 0..COMMANDS.min(WORK / work.max(1)) {
            if u.is_empty() || command(&mut session, &mut twin, u).is_err() {
                break;
            }
        }
        look(&session, 0);
    });
}

/// Products of a run over a window, roughly.
fn work(model: &Model) -> usize {
    let node = |layer: &Layer| match layer {
        Layer::More(More::Attention(a)) => {
            usize::from(a.heads) * usize::from(a.slots) * usize::from(a.key + a.value) * if a.additive { 4 } else { 1 }
        }
        _ => 0,
    };
    let each = model.nodes().map(|(n, p)| 4 * p.record_words + p.extra_words + p.state_words() + node(&n.layer));
    each.sum::<usize>().saturating_mul(model.header().samples())
}

fn command<'a>(session: &mut Session<'a>, twin: &mut Session<'a>, u: &mut Unstructured) -> Result<()> {
    let model = session.model();
    let stream = usize::from(u.arbitrary::<u8>()?) % (model.streams() + 1);
    let width = if stream < model.streams() { model.header().stream_width(stream) } else { 3 };
    match u.arbitrary::<u8>()? % 12 {
        0..=2 => {
            let counts = samples(u, width)?;
            let fits = session.step_stream_i16(stream, &counts).is_ok();
            assert_eq!(fits, stream < model.streams());
        }
        3 => {
            let sample: Vec<I1F15> = samples(u, width)?.into_iter().map(I1F15::from_bits).collect();
            let _ = session.step_stream(stream, &sample);
            // Of any length, which is refused and changes nothing.
            let digest = session.digest();
            if session.step(&sample[..width - 1]).is_err() {
                assert_eq!(session.digest(), digest);
            }
        }
        4 => {
            let floats = (0..width).map(|_| Ok(f32::from_bits(u.arbitrary()?))).collect::<Result<Vec<_>>>()?;
            let _ = session.step_stream_f32(stream, &floats);
        }
        // What was saved goes on elsewhere with the same bits.
        5 => {
            let mut saved = vec![0; model.saved_bytes()];
            assert_eq!(session.save(&mut saved), Ok(saved.len()));
            assert_eq!(twin.restore(&saved), Ok(()));
            let counts = samples(u, width)?;
            let steps = [&mut *session, &mut *twin].map(|s| s.step_stream_i16(stream, &counts).map(|o| o.argmax()));
            assert_eq!(steps[0], steps[1]);
            assert_eq!(session.digest(), twin.digest());
            assert!(session.restore(&saved[1..]).is_err());
        }
        // Any state at all, in which nobody believes but the checksum.
        6 | 7 => {
            let mut saved = vec![0; model.saved_bytes()];
            assert_eq!(session.save(&mut saved), Ok(saved.len()));
            let end = saved.len() - 4;
            for _ in 0..=u.arbitrary::<u8>()? % 8 {
                let at = 4 + usize::from(u.arbitrary::<u16>()?) % (end - 4);
                let bytes = u.arbitrary::<[u8; 4]>()?;
                saved[at..end].iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = byte);
            }
            assert!(session.restore(&saved).is_err() || checksum([&saved[..end]]).to_le_bytes() == saved[end..]);
            let crc = checksum([&saved[..end]]).to_le_bytes();
            saved[end..].copy_from_slice(&crc);
            assert_eq!(session.restore(&saved), Ok(()));
            look(session, u.arbitrary()?);
        }
        8 => {
            if u.arbitrary()? {
                session.reset();
            } else {
                session.reset_stream(stream);
            }
        }
        9 => {
            let found = session.self_test();
            assert_eq!(found.is_err(), session.self_test().is_err());
        }
        10 => {
            let choice = if u.arbitrary()? {
                Choice::Greedy
            } else {
                Choice::Sample { temperature: u.arbitrary()?, top: u.arbitrary::<u8>()?.into() }
            };
            let prompt: [u16; 2] = u.arbitrary()?;
            let mut sampler = Sampler::new(u.arbitrary()?, choice);
            let outputs = model.outputs();
            if let Ok(symbols) = session.generate(stream, prompt, &mut sampler) {
                assert!(symbols.take(4).all(|s| usize::from(s) < outputs));
            }
        }
        _ => look(session, u.arbitrary()?),
    }
    Ok(())
}

fn samples(u: &mut Unstructured, width: usize) -> Result<Vec<i16>> {
    (0..width).map(|_| u.arbitrary()).collect()
}

/// Reads everything that a session shows.
fn look(session: &Session, t: usize) {
    let model = session.model();
    for head in 0..=model.header().heads.len() {
        for output in [session.head(head), session.head_at(head, t), session.head_at(head, t % 8)] {
            assert!(output.len() <= model.head_width(head) && output.iter().count() == output.len());
            assert!(output.is_empty() || output.get(output.argmax()).is_some());
            let mut scores = [0.0; 32];
            assert!(output.probabilities(&mut scores) <= output.len());
        }
    }
    for (k, (node, place)) in model.nodes().enumerate() {
        let mut units = 0;
        session.gates(k, |unit, _| units = unit + 1);
        assert!(units <= place.width.max(node.layer.cells()));
        if let Some(weights) = session.attention(k, t % 4) {
            let (count, sum) = weights.fold((0, 0), |(n, sum), (_, w)| (n + 1, sum + u32::from(w)));
            assert!(count == 0 || sum.abs_diff(1 << 15) <= count, "{count} weights are {sum}");
        }
        let _ = (session.hidden(k), session.cell(k).and_then(|c| c.get(0)));
    }
}
