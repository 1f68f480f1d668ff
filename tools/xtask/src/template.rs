//! `cargo xtask template`: projects that `cargo generate` makes of `boards/template` have the boards' own wiring, and build.

use crate::firmware::flash_and_ram;
use crate::packages::{GENERATE, run};
use crate::physical;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::{Path, absolute};
use std::process::Command;

const TEMPLATE: &str = "boards/template";
/// The boards that it has, and a model for the sensor of each.
const BOARDS: [(&str, &str); 3] = [("microbit-v2", "wrist"), ("nrf52840-dk", "watch"), ("pico-rp2040", "watch")];

/// Generates a project for each board, compares it with the board's own files, and builds it.
pub(crate) fn check() -> Result<()> {
    let generate = GENERATE.program()?;
    let folder = tempfile::tempdir()?;
    for (board, model) in BOARDS {
        let (_, target, flags) = *physical::BOARDS.iter().find(|(name, ..)| *name == board).context("no such board")?;
        let model = absolute(format!("tests/models/{model}/{model}.rs"))?;
        let mut command = Command::new(&generate);
        command.args(["generate", "--path", TEMPLATE, "--name", board, "--vcs", "none", "--silent", "--destination"]);
        command.arg(folder.path());
        for (name, value) in [
            ("board", board),
            ("cellstate", &absolute(".")?.to_string_lossy()),
            ("model", &model.to_string_lossy()),
            ("layers", "false"),
            ("period", "40_000"),
        ] {
            command.args(["--define", &format!("{name}={value}")]);
        }
        run(&mut command)?;
        let project = folder.path().join(board);
        let own = Path::new("boards").join(board);
        for (made, from) in [
            (format!("src/{board}.rs"), "src/main.rs"),
            ("memory.x".into(), "memory.x"),
            (".cargo/config.toml".into(), ".cargo/config.toml"),
        ] {
            let same = fs::read(project.join(&made))? == fs::read(own.join(from))?;
            ensure!(same, "{TEMPLATE}: {made} for {board} is not what {} has", own.join(from).display());
        }
        ensure!(
            settings(&project.join("Cargo.toml"))? == settings(&own.join("Cargo.toml"))?,
            "{TEMPLATE}: Cargo.toml for {board} has other dependencies than the board's own"
        );
        // The board's versions; a project of another name finds newer ones.
        fs::copy(own.join("Cargo.lock"), project.join("Cargo.lock"))?;
        let mut cargo = Command::new("cargo");
        Toolchain::for_target(target)?.apply(&mut cargo);
        let builds = absolute("target/boards")?;
        cargo.current_dir(&project).env("CARGO_TARGET_DIR", &builds).env("RUSTFLAGS", format!("-Dwarnings {flags}"));
        run(cargo.args(["build", "--release", "--locked"]))?;
        let (flash, ram) = flash_and_ram(&builds.join(target).join("release").join(board))?;
        println!("{board:20} {flash:>8} {ram:>11}");
    }
    Ok(())
}

/// What follows the dependencies' heading, but for cellstate, whose places differ.
fn settings(manifest: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(manifest)?;
    let (_, rest) = text.split_once("[dependencies]").context("no dependencies")?;
    let features = |line: &str| line.split_once("features = ").map(|(_, rest)| rest.to_owned());
    let line = |line: &str| {
        if line.starts_with("cellstate") { features(line).unwrap_or_default() } else { line.to_owned() }
    };
    Ok(rest.lines().map(line).collect())
}
