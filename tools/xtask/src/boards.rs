//! The emulated boards beside each other: the same samples through each, compared with the host bit for bit, and what it took.

use crate::emulator::{self, ARM, Board, RISCV};
use crate::firmware::{self, EMULATED};
use crate::{demo, stream};
use anyhow::{Context, Result, ensure};
use cellstate::Model;
use cellstate_convert::data::{self, Sequence, Sequences};
use cellstate_convert::eval;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::path::Path;

pub(crate) const MODEL: &str = "tests/models/watch";
/// Steps that each board must have taken for the comparison to count.
const STEPS: u64 = 5000;
/// Sequences that are profiled: each step takes as long as the next.
const PROFILED: usize = 4;

/// Those of these names; the first if there are none, and all if it is asked for.
pub(crate) fn chosen(names: &[String], all: bool) -> Result<Vec<&'static str>> {
    if all {
        return Ok(EMULATED.to_vec());
    }
    if names.is_empty() {
        return Ok(vec![firmware::BOARD]);
    }
    let known = |name: &String| {
        let board = EMULATED.into_iter().find(|board| board == name);
        board.with_context(|| format!("{name}: no such board; there are {}", EMULATED.join(", ")))
    };
    names.iter().map(known).collect()
}

/// Makes sure that there are emulators for these boards.
pub(crate) fn ensure_emulators(boards: &[&str]) -> Result<()> {
    let used = |emulator| boards.iter().any(|b| firmware::core(b).is_ok_and(|core| core.emulator == emulator));
    let needed: Vec<_> = [ARM, RISCV].into_iter().filter(|&emulator| used(emulator)).collect();
    emulator::ensure(&needed)
}

