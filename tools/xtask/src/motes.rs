//! `cargo xtask motes`: readings of real sensor motes into an emulated thermometer, and what the emulated board makes of them.
//!
//! Each mote is a board of its own. The host sets the temperature before each sample and expects what a session of its own comes
//! to. A second run unplugs the sensor now and then.

use crate::demo;
use crate::emulator::{ARM, Board, ensure as ensure_emulators};
use crate::firmware::{self, BOARD};
use crate::replay::Replay;
use anyhow::{Context, Result, bail, ensure};
use cellstate::{Model, Session, State};
use cellstate_app::lockstep::{Request, Response, Taken};
use cellstate_app::mote::RULES;
use cellstate_app::predictor::Predicted;
use cellstate_app::sampler::Sampled;
use cellstate_app::sensor::Fault;
use cellstate_convert::data::{self, Sequence, Sequences};
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::random::Rng;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::ProgressBar;
use std::path::Path;

const MODEL: &str = "tests/models/motes";
/// The board's thermometer, as the emulator takes it, and the name by which the host sets it.
const DEVICE: &str = "tmp105,id=thermometer,address=0x48,bus=i2c";
const ID: &str = "thermometer";
/// 1.0 of the forecast in counts.
const FORECAST_COUNTS: f64 = 16.0;
/// Samples that must have been compared for a run to count.
const SAMPLES: u32 = 5000;
/// A sensor that is never unplugged, and one that is.
const RUNS: [(&str, Option<u64>); 2] = [("plugged", None), ("unplugged now and then", Some(1))];

