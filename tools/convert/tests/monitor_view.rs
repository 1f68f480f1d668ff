//! The view of `cellstate monitor`: what stands on terminals of two sizes, and what its keys do.
#![cfg(unix)]

mod boards;

use boards::{Fate, models, serve, watch, with_board};
use cellstate::{Session, State};
use cellstate_app::protocol::{Counts, Prediction, Ready, VERSION};
use cellstate_app::server::Stack;
use cellstate_convert::board::cores::Counter;
use cellstate_convert::data;
use cellstate_convert::monitor::event::Told;
use cellstate_convert::monitor::{
    Board, Command, Control, Driver, Event, Plan, Samples, Seen, Shot, Status, Unit, view,
};
use cellstate_link::local::Local;
use cellstate_link::{Settings, Traffic};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

fn ready() -> Ready {
    Ready {
        version: VERSION,
        connection: 1,
        model: 0x1234_abcd,
        inputs: 6,
        outputs: 3,
        heads: 1,
        layers: 2,
        state_bytes: 316,
        saved_bytes: 324,
        window: 8,
    }
}

fn board() -> Board {
    Board { ready: ready(), names: ["rest", "walk", "stairs"].map(str::to_owned).to_vec(), widths: vec![3] }
}

fn shot(sample: u64, argmax: u16, scores: [f32; 3]) -> Shot {
    let outputs = scores.map(|score| (score * 1000.0) as i32).into_iter().collect();
    let ticks = 2000 + sample as u32 % 7;
    let prediction = Prediction { argmax, new: true, outputs, digest: 0, ticks, latency: ticks + 900 };
    Shot { sample, sequence: 0, step: 0, label: Some(1), prediction, scores: Some(scores.to_vec()), equal: Some(true) }
}

/// Twelve seconds: rest for half of them, then walk.
fn seen(unit: Unit) -> Seen {
    let begun = Instant::now();
    let mut seen = Seen::new("/dev/ttyACM0".to_owned(), board(), unit);
    seen.model = Some("steps".to_owned());
    seen.layers = ["lstm", "dense"].map(str::to_owned).to_vec();
    for k in 0..600u64 {
        let now = begun + Duration::from_millis(20 * k);
        let share = k as f32 / 600.0;
        seen.apply(&Event::Sent(k + 1), now);
        seen.apply(&Event::Predicted(shot(k, u16::from(k >= 300), [1.0 - share, share * 0.9, share * 0.1])), now);
        seen.tick(now);
    }
    let counts = Counts {
        frames: 640,
        commands: 620,
        accepted: 600,
        repeated: 12,
        checksum: 5,
        framing: 3,
        ..Counts::default()
    };
    let traffic = Traffic { commands: 620, again: 21, late: 2, received: 641, repeated: 9, missing: 4, damaged: 7 };
    let told = Told { counts, stack: Some(Stack { used: 1234, size: 65_536 }), traffic };
    seen.apply(&Event::Told(told), begun);
    seen
}

