//! `cargo xtask stack`: the worst that a firmware can take of the stack, by the sizes of the compiler's frames along every path of
//! calls, beside what it was seen to take.
//!
//! What is shown of each board: no path of calls comes back to a function of its own, so the bound is one; the paths from `main`
//! fit the stack; a step and the parsing of a blob are within [`STEP`] and [`PARSE`]; a step of a core without floating point
//! calls none in software; and the painted stack never saw more than the bound.

mod graph;
mod riscv;
mod thumb;

use crate::emulator::Board;
use crate::{boards, firmware, stream};
use anyhow::{Context, Result, ensure};
use cellstate_convert::data::Sequences;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use graph::Program;
use std::path::Path;

/// Bytes that a step may take below its call, of any layer that there is.
const STEP: u64 = 2688;
/// Bytes that the parsing of any blob may take below its call.
const PARSE: u64 = 6144;
/// Those of CI: a core with floating point, the smallest, and the other instruction set.
const SOME: [&str; 3] = ["qemu-mps2-an386", "qemu-microbit", "qemu-rv32-virt"];
/// What walks through the layers of a step.
const WALK: &str = "cellstate::session::walk::run";
const LOAD: &str = "cellstate::model::load::parse";
/// Where cores have no floating point of their own, its routines are called by such names.
const FLOATS: [&str; 4] = ["__aeabi_f", "__aeabi_d", "compiler_builtins::float", "compiler_builtins::math"];

/// In CI.
pub(crate) fn some() -> Result<()> {
    run(&SOME)
}

/// Checks these boards and prints a table.
pub(crate) fn run(names: &[&'static str]) -> Result<()> {
    boards::ensure_emulators(names)?;
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["board", "a step", "parsing", "main", "seen", "stack", "deepest path of a step"]);
    for &name in names {
        let row = one(name).with_context(|| name)?;
        table.add_row(row);
    }
    println!("{table}");
    println!("bytes; a step may take {STEP}, parsing {PARSE}, whatever the model");
    Ok(())
}

fn one(name: &'static str) -> Result<[String; 7]> {
    let elf = firmware::with_stack_sizes(name, &Path::new(boards::MODEL).join("watch.rs"))?;
    let bytes = std::fs::read(&elf)?;
    let program = Program::read(&object::File::parse(&*bytes)?)?;
    let step = program.deepest(WALK)?;
    let parse = program.deepest(LOAD)?;
    let main = program.deepest("main")?;
    ensure!(step.bytes <= STEP, "a step can take {} bytes of stack: {}", step.bytes, step.path.join(" > "));
    ensure!(parse.bytes <= PARSE, "parsing can take {} bytes of stack: {}", parse.bytes, parse.path.join(" > "));
    let core = firmware::core(name)?;
    if !core.target.ends_with("hf") {
        let floats = program.reached(WALK)?.filter(|f| FLOATS.iter().any(|float| f.contains(float)));
        let floats: Vec<&str> = floats.collect();
        ensure!(floats.is_empty(), "a step calls floating point in software: {}", floats.join(", "));
    }
    let mut board = Board::start(&core, &elf, &[])?.link()?;
    let mut seen = None;
    boards::on_watch(|model, data| {
        let few = Sequences { sequences: data.sequences.iter().take(2).cloned().collect(), features: data.features };
        seen = stream::compare(model, &few, &mut board, core.counter)?.stack;
        Ok(())
    })?;
    let seen = seen.context("the stack was not looked at")?;
    let (used, size) = (u64::from(seen.used), u64::from(seen.size));
    // Above `main` stand what starts it and what the core pushes.
    ensure!(used <= main.bytes + START, "{used} bytes were used, and the bound is {} and {START}", main.bytes);
    ensure!(main.bytes + START <= size, "main can take {} bytes, and there are {size}", main.bytes);
    let path = step.path.iter().map(|name| short(name)).collect::<Vec<_>>().join(" > ");
    let [step, parse, main, used, size] = [step.bytes, parse.bytes, main.bytes, used, size].map(|n| n.to_string());
    Ok([name.to_owned(), step, parse, main, used, size, path])
}

/// A function's name without types and modules.
fn short(name: &str) -> String {
    let mut depth = 0;
    let plain = name.chars().filter(|c| {
        depth += i32::from(*c == '<');
        depth -= i32::from(*c == '>');
        depth == 0 && *c != '>'
    });
    plain.collect::<String>().split("::").filter(|part| !part.is_empty()).last().unwrap_or(name).to_owned()
}

/// What stands on the stack before `main`: the start-up code's frame, aligned.
const START: u64 = 64;
