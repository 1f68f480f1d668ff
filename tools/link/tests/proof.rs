//! Commands through a line with faults, to a board in this process.

use cellstate::{Model, Session, State};
use cellstate_app::device::{Device as Board, Memory};
use cellstate_app::link::{Body, FrameError, Message};
use cellstate_app::protocol::{Reason, Response, StateError, VERSION, Version};
use cellstate_app::server::{Counter, Service, Stack};
use cellstate_link::faulty::Faulty;
use cellstate_link::local::{Local, Micros, Wanted};
use cellstate_link::proof::{self, Plan, ProofError, Report};
use cellstate_link::{Device, LinkError, Settings};
use cellstate_store::update::UpdateError;

static BLOB: cellstate::Aligned<[u8; include_bytes!("../../../tests/models/watch/watch.cell").len()]> =
    cellstate::Aligned(*include_bytes!("../../../tests/models/watch/watch.cell"));

fn watch() -> Model<'static> {
    Model::parse(&BLOB.0).unwrap()
}

fn update() -> Vec<u8> {
    (0..2000u32).map(|k| ((k * 31) >> 2) as u8).collect()
}

fn proven(steps: u64, seed: u64, rate: f64, window: usize) -> Report {
    let settings = Settings { window, ..Settings::default() };
    proof::on_host(&watch(), &Plan { steps, seed, update: update() }, rate, settings, |_| ()).unwrap()
}

#[test]
fn without_faults_nothing_comes_again() {
    let report = proven(3000, 1, 0.0, 8);
    assert_eq!(report.predicted, 3000);
    let (traffic, counts) = (report.traffic, report.counts);
    assert_eq!((traffic.again, traffic.repeated, traffic.damaged, traffic.missing), (0, 0, 0, 0));
    assert_eq!((counts.repeated, counts.early, counts.framing, counts.hellos), (0, 0, 0, 1));
    assert_eq!(report.to_board.all() + report.from_board.all(), 0);
}

#[test]
fn every_accepted_sample_is_predicted_once_whatever_the_line_does() {
    for (seed, window) in [(1, 1), (2, 4), (3, 8)] {
        let report = proven(40_000, seed, 0.05, window);
        assert_eq!((report.predicted, u64::from(report.counts.accepted)), (40_000, 40_000));
        assert!(report.resets > 20 && report.refused > 20 && report.profiled > 100, "{report:?}");
        assert!(report.saved > 2 && report.restored > 2 && report.updates > 2, "{report:?}");
        for faults in [report.to_board, report.from_board] {
            let each = [faults.flipped, faults.dropped, faults.duplicated, faults.truncated, faults.noise];
            assert!(each.iter().all(|&n| n > faults.frames / 200), "{faults:?}");
        }
        assert!(report.traffic.again > 2000 && report.counts.repeated > 500, "{report:?}");
        assert!(report.counts.checksum > 0 && report.counts.framing > 0, "{report:?}");
        assert!(window == 1 || report.counts.early > 500, "{report:?}");
    }
}

#[test]
fn half_of_all_frames_are_damaged() {
    let report = proven(2000, 4, 0.5, 4);
    assert_eq!(report.predicted, 2000);
    assert!(report.traffic.late > 100, "{report:?}");
}

#[test]
fn another_model_is_noticed() {
    let other = cellstate::Aligned(*include_bytes!("../../../tests/models/motes/motes.cell"));
    let other = Model::parse(&other.0).unwrap();
    with_board(Stack { used: 0, size: 0 }, |device| {
        let plan = Plan { steps: 1, seed: 0, update: Vec::new() };
        assert!(matches!(proof::run(device, &other, &plan, |_| ()), Err(ProofError::OtherModel { .. })));
    });
}

type OnLine<'a> = Device<Faulty<Local<Board<'a, Micros, Box<dyn FnMut() -> Stack>, Wanted, 324>>>>;

