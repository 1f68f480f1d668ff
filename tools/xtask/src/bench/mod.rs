//! `cargo xtask bench`: exact instruction counts on emulated cores, and what they take in cycles where that can be told.

pub(crate) mod compare;
mod cycles;
mod models;
mod trace;

use crate::emulator;
use crate::firmware::{self, Firmware};
use anyhow::{Context, Result, ensure};
use cellstate::model::header::Weights;
use cellstate::{Model, State};
use cellstate_app::trial::{self, STATE_BYTES};
use cellstate_convert::board::cores::{CORES, Core};
use cellstate_convert::board::emulate::{self, Look};
use cellstate_convert::board::pack::pack;
use cellstate_convert::synthetic::{self, Kind};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use cycles::Timing;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use trace::{Program, Recorder};

/// Steps of a measured trial; the longest of them counts.
const STEPS: u32 = 4;
/// How long one emulated run may take.
const LIMIT: Duration = Duration::from_secs(600);

/// What is measured of one model on one core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) core: String,
    pub(crate) weights: String,
    pub(crate) input: usize,
    pub(crate) hidden: usize,
    /// A whole `step` call.
    pub(crate) instructions: u64,
    /// Estimated, see [`cycles`]; of cores without published timings there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cycles: Option<u64>,
    /// Of these, in the kernels.
    pub(crate) mac: u64,
    /// Of these, in sigmoid and tanh.
    pub(crate) activation: u64,
    pub(crate) rest: u64,
    /// Loader, session, LSTM and dense with every weight format, and the start-up code.
    pub(crate) text_bytes: u64,
    /// The same with the feature `layers`.
    pub(crate) layers_text_bytes: u64,
    pub(crate) state_bytes: u64,
    /// Below the call of `step`.
    pub(crate) stack_bytes: u64,
}

impl Measured {
    fn label(&self) -> String {
        format!("{} {} ({}, {})", self.core, self.weights, self.input, self.hidden)
    }
}

/// All results, as `--json` prints them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) results: Vec<Measured>,
}

/// What to measure.
#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Only this core.
    #[arg(long)]
    core: Option<String>,
    /// Only these weights: w8, w16 or w4.
    #[arg(long)]
    weights: Option<String>,
    /// The portable kernels instead of the core's own.
    #[arg(long)]
    portable: bool,
    /// A network of such layers in the place of one LSTM.
    #[arg(long, value_enum, default_value = "lstm")]
    layers: Kind,
    /// Write the results to `docs/performance.json`, which `cargo xtask test` compares with.
    #[arg(long, conflicts_with_all = ["core", "weights", "portable", "layers"])]
    record: bool,
    /// Count nothing; compare a million random steps on every core with the host, bit for bit.
    #[arg(long, conflicts_with_all = ["core", "weights", "portable", "layers", "record", "json"])]
    compare: bool,
}

/// What was measured last, in the repository.
const RECORD: &str = "docs/performance.json";
/// How much a recorded number may grow: one part in so many.
const TOLERANCE: u64 = 50;

/// Measures everything and compares with the record: no number may have grown by more than 2 %.
pub(crate) fn check() -> Result<()> {
    let recorded: Results = serde_json::from_slice(&std::fs::read(RECORD).context(RECORD)?).context(RECORD)?;
    let measured = measure(&CORES.iter().collect::<Vec<_>>(), &models::WEIGHTS, Kind::Lstm, false)?;
    let mut grown = Vec::new();
    let mut compared = 0;
    for old in &recorded.results {
        let new = measured.results.iter().find(|new| new.label() == old.label());
        let new =
            new.with_context(|| format!("{RECORD} has {}, which is not measured; run with --record", old.label()))?;
        for (name, new_value, old_value) in [
            ("instructions", new.instructions, old.instructions),
            ("cycles", new.cycles.unwrap_or_default(), old.cycles.unwrap_or(u64::MAX)),
            ("text bytes", new.text_bytes, old.text_bytes),
            ("text bytes with all layers", new.layers_text_bytes, old.layers_text_bytes),
            ("state bytes", new.state_bytes, old.state_bytes),
            ("stack bytes", new.stack_bytes, old.stack_bytes),
        ] {
            if new_value > old_value.saturating_add(old_value / TOLERANCE) {
                grown.push(format!("{}: {name} were {old_value} and are {new_value}", new.label()));
            }
        }
        compared += 1;
    }
    println!("{compared} of {} results compared with {RECORD}", measured.results.len());
    ensure!(compared > 0, "{RECORD} is empty; run with --record");
    ensure!(
        grown.is_empty(),
        "grown by more than 2 %; if it must be, `cargo xtask bench --record`:\n{}",
        grown.join("\n")
    );
    Ok(())
}

/// Measures and prints.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    if arguments.compare {
        emulator::ensure(&[emulator::ARM, emulator::RISCV])?;
        return compare::all();
    }
    let cores: Vec<&Core> =
        CORES.iter().filter(|c| arguments.core.as_ref().is_none_or(|name| name == c.name)).collect();
    let weights: Vec<Weights> = models::WEIGHTS
        .into_iter()
        .filter(|w| arguments.weights.as_ref().is_none_or(|name| name == w.name()))
        .collect();
    ensure!(!cores.is_empty(), "no such core; there are {}", CORES.map(|c| c.name).join(", "));
    ensure!(!weights.is_empty(), "no such weights; there are w8, w16 and w4");
    let results = measure(&cores, &weights, arguments.layers, arguments.portable)?;
    if arguments.record {
        std::fs::write(RECORD, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&results)?);
    } else {
        println!("{}", table(&results));
    }
    Ok(())
}

