//! The board's side of the protocol: each command once, whatever comes again, too early, too late or damaged.

mod common;

use cellstate::{Model, Session, State};
use cellstate_app::link::Message;
use cellstate_app::protocol::{
    Counts, Named, OUTCOMES, PIECE, Prediction, Reason, Request, Response, StateError, VERSION,
};
use cellstate_store::update::UpdateError;
use common::{BLOB, Kept, SAVED, STACK, Shared, answer, answers, command, framed, hello, sample, with_device};
use std::cell::RefCell;

fn step(t: usize) -> Request {
    Request::Sample(heapless::Vec::from_slice(&sample(t)).unwrap())
}

fn counts(response: &Response) -> Counts {
    let Response::Counts(counts) = response else { panic!("{response:?}") };
    assert_eq!(counts.frames, counts.sum(), "{counts:?}");
    *counts
}

fn prediction(response: &Response) -> &Prediction {
    let Response::Prediction(prediction) = response else { panic!("{response:?}") };
    prediction
}

/// What the host's own session says of each sample.
fn replayed(steps: usize) -> Vec<(u16, Vec<i32>, u32)> {
    let model = Model::parse(&BLOB.0).unwrap();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    (0..steps)
        .map(|t| {
            let output = session.step_i16(&sample(t)).unwrap();
            let (argmax, outputs) = (output.argmax() as u16, output.iter().collect());
            (argmax, outputs, session.digest())
        })
        .collect()
}

fn same(response: &Response, (argmax, outputs, digest): &(u16, Vec<i32>, u32)) -> bool {
    let prediction = prediction(response);
    prediction.argmax == *argmax && prediction.outputs == outputs[..] && prediction.digest == *digest
}

#[test]
fn a_board_tells_what_it_has_and_predicts() {
    let model = Model::parse(&BLOB.0).unwrap();
    with_device((), |say| {
        let Response::Ready(ready) = answer(&say(&hello(1))) else { panic!() };
        assert_eq!((ready.version, ready.connection, ready.model), (VERSION, 1, model.id()));
        assert_eq!((ready.inputs, ready.outputs), (6, 7));
        assert_eq!((ready.heads, ready.layers, ready.window), (1, 2, OUTCOMES as u8));
        assert_eq!((ready.state_bytes as usize, ready.saved_bytes as usize), (model.state_bytes(), SAVED));
        let expected = replayed(1);
        let first = answer(&say(&command(0, &step(0))));
        assert!(same(&first, &expected[0]));
        // The counter advances at each look at it: at the last byte, before the step, after it, and at the decision.
        let first = prediction(&first).clone();
        assert_eq!((first.ticks, first.latency, first.new), (5, 15, true));
        assert_eq!(answer(&say(&command(1, &Request::Stack))), Response::Stack(STACK));
        assert_eq!(answer(&say(&command(2, &Request::Reset))), Response::Done);
        assert_eq!(prediction(&answer(&say(&command(3, &step(0))))), &first);
        let label = |index| Request::Name(Named::Output { head: 0, index });
        assert_eq!(answer(&say(&command(4, &label(0)))), Response::Name("PEN".try_into().unwrap()));
        assert_eq!(answer(&say(&command(5, &label(7)))), Response::Name("".try_into().unwrap()));
        let Response::Name(feature) = answer(&say(&command(6, &Request::Name(Named::Feature(0))))) else { panic!() };
        assert_eq!(Some(&*feature), model.feature_name(0));
    });
}

#[test]
fn a_profiled_step_is_a_step_and_tells_its_layers() {
    with_device((), |say| {
        say(&hello(1));
        let profile = Request::Profile(heapless::Vec::from_slice(&sample(0)).unwrap());
        let profiled = answer(&say(&command(0, &profile)));
        assert!(same(&profiled, &replayed(1)[0]));
        // Two layers of two looks each, and one look after.
        assert_eq!(prediction(&profiled).ticks, 25);
        let layers = |first| Request::Layers { first };
        assert_eq!(answer(&say(&command(1, &layers(0)))), Response::Layers([5, 5].into_iter().collect()));
        assert_eq!(answer(&say(&command(2, &layers(1)))), Response::Layers([5].into_iter().collect()));
        assert_eq!(answer(&say(&command(3, &layers(2)))), Response::Layers([].into_iter().collect()));
    });
}