fn with_board(stack: Stack, test: impl FnOnce(&mut OnLine)) {
    let model = watch();
    let (mut state, mut memory) = (State::<1024>::new(), Memory::<324>::new());
    let session = Session::new(&model, &mut state).unwrap();
    let stack: Box<dyn FnMut() -> Stack> = Box::new(move || stack);
    let board = Board::new(session, &mut memory, Micros::start(), stack, Wanted::new(update())).with_window(3);
    let line = Faulty::new(Local::new(board), 0.05, 7);
    test(&mut Device::connect(line, Settings { window: 8, ..Settings::default() }).unwrap());
}

fn sample(t: usize) -> [i16; 6] {
    std::array::from_fn(|k| (t * (7 * k + 3) % 4001) as i16 - 2000)
}

#[test]
fn a_board_does_what_it_is_asked() {
    let model = watch();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let stack = Stack { used: 5, size: 9 };
    with_board(stack, |device| {
        assert_eq!((device.board().model, device.board().window), (model.id(), 3));
        assert_eq!(device.stack().unwrap(), stack);
        assert_eq!(device.label(0, 0).unwrap().as_deref(), model.label(0));
        assert_eq!(device.label(0, 99).unwrap(), None);
        assert_eq!(device.feature(1).unwrap().as_deref(), model.feature_name(1));

        let mut step = |t: usize| {
            session.step_i16(&sample(t)).unwrap();
            session.digest()
        };
        assert_eq!(device.sample(&sample(0)).unwrap().digest, step(0));
        let (prediction, layers) = device.profile(&sample(1)).unwrap();
        assert_eq!((prediction.digest, layers.len()), (step(1), 2));
        let saved = device.save().unwrap();
        let samples: Vec<_> = (2..50).map(sample).collect();
        let mut digests = Vec::new();
        let streamed = device.stream(samples.iter().map(|s| &s[..]), |prediction| {
            digests.push(prediction.digest);
            Ok::<_, LinkError>(())
        });
        streamed.unwrap();
        assert_eq!(digests, (2..50).map(&mut step).collect::<Vec<_>>());

        let mut bad = saved.clone();
        bad[100] ^= 1;
        let refused = device.restore(&bad).unwrap_err();
        assert!(matches!(refused, LinkError::Refused(Reason::State(StateError::Checksum))), "{refused}");
        assert_eq!(device.sample(&sample(50)).unwrap().digest, step(50));
        device.restore(&saved).unwrap();
        let mut again = Vec::new();
        for t in 2..50 {
            again.push(device.sample(&sample(t)).unwrap().digest);
        }
        assert_eq!(again, digests);
        device.reset().unwrap();
        assert_eq!(device.counts().unwrap().accepted, 2 + 48 + 1 + 48);
        // Too short, too long for a message, and then as before.
        assert!(matches!(device.sample(&[1]).unwrap_err(), LinkError::Refused(Reason::Shape)));
        assert!(matches!(device.sample(&[1; 65]).unwrap_err(), LinkError::TooLong(65)));
        device.sample(&sample(0)).unwrap();
    });
}

#[test]
fn a_stream_ends_where_it_is_ended() {
    with_board(Stack { used: 0, size: 0 }, |device| {
        let samples = [sample(0); 20];
        let mut seen = 0;
        let result = device.stream(samples.iter().map(|s| &s[..]), |_| {
            seen += 1;
            if seen == 5 { Err(LinkError::Unexpected("enough".to_owned())) } else { Ok(()) }
        });
        assert!(matches!(result, Err(LinkError::Unexpected(_))));
        // Those that were on their way were executed, and nothing is out of step.
        let accepted = device.counts().unwrap().accepted;
        assert!((5..=8).contains(&accepted), "{accepted}");
    });
}