fn drawn(seen: &Seen, width: u16, height: u16) -> (Vec<String>, TestBackend) {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view::draw(frame, seen)).unwrap();
    let backend = terminal.backend().clone();
    let row = |y: u16| (0..width).map(|x| backend.buffer()[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    ((0..height).map(row).collect(), backend)
}

/// What stands in a file beside this one, which `CELLSTATE_BLESS=1` writes.
fn snapshot(name: &str, rows: &[String]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/boards").join(name);
    let text = rows.join("\n") + "\n";
    if std::env::var_os("CELLSTATE_BLESS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "{name}");
}

#[test]
fn all_of_it_stands_on_80_columns_and_24_rows() {
    let mut seen = seen(Unit::Instructions(Counter::SysTick(40_000)));
    let (rows, backend) = drawn(&seen, 80, 24);
    let text = rows.join("\n");
    for part in [
        "cellstate monitor  /dev/ttyACM0  streaming",
        "steps 1234abcd",
        "6 in, 3 out, 2 layers",
        "316 bytes, 324 saved",
        "1,234 of 65,536 bytes",
        "Speed; instructions: least, mean, most",
        "600        50 a second",
        "625       626       627",
        "Decision: walk",
        "rest      0.002",
        "▶walk      0.898",
        "sent 620   again 21   late 2   damaged 7   repeated 9",
        "came 640   early 0   damaged 8   repeated 12   refused 0",
        "breaks 0   restarts 0   unheard predictions 0",
        "600 of 600 equal to the host's, 50.00 % as labelled",
        "q quit   space pause   r reset   s save   p profile",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    // The decision is green, and the past of each output where it was the decision.
    let row = rows.iter().position(|row| row.contains("▶walk")).unwrap() as u16;
    let green = |y: u16| (0..80).filter(|&x| backend.buffer()[(x, y)].fg == Color::Green).count();
    assert!(green(row) > 20 && green(row + 1) == 0, "{} {}", green(row), green(row + 1));
    snapshot("80x24.txt", &rows);

    seen.apply(&Event::Profiling(true), Instant::now());
    seen.apply(&Event::Layers(vec![1500, 500]), Instant::now());
    let (rows, _) = drawn(&seen, 80, 24);
    let text = rows.join("\n");
    for part in ["Layers of a step", " 0 lstm", "469   75 %", " 1 dense", "156   25 %", "▶walk"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
}

#[test]
fn a_larger_terminal_shows_more_of_the_past() {
    let seen = seen(Unit::Hertz(1_000_000));
    let past = |rows: &[String]| {
        let row = rows.iter().find(|row| row.contains("▶walk")).unwrap();
        row.chars().filter(|c| ('▁'..='█').contains(c)).count()
    };
    let (large, _) = drawn(&seen, 120, 40);
    assert!(past(&large) > past(&drawn(&seen, 80, 24).0) + 15);
    assert!(large.join("\n").contains("Speed; µs: least, mean, most"));
    snapshot("120x40.txt", &large);
    // And one that is too small is no panic.
    for (width, height) in [(1, 1), (20, 5), (40, 12), (79, 23)] {
        drawn(&seen, width, height);
    }
}

#[test]
fn what_it_is_doing_is_told() {
    let mut seen = seen(Unit::Ticks);
    let now = Instant::now();
    let mut after = |event: Event, parts: &[&str]| {
        seen.apply(&event, now);
        let text = drawn(&seen, 80, 24).0.join("\n");
        assert!(parts.iter().all(|part| text.contains(part)), "{event:?}: {parts:?} are not in\n{text}");
    };
    after(Event::Paused(true), &["/dev/ttyACM0  paused"]);
    after(Event::Paused(false), &["/dev/ttyACM0  streaming"]);
    after(Event::Reset, &["the state was reset"]);
    after(Event::Saved("a.state".into()), &["the state is in a.state"]);
    after(Event::Failed("no room".into()), &["no room"]);
    after(Event::Lost("it closed".into()), &["lost", "trying to connect again: it closed", "breaks 1"]);
    after(
        Event::Back { restarted: false, unheard: 3 },
        &["streaming", "and 3 predictions were not heard", "unheard predictions 3"],
    );
    after(Event::Back { restarted: true, unheard: 0 }, &["the board has restarted", "restarts 1"]);
    after(Event::Ended, &["/dev/ttyACM0  ended"]);
    assert_eq!(seen.status, Status::Ended);
}

#[test]
fn many_outputs_and_raw_integers_have_their_place() {
    let mut ready = ready();
    ready.outputs = 30;
    let names = (0..30).map(|k| format!("output{k}")).collect();
    let mut seen = Seen::new("tcp:localhost:1".to_owned(), Board { ready, names, widths: vec![30] }, Unit::Ticks);
    let outputs = (0..30).map(|k| (k * 37 % 30) * 1000 - 500).collect();
    let prediction = Prediction { argmax: 17, new: true, outputs, digest: 0, ticks: 1, latency: 1 };
    let shot = Shot { sample: 0, sequence: 0, step: 0, label: None, prediction, scores: None, equal: None };
    seen.apply(&Event::Predicted(shot), Instant::now());
    let text = drawn(&seen, 80, 24).0.join("\n");
    for part in [
        "Decision: output17",
        "integers (--model has their values)",
        "▶output17",
        "28500",
        "smaller ones",
        "--model compares",
    ] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let shown = (0..30).filter(|k| text.contains(&format!(" output{k} ")) || *k == 17).count();
    assert!(text.contains(&format!("and {} smaller ones", 30 - shown)), "{text}");
}

/// Streams to a board in this process; `then` is told what happens, and asks for something.
fn driven(steps: u64, mut then: impl FnMut(&Event, &mpsc::Sender<Command>), folder: &Path) {
    let samples = Samples::new(data::load(Path::new(&models("watch/later.npz"))).unwrap()).unwrap();
    let model = watch();
    let mut state = Box::new(State::<1024>::new());
    let host = Session::new(&model, &mut state).unwrap();
    let (keys, commands) = mpsc::channel();
    with_board(None, |board| {
        let mut port = Some(Local::new(board));
        let plan = Plan {
            port: "local".to_owned(),
            samples: &samples,
            rate: None,
            steps: Some(steps),
            settings: Settings::default(),
            patience: Duration::ZERO,
            folder: folder.to_owned(),
        };
        let control = Control { commands, stop: Arc::new(AtomicBool::new(false)) };
        let driver =
            Driver::connect(plan, Some(host), || port.take().ok_or_else(|| "once".to_owned()), control).unwrap();
        assert_eq!((driver.board().names[0].as_str(), driver.board().widths[0]), (model.label(0).unwrap(), 7));
        driver.run(|event| then(&event, &keys)).unwrap();
    });
}

#[test]
fn keys_reset_save_profile_and_pause() {
    let folder = tempfile::tempdir().unwrap();
    let (mut predicted, mut equal, mut paused, mut layers, mut resets, mut saved) = (0, 0, 0, 0, 0, None);
    let then = |event: &Event, keys: &mpsc::Sender<Command>| match event {
        Event::Predicted(shot) => {
            predicted += 1;
            equal += u64::from(shot.equal == Some(true));
            match predicted {
                50 => keys.send(Command::Reset).unwrap(),
                100 => keys.send(Command::Save).unwrap(),
                120 => keys.send(Command::Profile).unwrap(),
                150 => keys.send(Command::Pause).unwrap(),
                _ => {}
            }
        }
        Event::Paused(true) => {
            paused += 1;
            keys.send(Command::Pause).unwrap();
        }
        Event::Layers(ticks) => layers = ticks.len(),
        Event::Reset => resets += 1,
        Event::Saved(path) => saved = Some((predicted, path.clone())),
        Event::Failed(why) | Event::Lost(why) => panic!("{why}"),
        _ => {}
    };
    driven(300, then, folder.path());
    assert_eq!((predicted, equal, paused, layers, resets), (300, 300, 1, 2, 1));
    // The file has what the host's own session saves after as many samples.
    let (after, path) = saved.unwrap();
    assert_eq!(path.file_name().unwrap().to_string_lossy(), format!("{:08x}-{after}.state", watch().id()));
    let saved = std::fs::read(path).unwrap();
    let model = watch();
    let mut state = State::<1024>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    assert_eq!(saved.len(), model.saved_bytes());
    session.restore(&saved).unwrap();
    assert_ne!(session.digest(), 0);
}

#[test]
fn a_state_that_cannot_be_written_is_told_and_it_goes_on() {
    let mut failed = String::new();
    let mut predicted = 0;
    let then = |event: &Event, keys: &mpsc::Sender<Command>| match event {
        Event::Predicted(_) => {
            predicted += 1;
            if predicted == 10 {
                keys.send(Command::Save).unwrap();
            }
        }
        Event::Failed(why) => failed.clone_from(why),
        _ => {}
    };
    driven(100, then, Path::new("/nowhere"));
    assert_eq!(predicted, 100);
    assert!(failed.starts_with("/nowhere/") && failed.contains("the state is not saved"), "{failed}");
}

/// What a person sees at a terminal, and the keys that are pressed there.
#[test]
fn on_a_terminal_it_is_a_view_with_keys() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uart");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let (terminal, name) = boards::pseudo_terminal();
    let size = rustix::termios::Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal, size).unwrap();
    let end = || std::fs::OpenOptions::new().read(true).write(true).open(&name).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cellstate"));
    command.args(["monitor", &format!("unix:{}", path.display()), "--input", &models("watch/later.npz"), "--loop"]);
    command.args(["--rate", "100", "--model", &models("watch/watch.cell")]).current_dir(folder.path());
    command.env("TERM", "xterm-256color");
    let mut child = command.stdin(Stdio::from(end())).stdout(Stdio::from(end())).stderr(Stdio::null()).spawn().unwrap();
    let board = std::thread::spawn(move || serve(&listener, &[Fate::Whole]));
    let mut keyboard = std::fs::File::from(terminal);
    let mut screen = keyboard.try_clone().unwrap();
    let (bytes, shown) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = screen.read(&mut buffer) {
            if bytes.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    let mut parser = vt100::Parser::new(24, 80, 0);
    let mut until = |what: &str| {
        let begun = Instant::now();
        while !parser.screen().contents().contains(what) {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what:?} is not on\n{}", parser.screen().contents());
            if let Ok(bytes) = shown.recv_timeout(Duration::from_millis(100)) {
                parser.process(&bytes);
            }
        }
        (parser.screen().contents(), parser.screen().alternate_screen())
    };
    let (text, alternate) = until("equal to the host's");
    assert!(alternate && text.contains("streaming") && text.contains("1,234 of 65,536 bytes"), "{text}");
    for (key, what) in
        [(" ", "paused"), (" ", "streaming"), ("r", "the state was reset"), ("p", "0 lstm"), ("s", "the state is in")]
    {
        keyboard.write_all(key.as_bytes()).unwrap();
        until(what);
    }
    keyboard.write_all(b"q").unwrap();
    // The screen is as it was, and a line stays.
    let (text, alternate) = until("predicted");
    assert!(!alternate && !text.contains("space pause"), "{text}");
    assert!(child.wait().unwrap().success());
    drop(keyboard);
    board.join().unwrap();
    drop(reader);
    let saved = std::fs::read_dir(folder.path()).unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    assert_eq!(saved.filter(|path| path.extension().is_some_and(|kind| kind == "state")).count(), 1);
}