#[test]
fn what_comes_again_is_answered_again_and_not_executed_again() {
    let expected = replayed(20);
    with_device((), |say| {
        say(&hello(1));
        let first: Vec<Response> = (0..10).map(|t| answer(&say(&command(t, &step(t.into()))))).collect();
        // All that may be on their way come again, twice.
        for t in [2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 2] {
            assert_eq!(answers(&say(&command(t, &step(0)))), [(t, first[usize::from(t)].clone())]);
        }
        for t in [0, 1] {
            assert_eq!(answers(&say(&command(t, &step(0)))), [(t, Response::Refused(Reason::Old))]);
        }
        // Those before their turn wait for the one that is missing.
        for t in [11, 12, 13, 10 + 500, 10 + 32_767] {
            assert_eq!(answers(&say(&command(t, &step(0)))), [(10, Response::Missing)]);
        }
        let next = answer(&say(&command(10, &step(10))));
        assert!(first.iter().chain([&next]).zip(&expected).all(|(got, expected)| same(got, expected)));
        let counts = counts(&answer(&say(&command(11, &Request::Counts))));
        let found = Counts {
            frames: 31,
            commands: 12,
            accepted: 11,
            repeated: 11,
            early: 5,
            old: 2,
            hellos: 1,
            ..Counts::default()
        };
        assert_eq!(counts, found);
    });
}

#[test]
fn numbers_go_round() {
    with_device((), |say| {
        say(&hello(1));
        for number in 0..=u16::MAX {
            assert_eq!(answers(&say(&command(number, &Request::Reset))), [(number, Response::Done)]);
        }
        assert_eq!(answers(&say(&command(u16::MAX, &step(0)))), [(u16::MAX, Response::Done)], "it came again");
        assert_eq!(answers(&say(&command(1, &step(0)))), [(0, Response::Missing)]);
        assert!(same(&answer(&say(&command(0, &step(0)))), &replayed(1)[0]));
        assert_eq!(answers(&say(&command(u16::MAX - 7, &step(0)))), [(u16::MAX - 7, Response::Refused(Reason::Old))]);
    });
}

#[test]
fn another_connection_begins_the_numbers_anew_and_keeps_the_state() {
    let expected = replayed(3);
    with_device((), |say| {
        assert!(say(&[5, 9, 0]).is_empty(), "noise before anybody is there");
        assert_eq!(answers(&say(&command(3, &step(0)))), [(3, Response::Refused(Reason::Unconnected))]);
        say(&hello(1));
        assert!(same(&answer(&say(&command(0, &step(0)))), &expected[0]));
        say(&hello(1));
        assert!(same(&answer(&say(&command(1, &step(1)))), &expected[1]), "the same connection goes on");
        say(&hello(2));
        assert!(same(&answer(&say(&command(0, &step(2)))), &expected[2]));
        let counts = counts(&answer(&say(&command(1, &Request::Counts))));
        assert_eq!((counts.hellos, counts.unconnected, counts.framing, counts.accepted), (3, 1, 1, 3));
    });
}

#[test]
fn a_later_host_is_answered_too() {
    with_device((), |say| {
        let body = [0, 2, 7, 9, 1, 2, 3];
        assert!(matches!(answer(&say(&framed(Message { number: 5, body: &body }))), Response::Ready(_)));
        // A message of a later version has its turn, and is refused.
        let unknown = framed(Message { number: 0, body: &[99, 1] });
        assert_eq!(answers(&say(&unknown)), [(0, Response::Refused(Reason::Unknown))]);
        assert_eq!(answers(&say(&unknown)), [(0, Response::Refused(Reason::Unknown))]);
        let counts = counts(&answer(&say(&command(1, &Request::Counts))));
        assert_eq!((counts.commands, counts.refused, counts.repeated), (2, 1, 1));
    });
}

