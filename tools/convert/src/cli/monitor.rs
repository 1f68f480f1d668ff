//! `cellstate monitor`.

use super::{Done, files, firmware};
use cellstate::{Model, Session, State};
use cellstate_convert::board::cores::{SERVED, board};
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::monitor::{
    Command, Control, Driver, Event, Interruptible, Plan, Samples, Seen, Status, Unit, lines, seen, view,
};
use cellstate_convert::{data, inspect};
use cellstate_link::port::{self, Port};
use cellstate_link::{LinkError, Settings};
use clap::Args;
use clap::builder::PossibleValuesParser;
use ratatui::crossterm::event::{self, KeyCode, KeyEventKind, KeyModifiers};
use std::io::{ErrorKind, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate monitor /dev/ttyACM0 --input later.npz --rate 50 --loop
  cellstate monitor --board qemu-mps2-an386 --input later.npz --model watch.cell
  cellstate monitor tcp:localhost:5555 --input later.npz --steps 1000 --json > predictions.jsonl

Keys: q quit, space pause, r reset the state, s save it to a file, p what each layer takes.
docs/cli.md has the fields of --json.";

/// How often the view is drawn and a line is due.
const FRAME: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct Arguments {
    /// The board's port: a serial port such as /dev/ttyACM0 or COM3, unix:PATH or tcp:HOST:PORT.
    #[arg(required_unless_present = "board", conflicts_with = "board")]
    port: Option<String>,
    /// Instead, an emulated board, which is started.
    #[arg(long, value_parser = PossibleValuesParser::new(SERVED))]
    board: Option<String>,
    /// The emulated board's firmware; without, what `cargo xtask firmware --serve` built, in this folder or one above it.
    #[arg(long, value_name = "ELF", requires = "board")]
    firmware: Option<PathBuf>,
    /// Raw sensor counts to be streamed: .npy, .npz or .csv.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// The blob that is on the board: shows probabilities and layers by name, and compares every prediction with the host's own.
    #[arg(long, value_name = "BLOB")]
    model: Option<PathBuf>,
    /// Samples a second; without, as many as the board predicts.
    #[arg(long, value_name = "HZ", value_parser = rate)]
    rate: Option<f64>,
    /// Begin again after the last sample.
    #[arg(long = "loop")]
    repeat: bool,
    /// End after so many samples.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Of a serial port.
    #[arg(long, default_value_t = 115_200)]
    baud: u32,
    /// What the board's counter advances by in a second: shows microseconds rather than ticks.
    #[arg(long, value_name = "HZ", conflicts_with = "board", value_parser = clap::value_parser!(u32).range(1..))]
    clock: Option<u32>,
    /// How long a board that was lost is waited for.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// A line a second, as where there is no terminal.
    #[arg(long, conflicts_with = "json")]
    plain: bool,
    /// One JSON object a prediction.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let above_zero = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    above_zero.ok_or_else(|| "it must be a number above 0".to_owned())
}

type AnyPort = Interruptible<Box<dyn Port + Send>>;

pub(super) fn run(a: &Arguments) -> Done {
    let samples = data::load(&a.input).map_err(|e| e.to_string())?;
    let samples = Samples::new(samples).map_err(|e| format!("{}: {e}", a.input.display()))?;
    let blob = a.model.as_deref().map(files::Blob::read).transpose()?;
    let model = blob.as_ref().map(files::Blob::model).transpose()?;
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let host = match (&model, &a.model) {
        (Some(model), Some(path)) => {
            Some(Session::new(model, &mut state).map_err(|e| format!("{}: {e}", path.display()))?)
        }
        _ => None,
    };
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    // The second time it ends at once, whatever it waits for.
    let ended = move || {
        if stopped.swap(true, Ordering::Relaxed) {
            ratatui::restore();
            std::process::exit(2);
        }
    };
    ctrlc::set_handler(ended).map_err(|e| format!("signals: {e}"))?;
    let (keys, commands) = mpsc::channel();
    let length = samples.len() as u64;
    let (port, unit, open) = opener(a, &stop)?;
    let plan = Plan {
        port: port.clone(),
        samples: &samples,
        rate: a.rate,
        steps: if a.repeat { a.steps } else { Some(a.steps.unwrap_or(length).min(length)) },
        settings: Settings::default(),
        patience: Duration::from_secs(a.wait),
        folder: PathBuf::new(),
    };
    let driver = Driver::connect(plan, host, open, Control { commands, stop: stop.clone() })?;
    let mut seen = Seen::new(port, driver.board().clone(), unit);
    if let Some(model) = &model {
        seen.model = Some(model.header().name.to_owned());
        seen.layers = kinds(model);
    }
    if a.json || a.plain || !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        // Nobody presses keys.
        drop(keys);
        return print(a.json, driver, seen, &stop);
    }
    watch(driver, seen, &keys, &stop)
}

fn kinds(model: &Model) -> Vec<String> {
    inspect::rows(model).iter().map(|row| row.kind.to_owned()).collect()
}

type Opener = Box<dyn FnMut() -> Result<AnyPort, String> + Send>;

/// What the port is called, what its counter counts, and how it is opened, as often as needed.
fn opener(a: &Arguments, stop: &Arc<AtomicBool>) -> Result<(String, Unit, Opener), String> {
    let stop = stop.clone();
    if let Some(name) = &a.board {
        let core = board(name).ok_or_else(|| format!("{name}: no such board"))?;
        let built = core.serving(name);
        let elf = firmware::find(a.firmware.as_deref(), name, &built, "cargo xtask firmware --serve")?;
        let open = move || Ok(Interruptible::new(emulated(&core, &elf)?, stop.clone()));
        return Ok((name.clone(), Unit::Instructions(core.counter), Box::new(open)));
    }
    let name = a.port.clone().unwrap_or_default();
    let unit = a.clock.map_or(Unit::Ticks, Unit::Hertz);
    let (opened, baud) = (name.clone(), a.baud);
    let open = move || {
        let port = port::open(&opened, baud).map_err(|e| unopened(&e))?;
        Ok(Interruptible::new(port, stop.clone()))
    };
    Ok((name, unit, Box::new(open)))
}

