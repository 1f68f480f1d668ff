//! `cargo xtask test`: everything that must hold, in one command.

use crate::{
    bench, boards, cuts, emulator, faults, field, firmware, lane, motes, packages, physical, recorded, self_test,
    sizes, stack, supply, template, tutorials, writes,
};
use anyhow::{Result, bail, ensure};
use std::process::Command;

/// Crates outside the host workspace.
const OUTSIDE: [&str; 4] = ["boards/qemu", "boards/bench", "benches", "fuzz"];
/// What the test of the converter's report looks for.
const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What must hold on the emulators.
type Stage = fn() -> Result<()>;

/// Runs every stage, or those whose name has these words in it, and ends with a count of them.
pub(crate) fn run(only: Option<String>) -> Result<()> {
    let mut stages = Stages { only, ..Stages::default() };
    stages.cargo("format", ".", &["fmt", "--all", "--check"]);
    let physical = physical::BOARDS.map(|(folder, ..)| format!("boards/{folder}"));
    for outside in OUTSIDE.into_iter().chain(physical.iter().map(String::as_str)) {
        stages.cargo("format", outside, &["fmt", "--all", "--check"]);
        // A crate of the host workspace that gains a dependency must not leave these behind.
        stages.cargo("lock file", outside, &["update", "--workspace", "--locked", "--quiet"]);
    }
    let deny = ["--", "-D", "warnings"];
    stages.cargo("clippy", ".", &[&["clippy", "--workspace", "--all-targets", "--locked"], &deny[..]].concat());
    stages.cargo(
        "clippy",
        ".",
        &[&["clippy", "-p", "cellstate", "--features", "defmt", "--locked"], &deny[..]].concat(),
    );
    stages.cargo("documentation", ".", &["doc", "--workspace", "--no-deps", "--locked"]);
    // A test looks at the converter's report in it.
    if stages.wants("host tests")
        && !BROWSERS.iter().any(|b| packages::has(b))
        && let Err(e) = packages::install(&["chromium"])
    {
        eprintln!("{e:#}");
    }
    stages.cargo("host tests", ".", &["test", "--workspace", "--locked"]);
    stages.cargo(
        "host tests, portable kernels",
        ".",
        &[
            "test",
            "-p",
            "cellstate",
            "--features",
            "portable",
            "--locked",
            "--test",
            "oracle",
            "--test",
            "kernels",
            "--test",
            "generate",
        ],
    );
    stages.run("licences and sources", supply::deny);
    stages.run("dependencies of the device crate", supply::dependencies);
    stages.run("no unsafe code", supply::without_unsafe);
    stages.run("publishing", supply::publish);
    stages.run("physical boards", physical::build);
    stages.run("clippy on the physical boards", physical::clippy);
    stages.run("clippy on the emulated boards", firmware::clippy);
    stages.run("template", template::check);
    stages.run("tutorials", || tutorials::run(None));
    let emulated: [(&str, Stage); 14] = [
        ("emulated boards", boards::check),
        ("bounded stack", stack::some),
        ("profile on the emulated boards", boards::check_profiles),
        ("sampling from an interrupt", recorded::run),
        ("emulated board with a thermometer", motes::run),
        ("emulated board with a magnetometer", lane::run),
        ("faults on the link", faults::check),
        ("text written on the emulated board", writes::run),
        ("updates while samples stream", field::run),
        ("power cuts in an update", cuts::some),
        ("size of the field firmware by part", sizes::run),
        ("self-test on the emulated boards", self_test::boards),
        ("equal bits on every core", bench::compare::all),
        ("performance against the record", bench::check),
    ];
    let emulator = emulator::ensure(&[emulator::ARM, emulator::RISCV]);
    for (name, stage) in emulated {
        match &emulator {
            Ok(()) => stages.run(name, stage),
            Err(e) if std::env::var_os("CI").is_some() => stages.run(name, || Err(anyhow::anyhow!("{e}"))),
            Err(e) => {
                eprintln!("\n*** SKIPPED: {name}: {e} ***\n");
                stages.skipped += 1;
            }
        }
    }
    println!("{} passed, {} failed, {} skipped", stages.passed, stages.failed, stages.skipped);
    ensure!(stages.passed + stages.failed + stages.skipped > 0, "no stage has such a name");
    if stages.failed > 0 {
        bail!("{} stages failed", stages.failed);
    }
    Ok(())
}

#[derive(Default)]
struct Stages {
    passed: u32,
    failed: u32,
    skipped: u32,
    /// What a stage's name must have in it.
    only: Option<String>,
}

impl Stages {
    fn wants(&self, name: &str) -> bool {
        self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }

    fn cargo(&mut self, name: &str, folder: &str, arguments: &[&str]) {
        if !self.wants(name) {
            return;
        }
        println!("(in {folder}) cargo {}", arguments.join(" "));
        let mut command = Command::new("cargo");
        command.current_dir(folder).args(arguments).env("RUSTDOCFLAGS", "-D warnings");
        if folder != "." {
            command.env("CARGO_TARGET_DIR", std::path::absolute("target/boards").unwrap_or_default());
        }
        self.run(name, || match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(anyhow::anyhow!("{status}")),
            Err(e) => Err(e.into()),
        });
    }

    fn run(&mut self, name: &str, stage: impl FnOnce() -> Result<()>) {
        if !self.wants(name) {
            return;
        }
        println!("--- {name}");
        match stage() {
            Ok(()) => self.passed += 1,
            Err(e) => {
                eprintln!("FAILED: {name}: {e:#}");
                self.failed += 1;
            }
        }
    }
}