#[test]
fn damaged_frames_are_told_apart_and_change_nothing() {
    with_device((), |say| {
        say(&hello(1));
        let good = command(0, &step(0));
        let mut flipped = good.clone();
        flipped[4] ^= 0x10;
        for bad in [&flipped[..], &good[4..], &[7; 400]] {
            assert_eq!(answers(&say(&[bad, &[0]].concat())), [(0, Response::Missing)]);
        }
        assert!(same(&answer(&say(&good)), &replayed(1)[0]));
        let short = Request::Sample(heapless::Vec::from_slice(&[1]).unwrap());
        assert_eq!(answer(&say(&command(1, &short))), Response::Refused(Reason::Shape));
        let counts = counts(&answer(&say(&command(2, &Request::Counts))));
        assert_eq!((counts.checksum + counts.framing, counts.too_long), (2, 1));
        assert_eq!((counts.accepted, counts.refused), (1, 1));
    });
}

/// A host that asks one thing after the other.
struct Asking<'a> {
    say: &'a mut dyn FnMut(&[u8]) -> Vec<u8>,
    number: u16,
}

impl Asking<'_> {
    fn ask(&mut self, request: &Request) -> Response {
        self.number += 1;
        answer(&(self.say)(&command(self.number - 1, request)))
    }

    /// A saved state; behind each of its pieces comes a sample, if that is wanted.
    fn saved(&mut self, samples: bool) -> Vec<u8> {
        assert_eq!(self.ask(&Request::Save), Response::Saved(SAVED as u32));
        let mut bytes = Vec::new();
        while bytes.len() < SAVED {
            let Response::Piece(piece) = self.ask(&Request::Read { offset: bytes.len() as u32 }) else { panic!() };
            bytes.extend(piece);
            if samples {
                self.ask(&step(9));
            }
        }
        bytes
    }

    fn load(&mut self, offset: usize, bytes: &[u8]) -> Response {
        let bytes = heapless::Vec::from_slice(bytes).unwrap();
        self.ask(&Request::Load { offset: offset as u32, bytes })
    }
}

#[test]
fn a_state_is_saved_while_samples_go_on_and_restored_when_it_is_whole() {
    let expected = replayed(4);
    let refused = |error| Response::Refused(Reason::State(error));
    with_device((), |say| {
        say(&hello(1));
        let mut host = Asking { say, number: 0 };
        assert_eq!(host.ask(&Request::Read { offset: 0 }), refused(StateError::Nothing));
        assert_eq!(host.ask(&Request::Restore), refused(StateError::Nothing));
        host.ask(&step(0));
        host.ask(&step(1));
        // The copy stays as it is while the session goes on.
        let copy = host.saved(true);
        assert_eq!(host.ask(&Request::Read { offset: SAVED as u32 }), refused(StateError::Gap));
        assert_eq!(host.ask(&Request::Restore), refused(StateError::Nothing), "a copy was told, none loaded");
        let before = host.saved(false);
        assert_ne!(before, copy);

        assert_eq!(host.load(5, &copy[..9]), refused(StateError::Gap));
        assert_eq!(host.load(0, &copy[..PIECE]), Response::Received(PIECE as u32));
        assert_eq!(host.ask(&Request::Restore), refused(StateError::Length), "it is not whole");
        assert_eq!(host.load(PIECE - 1, &copy[PIECE - 1..]), refused(StateError::Gap));
        let mut bad = copy.clone();
        bad[200] ^= 1;
        assert_eq!(host.load(PIECE, &bad[PIECE..]), Response::Received(SAVED as u32));
        assert_eq!(host.load(SAVED, &[0]), refused(StateError::Room));
        assert_eq!(host.ask(&Request::Restore), refused(StateError::Checksum));
        assert_eq!(host.saved(false), before, "nothing changed");
        // Anew, with the right bytes.
        host.load(0, &copy[..100]);
        host.load(100, &copy[100..150]);
        assert_eq!(host.load(150, &copy[150..]), Response::Received(SAVED as u32));
        assert_eq!(host.ask(&Request::Restore), Response::Done);
        assert!(same(&host.ask(&step(2)), &expected[2]));
        assert!(same(&host.ask(&step(3)), &expected[3]));
    });
}