#[cfg(unix)]
fn emulated(core: &cellstate_convert::board::cores::Core, elf: &Path) -> Result<Box<dyn Port + Send>, String> {
    let served = cellstate_convert::board::served::Served::start(core, elf);
    served.map(|served| Box::new(served) as _).map_err(|e| e.to_string())
}

#[cfg(not(unix))]
fn emulated(_: &cellstate_convert::board::cores::Core, elf: &Path) -> Result<Box<dyn Port + Send>, String> {
    let elf = elf.display();
    Err(format!(
        "{elf}: emulated boards are started on Unix only; start QEMU with -serial tcp::5555,server and give tcp:localhost:5555"
    ))
}

/// Why a port does not open, with the remedy for this reason.
fn unopened(error: &LinkError) -> String {
    let LinkError::Open { name, cause } = error else { return error.to_string() };
    let remedy = match cause.kind() {
        ErrorKind::ResourceBusy => "end that program".to_owned(),
        ErrorKind::PermissionDenied => {
            "you may not use it; on Linux become a member of its group, which is mostly dialout".to_owned()
        }
        ErrorKind::ConnectionRefused => "nobody listens there; start the emulator or the server first".to_owned(),
        _ => {
            let there = port::available();
            let there = if there.is_empty() { "there is no serial port".to_owned() } else { there.join(", ") };
            return format!("{error}; here: {there}");
        }
    };
    format!("{name}: {cause}; {remedy}")
}

/// A line a second, or an object a prediction; what breaks goes to standard error.
fn print(json: bool, driver: Driver<AnyPort>, mut seen: Seen, stop: &AtomicBool) -> Done {
    let begun = Instant::now();
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    let mut due = begun + LINE;
    let result = driver.run(|event| {
        let now = Instant::now();
        seen.apply(&event, now);
        seen.tick(now);
        match &event {
            Event::Lost(why) => eprintln!("note: {why}; trying to connect again"),
            Event::Back { restarted, unheard } => eprintln!("note: {}", seen::back(*restarted, *unheard)),
            _ => {}
        }
        if json && let Event::Predicted(shot) = &event {
            written = writeln!(out, "{}", lines::json(&seen.board, seen.unit, shot)).and_then(|()| out.flush());
        }
        if !json && now >= due {
            due += LINE;
            written = writeln!(out, "{}", lines::plain(&seen, now - begun)).and_then(|()| out.flush());
        }
        if written.is_err() {
            stop.store(true, Ordering::Relaxed);
        }
    });
    let last = lines::plain(&seen, begun.elapsed());
    if json {
        eprintln!("{last}");
    } else if written.is_ok() {
        written = writeln!(out, "{last}");
    }
    result?;
    match written {
        // A reader such as `head` may close the pipe when it has enough.
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(()),
    }
}

/// The view with its keys; what was seen stays behind as a line.
fn watch(driver: Driver<AnyPort>, seen: Seen, keys: &Sender<Command>, stop: &AtomicBool) -> Done {
    let begun = Instant::now();
    let shared = Mutex::new(seen);
    let mut terminal = ratatui::try_init().map_err(|e| format!("the terminal: {e}; give --plain"))?;
    let (shown, result) = std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            driver.run(|event| shared.lock().unwrap_or_else(PoisonError::into_inner).apply(&event, Instant::now()))
        });
        let shown = loop {
            let drawn = terminal.draw(|frame| {
                let mut seen = shared.lock().unwrap_or_else(PoisonError::into_inner);
                seen.tick(Instant::now());
                view::draw(frame, &seen);
            });
            let ended = shared.lock().unwrap_or_else(PoisonError::into_inner).status == Status::Ended;
            let failed = worker.is_finished() && !ended;
            match drawn.and_then(|_| pressed(keys)) {
                Ok(true) if !failed && !stop.load(Ordering::Relaxed) => {}
                Ok(_) => break Ok(()),
                Err(e) => break Err(format!("the terminal: {e}; give --plain")),
            }
        };
        stop.store(true, Ordering::Relaxed);
        ratatui::restore();
        (shown, worker.join().unwrap_or_else(|_| Err("the stream failed; please report it".to_owned())))
    });
    let seen = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
    files::print(&format!("{}\n", lines::plain(&seen, begun.elapsed())))?;
    shown.and(result)
}

/// Waits for a key, or until the view is to be drawn again; whether it goes on.
fn pressed(keys: &Sender<Command>) -> std::io::Result<bool> {
    if !event::poll(FRAME)? {
        return Ok(true);
    }
    let event::Event::Key(key) = event::read()? else { return Ok(true) };
    if key.kind == KeyEventKind::Release {
        return Ok(true);
    }
    let command = match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return Ok(false),
        // No signal comes of it in this mode of the terminal.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return Ok(false),
        KeyCode::Char(' ') => Command::Pause,
        KeyCode::Char('r') => Command::Reset,
        KeyCode::Char('s') => Command::Save,
        KeyCode::Char('p') => Command::Profile,
        _ => return Ok(true),
    };
    // After the stream's end nobody takes it.
    let _ = keys.send(command);
    Ok(true)
}