/// Builds, runs and prints both runs beside each other.
pub(crate) fn run() -> Result<()> {
    ensure_emulators(&[ARM])?;
    let elf = firmware::program(BOARD, "motes")?;
    let folder = Path::new(MODEL);
    let blob = std::fs::read(folder.join("motes.cell"))?;
    let words = demo::aligned(&blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;
    let motes = data::load(&folder.join("test.npz"))?;
    let mut reports = Vec::new();
    for (name, outages) in RUNS {
        let mut report = Report { name, ..Report::default() };
        all(&elf, &model, &motes, outages, &mut report)?;
        reports.push(report);
    }
    println!("{}", table(&reports));
    for Report { name, samples, equal, .. } in &reports {
        ensure!(*samples >= SAMPLES, "{name}: only {samples} samples were compared");
        ensure!(equal == samples, "{name}: the board and the host differ");
    }
    Ok(())
}

/// What came of a run over all motes.
#[derive(Debug, Default)]
struct Report {
    name: &'static str,
    samples: u32,
    /// Samples whose reading is the one that was set, or fails as it should.
    read: u32,
    /// Samples of which everything that the board said is what the host expects.
    equal: u32,
    counts: Predicted,
    /// Readings that the model takes for part of an event, those of them that are, and how often an event was announced.
    flagged: u32,
    flagged_rightly: u32,
    alarms: u32,
    all: Errors,
    quiet: Errors,
}

/// Errors of the next reading in counts.
#[derive(Debug, Default)]
struct Errors {
    count: f64,
    forecast: f64,
    last_value: f64,
}

impl Errors {
    fn observe(&mut self, difference: f64, forecast: f64) {
        self.count += 1.0;
        self.forecast += (difference - forecast).powi(2);
        self.last_value += difference.powi(2);
    }

    /// Roots of the mean squares: of the forecast, and of the last value.
    fn rms(&self) -> (f64, f64) {
        let rms = |sum: f64| (sum / self.count.max(1.0)).sqrt();
        (rms(self.forecast), rms(self.last_value))
    }
}

/// Every mote on a board of its own.
fn all(elf: &Path, model: &Model, motes: &Sequences, outages: Option<u64>, report: &mut Report) -> Result<()> {
    let mut outages = outages.map(Outages::new);
    let bar = ProgressBar::new(motes.sequences.iter().map(Sequence::len).sum::<usize>() as u64);
    for mote in &motes.sequences {
        let mut board = Board::start(&firmware::core(BOARD)?, elf, &[DEVICE])?;
        let mut state = Box::new(State::<STATE_BYTES>::new());
        let mut replay = Replay::new(Session::new(model, &mut state)?, RULES);
        for t in 0..mote.len() {
            let plugged = outages.as_mut().is_none_or(Outages::plugged);
            one(&mut board, &mut replay, mote, t, plugged, report)?;
            bar.inc(1);
        }
        add_up(&mut board, &replay, mote.len() as u32, &mut report.counts)?;
    }
    bar.finish_and_clear();
    Ok(())
}

/// One sample on both sides.
fn one(
    board: &mut Board,
    replay: &mut Replay,
    mote: &Sequence,
    t: usize,
    plugged: bool,
    report: &mut Report,
) -> Result<()> {
    let [count] = *mote.step(t) else { bail!("sample {t} is not one temperature") };
    let count = count.round() as i16;
    board.set(ID, "temperature", millidegrees(count))?;
    let Response::Taken(taken) = board.request(&Request::Next { plugged })? else {
        bail!("the board did not take sample {t}");
    };
    let reading = if plugged { Ok(count) } else { Err(Fault::NoAcknowledge) };
    // How long it took is for the board to say.
    let latency = taken.decision.map_or(0, |decision| decision.latency);
    let expected = expected(replay, t as u32, reading, latency);
    report.samples += 1;
    report.read += u32::from(taken.reading == expected.reading);
    report.equal += u32::from(taken == expected);
    if let Some(decision) = taken.decision {
        let event = mote.label(t) == Some(1);
        if t + 1 < mote.len() {
            let [next] = *mote.step(t + 1) else { bail!("sample {} is not one temperature", t + 1) };
            let difference = next - f64::from(count);
            let forecast = FORECAST_COUNTS * f64::from(replay.session.head(1).value(0).context("no forecast")?);
            report.all.observe(difference, forecast);
            if !event && mote.label(t + 1) != Some(1) {
                report.quiet.observe(difference, forecast);
            }
        }
        report.flagged += u32::from(decision.class == 1);
        report.flagged_rightly += u32::from(decision.class == 1 && event);
        report.alarms += u32::from(decision.changed && decision.decided == Some(1));
    }
    Ok(())
}

/// What the emulator takes for a temperature of so many sixteenths of a degree; it rounds towards zero.
fn millidegrees(count: i16) -> i64 {
    (i64::from(count) * 125 + 1).div_euclid(2)
}

/// Asks the board what became of all samples; none may be missing, and the host has counted the same.
fn add_up(board: &mut Board, replay: &Replay, samples: u32, all: &mut Predicted) -> Result<()> {
    let Response::Counts { sampled, predicted } = board.request(&Request::Counts)? else {
        bail!("the board did not count");
    };
    let (accepted, faults) = (replay.counts.accepted, replay.counts.faults);
    ensure!(sampled == Sampled { read: accepted, failed: faults, missed: 0, dropped: 0 }, "the board has {sampled:?}");
    ensure!(
        predicted == Predicted { latest: predicted.latest, ..replay.counts },
        "the board has {predicted:?}, the host {:?}",
        replay.counts
    );
    ensure!(predicted.accepted + predicted.faults + predicted.stale == samples, "{predicted:?} are not {samples}");
    all.accepted += predicted.accepted;
    all.faults += predicted.faults;
    all.bridged += predicted.bridged;
    all.resets += predicted.resets;
    all.latest = all.latest.max(predicted.latest);
    Ok(())
}

/// What the board should say.
fn expected(replay: &mut Replay, index: u32, reading: Result<i16, Fault>, latency: u32) -> Taken {
    let counts = reading.map(|count| [count]);
    let decision = replay.take(index, counts.as_ref().map(|c| &c[..]).map_err(|&e| e), latency);
    Taken {
        index,
        reading: counts.map(heapless::Vec::from_array),
        decision,
        outputs: [0, 1].iter().flat_map(|&head| replay.session.head(head).iter().collect::<Vec<_>>()).collect(),
        digest: replay.session.digest(),
    }
}

/// When the sensor is unplugged: about 1 % of all samples, from one up to eight in a row.
struct Outages {
    rng: Rng,
    left: u64,
}

impl Outages {
    fn new(seed: u64) -> Self {
        Self { rng: Rng(seed), left: 0 }
    }

    /// Whether it is plugged at the next sample.
    fn plugged(&mut self) -> bool {
        if self.left == 0 && self.rng.once_in(400) {
            self.left = 1 + self.rng.below(8);
        }
        let plugged = self.left == 0;
        self.left = self.left.saturating_sub(1);
        plugged
    }
}

/// One column a run.
fn table(reports: &[Report]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let mut row = |name: &str, of: &dyn Fn(&Report) -> String| {
        table.add_row(std::iter::once(name.to_owned()).chain(reports.iter().map(of)));
    };
    let rms = |errors: &Errors| format!("{:.4}, last value {:.4}", errors.rms().0, errors.rms().1);
    row("the sensor", &|r| r.name.to_owned());
    row("samples", &|r| r.samples.to_string());
    row("readings that differ from what was set", &|r| (r.samples - r.read).to_string());
    row("samples of which anything differs from the host", &|r| (r.samples - r.equal).to_string());
    row("predictions", &|r| r.counts.accepted.to_string());
    row("samples without a reading", &|r| r.counts.faults.to_string());
    row("of them bridged, and resets after more", &|r| format!("{}, {}", r.counts.bridged, r.counts.resets));
    row("readings flagged as event, rightly", &|r| format!("{}, {}", r.flagged, r.flagged_rightly));
    row("events announced", &|r| r.alarms.to_string());
    row("RMSE of the next reading, counts", &|r| rms(&r.all));
    row("RMSE without events", &|r| rms(&r.quiet));
    row("longest from due to decided", &|r| format!("{} µs", r.counts.latest));
    table
}
