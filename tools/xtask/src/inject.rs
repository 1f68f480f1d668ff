//! Readings into an emulated sensor, and what the emulated board makes of them, sample by sample beside the host.
//!
//! Each sequence has a board of its own. The host sets the sensor before each sample and expects what a session of its own comes
//! to. A second run unplugs the sensor now and then.

use crate::demo;
use crate::emulator::{ARM, Board, ensure as ensure_emulators};
use crate::firmware::{self, BOARD};
use crate::replay::Replay;
use anyhow::{Context, Result, bail, ensure};
use cellstate::{Model, Session, State};
use cellstate_app::lockstep::{Request, Response, Taken};
use cellstate_app::predictor::{Decision, Predicted, Rules};
use cellstate_app::sampler::Sampled;
use cellstate_app::sensor::Fault;
use cellstate_convert::data::{self, Sequence, Sequences};
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::random::Rng;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::ProgressBar;
use std::path::Path;

/// Samples that must have been compared for a run to count.
const SAMPLES: u32 = 5000;
/// A sensor that is never unplugged, and one that is.
const RUNS: [(&str, Option<u64>); 2] = [("plugged", None), ("unplugged now and then", Some(1))];

/// A property of an emulated sensor, and its value for so many counts.
pub(crate) type Property = (&'static str, fn(i16) -> i64);

/// An emulated sensor on the board's two-wire bus, and the model that reads it.
pub(crate) struct Example {
    /// What the firmware's program ends in, the folder under `tests/models`, and the model's name.
    pub(crate) name: &'static str,
    /// The sensor as the emulator takes it, with [`ID`].
    pub(crate) device: &'static str,
    /// What each feature is.
    pub(crate) properties: &'static [Property],
    pub(crate) rules: Rules,
}

/// The name by which the host sets the sensor.
const ID: &str = "sensor";

/// What an example counts besides, in the order of the samples.
pub(crate) trait Figures: Default {
    /// A sample of the sequence at which the board decided, and the host's session after it.
    fn observe(&mut self, sequence: &Sequence, t: usize, decision: &Decision, session: &Session) -> Result<()>;
    /// Names and values for the table.
    fn rows(&self) -> Vec<(&'static str, String)>;
}

impl Example {
    /// Builds, runs and prints both runs beside each other.
    pub(crate) fn run<F: Figures>(&self) -> Result<()> {
        ensure_emulators(&[ARM])?;
        let elf = firmware::program(BOARD, &format!("{BOARD}-{}", self.name))?;
        let folder = Path::new("tests/models").join(self.name);
        let blob = std::fs::read(folder.join(self.name).with_extension("cell"))?;
        let words = demo::aligned(&blob);
        let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;
        ensure!(model.inputs() == self.properties.len(), "the model has other inputs than the sensor");
        let data = data::load(&folder.join("test.npz"))?;
        let mut reports = Vec::new();
        for (name, outages) in RUNS {
            let mut report = Report::<F> { name, ..Report::default() };
            self.all(&elf, &model, &data, outages, &mut report)?;
            reports.push(report);
        }
        println!("{}", table(&reports));
        for Report { name, samples, equal, .. } in &reports {
            ensure!(*samples >= SAMPLES, "{name}: only {samples} samples were compared");
            ensure!(equal == samples, "{name}: the board and the host differ");
        }
        Ok(())
    }

    /// Every sequence on a board of its own.
    fn all<F: Figures>(
        &self,
        elf: &Path,
        model: &Model,
        data: &Sequences,
        outages: Option<u64>,
        report: &mut Report<F>,
    ) -> Result<()> {
        let mut outages = outages.map(Outages::new);
        let bar = ProgressBar::new(data.sequences.iter().map(Sequence::len).sum::<usize>() as u64);
        for sequence in &data.sequences {
            let mut board = Board::start(&firmware::core(BOARD)?, elf, &[self.device])?;
            let mut state = Box::new(State::<STATE_BYTES>::new());
            let mut replay = Replay::new(Session::new(model, &mut state)?, self.rules);
            for t in 0..sequence.len() {
                let plugged = outages.as_mut().is_none_or(Outages::plugged);
                self.one(&mut board, &mut replay, sequence, t, plugged, report)?;
                bar.inc(1);
            }
            add_up(&mut board, &replay, sequence.len() as u32, &mut report.counts)?;
        }
        bar.finish_and_clear();
        Ok(())
    }

    /// One sample on both sides.
    fn one<F: Figures>(
        &self,
        board: &mut Board,
        replay: &mut Replay,
        sequence: &Sequence,
        t: usize,
        plugged: bool,
        report: &mut Report<F>,
    ) -> Result<()> {
        let counts: Counts = sequence.step(t).iter().map(|count| count.round() as i16).collect();
        ensure!(counts.len() == self.properties.len(), "sample {t} has {} values", counts.len());
        for (&count, (property, value)) in counts.iter().zip(self.properties) {
            board.set(ID, property, value(count))?;
        }
        let Response::Taken(taken) = board.request(&Request::Next { plugged })? else {
            bail!("the board did not take sample {t}");
        };
        let reading = if plugged { Ok(counts) } else { Err(Fault::NoAcknowledge) };
        // How long it took is for the board to say.
        let latency = taken.decision.map_or(0, |decision| decision.latency);
        let expected = expected(replay, t as u32, reading, latency);
        report.samples += 1;
        report.read += u32::from(taken.reading == expected.reading);
        report.equal += u32::from(taken == expected);
        if let Some(decision) = &taken.decision {
            report.figures.observe(sequence, t, decision, &replay.session)?;
        }
        Ok(())
    }
}

/// What came of a run over all sequences.
#[derive(Debug, Default)]
struct Report<F> {
    name: &'static str,
    samples: u32,
    /// Samples whose reading is the one that was set, or fails as it should.
    read: u32,
    /// Samples of which everything that the board said is what the host expects.
    equal: u32,
    counts: Predicted,
    figures: F,
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

/// A reading as the board sends it.
type Counts = heapless::Vec<i16, { cellstate_app::link::MAX_FEATURES }>;

/// What the board should say.
fn expected(replay: &mut Replay, index: u32, reading: Result<Counts, Fault>, latency: u32) -> Taken {
    let decision = replay.take(index, reading.as_deref().map_err(|&fault| fault), latency);
    let heads = 0..replay.session.model().header().heads.len();
    let outputs = heads.flat_map(|head| replay.session.head(head).iter().collect::<Vec<_>>()).collect();
    Taken { index, reading, decision, outputs, digest: replay.session.digest() }
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
fn table<F: Figures>(reports: &[Report<F>]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let mut row = |name: &str, of: &dyn Fn(&Report<F>) -> String| {
        table.add_row(std::iter::once(name.to_owned()).chain(reports.iter().map(of)));
    };
    row("the sensor", &|r| r.name.to_owned());
    row("samples", &|r| r.samples.to_string());
    row("readings that differ from what was set", &|r| (r.samples - r.read).to_string());
    row("samples of which anything differs from the host", &|r| (r.samples - r.equal).to_string());
    row("predictions", &|r| r.counts.accepted.to_string());
    row("samples without a reading", &|r| r.counts.faults.to_string());
    row("of them bridged, and resets after more", &|r| format!("{}, {}", r.counts.bridged, r.counts.resets));
    for (k, (name, _)) in F::default().rows().iter().enumerate() {
        row(name, &|r| r.figures.rows().swap_remove(k).1);
    }
    row("longest from due to decided", &|r| format!("{} µs", r.counts.latest));
    table
}

/// The value of one output of the session's last step.
pub(crate) fn value(session: &Session, head: usize) -> Result<f64> {
    session.head(head).value(0).map(f64::from).context("no such output")
}