fn table(results: &Results) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header([
        "core",
        "weights",
        "input",
        "hidden",
        "instructions",
        "cycles",
        "kernels",
        "activation",
        "rest",
        "text",
        "all layers",
        "state",
        "stack",
    ]);
    for m in &results.results {
        let numbers = [
            m.input as u64,
            m.hidden as u64,
            m.instructions,
            m.cycles.unwrap_or_default(),
            m.mac,
            m.activation,
            m.rest,
            m.text_bytes,
            m.layers_text_bytes,
            m.state_bytes,
            m.stack_bytes,
        ];
        let numbers = numbers.map(|n| if n == 0 { "-".to_owned() } else { n.to_string() });
        table.add_row([m.core.clone(), m.weights.clone()].into_iter().chain(numbers));
    }
    table
}

/// A core's firmware, ready to run.
struct Built {
    core: Core,
    elf: PathBuf,
    /// Code without the feature `layers`, and with it.
    text_bytes: [u64; 2],
}

/// Measures every combination, two at a time.
pub(crate) fn measure(cores: &[&Core], weights: &[Weights], kind: Kind, portable: bool) -> Result<Results> {
    emulator::ensure(&[emulator::ARM, emulator::RISCV])?;
    let mut built = Vec::new();
    for &&core in cores {
        built.push(build(core, portable)?);
    }
    let mut jobs = Vec::new();
    for b in &built {
        for &w in weights {
            let extra = Timing::of(&b.core).map(|_| models::CYCLES_SIZE);
            jobs.extend(models::SIZES.into_iter().chain(extra).map(|size| (b, w, size)));
        }
    }
    let bar = indicatif::ProgressBar::new(jobs.len() as u64).with_prefix("measuring");
    let next = AtomicUsize::new(0);
    let results = Mutex::new(vec![None; jobs.len()]);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            while let Some(&(b, weights, size)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                let measured = one(b, kind, weights, size)?;
                bar.inc(1);
                let k = jobs.iter().position(|j| j.0.core == b.core && j.1 == weights && j.2 == size);
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner)[k.unwrap_or_default()] =
                    Some(measured);
            }
            Ok(())
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })?;
    bar.finish_and_clear();
    let results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok(Results { results: results.into_iter().flatten().collect() })
}

fn build(core: Core, portable: bool) -> Result<Built> {
    let bench = Firmware::bench(&core, portable);
    let text_bytes = [firmware::text(&bench.build_bare("minimal")?)?, firmware::text(&bench.build("minimal")?)?];
    Ok(Built { core, elf: bench.build_trials(&core)?, text_bytes })
}

/// One model on one core: the same bits as the host, or an error; then the counts.
fn one(built: &Built, kind: Kind, weights: Weights, (inputs, units): (usize, usize)) -> Result<Measured> {
    let blob =
        synthetic::blob(kind, inputs, units, weights).map_err(|e| anyhow::anyhow!("{}: {}", e.layer, e.cause))?;
    // A ring must be full.
    let steps = if kind == Kind::Attention { STEPS + synthetic::SLOTS as u32 } else { STEPS };
    let expected = on_host(&blob, steps)?;
    let bytes = std::fs::read(&built.elf)?;
    let file = object::File::parse(&*bytes)?;
    let program = Program::new(&file)?;
    let mut recorder = Recorder::new(&program);
    let pack = pack([(steps, &blob[..])]);
    let trials = emulate::run(&built.core, &built.elf, &pack, LIMIT, Look::Trace(&mut |pc| recorder.visit(pc)))?;
    let [trial] = trials[..] else { anyhow::bail!("the firmware ran {} trials and not one", trials.len()) };
    let what = format!("{} {} ({inputs}, {units})", built.core.name, weights.name());
    ensure!(trial.checksum == expected, "{what}: the board's bits differ from the host's");
    ensure!(recorder.steps.len() == steps as usize, "{what}: {} steps were traced", recorder.steps.len());
    let executed = recorder.longest()?;
    let split = program.split(&executed);
    let cycles = Timing::of(&built.core).map(|timing| timing.cycles(&file, &executed)).transpose()?;
    // The counter sees a few instructions around the call, and counts in steps of several.
    let agree = split.total().abs_diff(trial.counted) <= 16;
    ensure!(agree, "{what}: {} instructions traced, {} counted", split.total(), trial.counted);
    let words: Vec<u32> = crate::demo::aligned(&blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;
    Ok(Measured {
        core: built.core.name.to_owned(),
        weights: weights.name().to_owned(),
        input: inputs,
        hidden: units,
        instructions: split.total(),
        cycles,
        mac: split.mac,
        activation: split.activation,
        rest: split.rest,
        text_bytes: built.text_bytes[0],
        layers_text_bytes: built.text_bytes[1],
        state_bytes: model.state_bytes() as u64,
        stack_bytes: trial.stack,
    })
}

/// The same trial on the host.
fn on_host(blob: &[u8], steps: u32) -> Result<u32> {
    let words = crate::demo::aligned(blob);
    let blob = &bytemuck::cast_slice(&words)[..blob.len()];
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let checksum =
        trial::run(blob, steps, &mut state, |session, stream, sample| session.step_stream(stream, sample).is_ok());
    checksum.map_err(|e| anyhow::anyhow!("{e:?}")).context("the host does not run the trial")
}