/// Builds and streams; prints a table of what each board did.
pub(crate) fn stream(boards: &[&'static str], model_rs: &Path, model: &Model, data: &Sequences) -> Result<()> {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["board", "bit-exact", "accuracy", "flash", "static RAM", "step", "sample to decision", "stack"]);
    let mut differ = Vec::new();
    for &name in boards {
        let elf = firmware::build(name, model_rs)?;
        let core = firmware::core(name)?;
        let mut board = Board::start(&core, &elf, &[])?.link()?;
        let report = stream::compare(model, data, &mut board, core.counter).with_context(|| name)?;
        ensure!(report.steps >= STEPS, "{name}: only {} steps were compared", report.steps);
        let (flash, ram) = firmware::flash_and_ram(&elf)?;
        let stack = report.stack.context("the stack was not looked at")?;
        let ((least, most), (soonest, latest)) = (report.instructions, report.latency);
        table.add_row([
            name.to_owned(),
            format!("{} of {}", report.equal, report.steps),
            format!("{:.2} %", report.right_board as f64 / report.steps as f64 * 100.0),
            flash.to_string(),
            ram.to_string(),
            format!("{least} to {most}"),
            format!("{soonest} to {latest}"),
            format!("{} of {}", stack.used, stack.size),
        ]);
        if report.equal != report.steps {
            differ.push(name);
        }
    }
    println!("{table}");
    println!("step, and sample to decision (from the last byte of its frame): instructions; the others: bytes");
    ensure!(differ.is_empty(), "boards and the host differ: {}", differ.join(", "));
    Ok(())
}

/// The committed watch model on all boards: no panics linked in, and every step equal to the host's, over as many recordings as
/// make [`STEPS`]. The demo streams all.
pub(crate) fn check() -> Result<()> {
    on_watch(|model, data| {
        let mut steps = 0;
        let few = first(data, |sequence| {
            let more = steps < STEPS;
            steps += sequence.len() as u64;
            more
        });
        stream(&EMULATED, &Path::new(MODEL).join("watch.rs"), model, &few)
    })
}

/// The sequences up to one that is not wanted.
fn first(data: &Sequences, mut wanted: impl FnMut(&Sequence) -> bool) -> Sequences {
    let sequences = data.sequences.iter().take_while(|s| wanted(s)).cloned().collect();
    Sequences { sequences, features: data.features }
}

/// Profiles all boards.
pub(crate) fn check_profiles() -> Result<()> {
    profile(&EMULATED)
}

/// Prints what each layer of the committed watch model takes of a step.
pub(crate) fn profile(boards: &[&'static str]) -> Result<()> {
    ensure_emulators(boards)?;
    on_watch(|model, data| {
        let data =
            Sequences { sequences: data.sequences.iter().take(PROFILED).cloned().collect(), features: data.features };
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_header(["board", "layer", "instructions a step, mean", "most", "of the step"]);
        for &name in boards {
            let layers = profiled(name, model, &data).with_context(|| name)?;
            let whole = layers.last().map_or(0.0, Spent::mean);
            for spent in layers {
                let share = spent.mean() / whole * 100.0;
                table.add_row([
                    name.to_owned(),
                    spent.name.clone(),
                    format!("{:.0}", spent.mean()),
                    spent.most.to_string(),
                    format!("{share:.1} %"),
                ]);
            }
        }
        println!("{table}");
        Ok(())
    })
}

/// The committed watch model and recordings that it was not calibrated on.
pub(crate) fn on_watch(run: impl FnOnce(&Model, &Sequences) -> Result<()>) -> Result<()> {
    let folder = Path::new(MODEL);
    let blob = std::fs::read(folder.join("watch.cell"))?;
    let words = demo::aligned(&blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;
    run(&model, &data::load(&folder.join("later.npz"))?)
}

/// Instructions of a layer, or of a whole step, over many steps.
struct Spent {
    name: String,
    steps: u64,
    sum: u64,
    most: u64,
}

impl Spent {
    fn new(name: String) -> Self {
        Self { name, steps: 0, sum: 0, most: 0 }
    }

    fn observe(&mut self, instructions: u64) {
        self.steps += 1;
        self.sum += instructions;
        self.most = self.most.max(instructions);
    }

    fn mean(&self) -> f64 {
        self.sum as f64 / self.steps.max(1) as f64
    }
}

/// Each layer, and at last the whole step. The board steps as the host does; sequences follow without a reset.
fn profiled(name: &'static str, model: &Model, data: &Sequences) -> Result<Vec<Spent>> {
    let elf = firmware::build(name, &Path::new(MODEL).join("watch.rs"))?;
    let core = firmware::core(name)?;
    let mut board = Board::start(&core, &elf, &[])?.link()?;
    let names = model.nodes().enumerate().map(|(k, (node, _))| format!("{k} {}", kind(&node.layer)));
    let mut spent: Vec<Spent> = names.chain(["whole step".to_owned()]).map(Spent::new).collect();
    let mut state = Box::new(cellstate::State::<{ eval::STATE_BYTES }>::new());
    let mut session = cellstate::Session::new(model, &mut state)?;
    for sequence in &data.sequences {
        for t in 0..sequence.len() {
            let sample: Vec<i16> = sequence.step(t).iter().map(|&v| v.round() as i16).collect();
            session.step_i16(&sample)?;
            let (predicted, layers) = board.profile(&sample)?;
            ensure!(predicted.digest == session.digest(), "the board and the host differ at step {t}");
            ensure!(layers.len() + 1 == spent.len(), "the board has {} layers", layers.len());
            let ticks = layers.iter().chain([&predicted.ticks]);
            let all: Vec<u64> = ticks.map(|&t| core.counter.instructions(t.into())).collect();
            let (Some(whole), parts) = (all.last(), all.iter().rev().skip(1).sum::<u64>()) else { continue };
            ensure!(parts > 0 && parts <= *whole, "layers of {parts} instructions in a step of {whole}");
            spent.iter_mut().zip(all).for_each(|(spent, count)| spent.observe(count));
        }
    }
    Ok(spent)
}

/// A layer's kind, as its type is called.
fn kind(layer: &cellstate::model::layer::Layer) -> String {
    let text = format!("{layer:?}");
    text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}