#[test]
fn a_restore_that_breaks_off_changes_nothing() {
    let expected = replayed(3);
    with_device((), |say| {
        say(&hello(1));
        let mut host = Asking { say, number: 0 };
        host.ask(&step(0));
        let copy = host.saved(false);
        host.ask(&step(1));
        assert_eq!(host.load(0, &copy[..100]), Response::Received(100));
        // The host is gone; the next one goes on with samples.
        say(&hello(2));
        assert_eq!(answer(&say(&command(0, &Request::Restore))), Response::Refused(Reason::State(StateError::Nothing)));
        assert!(same(&answer(&say(&command(1, &step(2)))), &expected[2]));
    });
}

#[test]
fn an_update_during_streaming_loses_no_sample() {
    let update: Vec<u8> = (0..1000u32).map(|k| ((k * k) >> 3) as u8).collect();
    let kept = RefCell::new(Kept { wanted: update.clone(), ..Kept::default() });
    let expected = replayed(60);
    with_device(Shared(&kept), |say| {
        say(&hello(1));
        let (mut number, mut t) = (0, 0);
        let mut predicted = Vec::new();
        let mut ask = |request: &Request| {
            let mut line = command(number, request);
            number += 1;
            // Behind every command a sample; both come twice, and noise between them.
            line.extend(command(number, &step(t)));
            line.extend(line.clone());
            line.extend([1, 2, 3]);
            line.extend(command(number, &step(t)));
            (number, t) = (number + 1, t + 1);
            let all = answers(&say(&line));
            let samples: Vec<&Response> =
                all.iter().filter(|(n, r)| *n == number - 1 && *r != Response::Missing).map(|(_, r)| r).collect();
            assert!(samples.len() == 3 && samples.iter().all(|s| *s == samples[0]), "{all:?}");
            predicted.push(samples[0].clone());
            all[0].1.clone()
        };
        let refused = |error| Response::Refused(Reason::Update(error));
        assert_eq!(ask(&Request::UpdateFinish), refused(UpdateError::NotBegun));
        assert_eq!(ask(&Request::UpdateBegin { bytes: 5 }), refused(UpdateError::Length));
        assert_eq!(ask(&Request::UpdateBegin { bytes: 1000 }), Response::Received(0));
        for (k, piece) in update.chunks(PIECE).enumerate() {
            let (offset, bytes) = ((k * PIECE) as u32, heapless::Vec::from_slice(piece).unwrap());
            let received = Response::Received(offset + piece.len() as u32);
            assert_eq!(ask(&Request::UpdateWrite { offset, bytes }), received);
        }
        assert_eq!(ask(&Request::UpdateReceived), Response::Received(1000));
        assert_eq!(ask(&Request::UpdateFinish), Response::Updated(1));
        assert_eq!(ask(&Request::UpdateFinish), refused(UpdateError::NotBegun));
        let Response::Counts(counts) = ask(&Request::Counts) else { panic!() };
        assert_eq!(counts.accepted as usize, t - 1, "it is asked for before the last sample");
        assert_eq!(predicted.len(), t);
        assert!(predicted.iter().zip(&expected).all(|(got, expected)| same(got, expected)));
        assert_eq!(counts.frames, counts.sum());
    });
    assert_eq!(kept.borrow().version, 1);
}

#[test]
fn a_board_without_updates_says_so_and_one_that_restarts_begins_anew() {
    with_device((), |say| {
        say(&hello(1));
        let unsupported = Response::Refused(Reason::Update(UpdateError::Unsupported));
        assert_eq!(answer(&say(&command(0, &Request::UpdateBegin { bytes: 1 }))), unsupported);
        say(&command(1, &step(5)));
        assert_eq!(answer(&say(&command(2, &Request::Restart))), Response::Done);
        // Its answer was lost.
        assert_eq!(answer(&say(&command(2, &Request::Restart))), Response::Refused(Reason::Unconnected));
        say(&hello(1));
        assert!(same(&answer(&say(&command(0, &step(0)))), &replayed(1)[0]));
    });
}
