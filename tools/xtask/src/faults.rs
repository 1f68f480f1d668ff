//! `cargo xtask faults`: commands over lines with faults, to a board in this process and to emulated ones, compared with a session of
//! the host's and counted.

use crate::boards::{self, on_watch};
use crate::emulator::Board;
use crate::firmware;
use anyhow::{Context, Result, ensure};
use cellstate_link::faulty::{Faults, Faulty};
use cellstate_link::proof::{self, Plan, Report};
use cellstate_link::{Device, Settings};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::ProgressBar;
use std::path::Path;
use std::time::{Duration, Instant};

/// Of all frames, each way.
const RATE: f64 = 0.05;
/// Steps in CI: on the host, and on the emulated board.
const STEPS: (u64, u64) = (200_000, 20_000);
/// An emulated board answers in less; what takes longer was lost.
const PATIENCE: Duration = Duration::from_millis(25);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// This emulated board, may be repeated; without, a board in this process.
    #[arg(long, value_name = "NAME")]
    board: Vec<String>,
    /// Samples that must be predicted.
    #[arg(long, default_value_t = STEPS.0)]
    steps: u64,
    /// The most commands on their way.
    #[arg(long, default_value_t = 4)]
    window: usize,
    /// What samples, commands and faults follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// In CI.
pub(crate) fn check() -> Result<()> {
    let (host, board) = STEPS;
    run(&Arguments { board: Vec::new(), steps: host, window: 4, seed: 1 })?;
    run(&Arguments { board: vec![firmware::BOARD.to_owned()], steps: board, window: 4, seed: 1 })
}

/// Runs, compares and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { board, steps, window, seed } = arguments;
    let mut plan = Plan { steps: *steps, seed: *seed, update: Vec::new() };
    let settings = Settings { window: *window, ..Settings::default() };
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    on_watch(|model, _| {
        if board.is_empty() {
            // Any bytes: a board in this process takes those that it is told to take.
            plan.update = (0..5000_u32).map(|k| ((k * 31) >> 3) as u8).collect();
            let begun = Instant::now();
            let report = watched(*steps, |progress| proof::on_host(model, &plan, RATE, settings, progress))?;
            ensure!(report.updates > 0 || *steps < 10_000, "no update was sent meanwhile");
            column(&mut table, "this host", &report, begun.elapsed());
            return Ok(());
        }
        let boards = boards::chosen(board, false)?;
        boards::ensure_emulators(&boards)?;
        for name in boards {
            let elf = firmware::build(name, &Path::new(boards::MODEL).join("watch.rs"))?;
            let line = Faulty::new(Board::uncounted(&firmware::core(name)?, &elf, &[])?, RATE, *seed);
            let begun = Instant::now();
            let mut device = Device::connect(line, Settings { patience: PATIENCE, attempts: 400, ..settings })?;
            let report = watched(*steps, |progress| proof::run(&mut device, model, &plan, progress)).context(name)?;
            column(&mut table, name, &report, begun.elapsed());
        }
        Ok(())
    })?;
    println!("{table}");
    println!("every sample that was accepted was predicted once; outputs, decisions, states and counts are equal");
    Ok(())
}

/// With a bar.
fn watched<T, E>(steps: u64, run: impl FnOnce(&mut dyn FnMut(u64)) -> Result<T, E>) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let bar = ProgressBar::new(steps);
    let result = run(&mut |predicted| {
        if predicted % 256 == 0 {
            bar.set_position(predicted);
        }
    });
    bar.finish_and_clear();
    Ok(result?)
}

/// Prints what was done to one board.
fn column(table: &mut Table, name: &str, report: &Report, took: Duration) {
    let Report { predicted, profiled, refused, resets, saved, restored, updates, traffic, counts, .. } = report;
    let faults = |faults: &Faults| {
        let Faults { frames, flipped, dropped, duplicated, truncated, noise, .. } = faults;
        let each = format!("{flipped}, {dropped}, {duplicated}, {truncated}, {noise}");
        format!("{} of {frames}: {each}", faults.all())
    };
    let mut row = |what: &str, value: String| _ = table.add_row([what.to_owned(), value]);
    row("board", name.to_owned());
    row("samples predicted, all equal; of them profiled", format!("{predicted}, {profiled}"));
    row("samples refused, as they should be", refused.to_string());
    row("resets, states saved, restored", format!("{resets}, {saved}, {restored}"));
    row("updates sent meanwhile", updates.to_string());
    row("faults to the board: flips, drops, twice, cut, noise", faults(&report.to_board));
    row("faults from the board", faults(&report.from_board));
    row(
        "commands, sent again, of these for time",
        format!("{}, {}, {}", traffic.commands, traffic.again, traffic.late),
    );
    row("frames the board has counted", counts.frames.to_string());
    row(
        "= commands + again + early + old",
        format!("{} + {} + {} + {}", counts.commands, counts.repeated, counts.early, counts.old),
    );
    row(
        "+ hellos + no COBS + checksum + too long",
        format!("{} + {} + {} + {}", counts.hellos, counts.framing, counts.checksum, counts.too_long),
    );
    row("seconds", format!("{:.1}", took.as_secs_f64()));
}