#[test]
fn an_update_goes_on_after_a_break_and_is_active_after_a_restart() {
    with_board(Stack { used: 0, size: 0 }, |device| {
        let update = update();
        let mut predicted = 0;
        let broken = device.update(&update, |device, progress| {
            device.sample(&sample(0))?;
            predicted += 1;
            if progress.received > 1000 { Err(LinkError::Unexpected("the cable".to_owned())) } else { Ok(()) }
        });
        assert!(broken.is_err());
        device.reconnect().unwrap();
        let mut pieces = 0;
        let version = device.resume(&update, |device, progress| {
            device.sample(&sample(0))?;
            (predicted, pieces) = (predicted + 1, pieces + 1);
            assert_eq!(progress.of, 2000);
            Ok::<_, LinkError>(())
        });
        assert_eq!((version.unwrap(), pieces), (1, 5));
        assert_eq!(device.counts().unwrap().accepted, predicted);
        let wrong = device.update(&update[1..], |_, _| Ok::<_, LinkError>(()));
        assert!(matches!(wrong, Err(LinkError::Refused(Reason::Update(UpdateError::Length)))));
        device.restart().unwrap();
        assert_eq!(device.counts().unwrap().accepted, 0);
    });
}

/// Answers what it is told to.
struct Odd(Option<Response>, Body);

impl Service for Odd {
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, _: &'s mut Body) -> Option<Message<'s>> {
        let number = received.ok()?.number;
        cellstate_app::link::encode(self.0.as_ref()?, &mut self.1).ok()?;
        Some(Message { number, body: &self.1 })
    }
}

/// Says that it is ready, in another version, by the connection that it was asked for.
struct Later(Body);

impl Service for Later {
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, _: &'s mut Body) -> Option<Message<'s>> {
        self.0.clear();
        self.0.extend_from_slice(received.ok()?.body).ok()?;
        *self.0.get_mut(1)? = 2;
        self.0.extend_from_slice(&[9, 9, 9]).ok()?;
        Some(Message { number: 0, body: &self.0 })
    }
}

#[test]
fn other_boards_are_told_apart() {
    let connect = |answer| Device::connect(Local::new(Odd(answer, Body::new())), Settings::default());
    for nothing in [None, Some(Response::Done)] {
        assert!(matches!(connect(nothing), Err(LinkError::NoAnswer(waited)) if waited.as_secs() == 5));
    }
    let later = Device::connect(Local::new(Later(Body::new())), Settings::default());
    let Err(LinkError::Version(version)) = later else { panic!("it connects") };
    assert_eq!((version, VERSION.major), (Version { major: 2, minor: 0 }, 1));
}

/// Comes to its end after some time.
struct Restarting<S>(S, u32);

impl<S: Service> Service for Restarting<S> {
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, room: &'s mut Body) -> Option<Message<'s>> {
        self.1 += 1;
        if self.1 == 20 {
            self.0.restart();
        }
        self.0.answer(received, room)
    }
}

/// Stands still.
struct Still;

impl Counter for Still {
    fn now(&mut self) -> u32 {
        0
    }

    fn between(&self, _: u32, _: u32) -> u32 {
        0
    }
}

#[test]
fn a_board_that_restarts_is_noticed() {
    let model = watch();
    let (mut state, mut memory) = (State::<1024>::new(), Memory::<324>::new());
    let session = Session::new(&model, &mut state).unwrap();
    let board = Board::new(session, &mut memory, Still, || Stack { used: 0, size: 0 }, ());
    let mut device = Device::connect(Local::new(Restarting(board, 0)), Settings::default()).unwrap();
    let mut accepted = 0;
    let error = loop {
        match device.sample(&sample(accepted)) {
            Ok(_) => accepted += 1,
            Err(e) => break e,
        }
    };
    assert!(matches!(error, LinkError::Restarted) && accepted == 18, "{error}, {accepted}");
    device.reconnect().unwrap();
    assert_eq!(device.counts().unwrap().accepted, 0);
    assert!(matches!(
        device.update(&[1], |_, _| Ok::<_, LinkError>(())),
        Err(LinkError::Refused(Reason::Update(UpdateError::Unsupported)))
    ));
}
