//! The project's commands, each with all of its set-up: `cargo xtask demo`, `motes`, `test`, `bench` and `firmware`.

#![forbid(unsafe_code)]

mod bench;
mod demo;
mod emulator;
mod firmware;
mod monitor;
mod motes;
mod packages;
mod physical;
mod self_test;
mod stream;
mod test;
mod toolchain;

use clap::{Parser, Subcommand};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "cargo xtask", about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Convert the watch model, stream real data through it on the host and on the emulated board, and compare.
    Demo {
        /// On the host alone, where no emulator can be had.
        #[arg(long)]
        host: bool,
    },
    /// Read real temperatures from an emulated thermometer on the emulated board, and compare every forecast with the host's.
    Motes,
    /// Count instructions, code, state and stack on every emulated core, and compare its bits with the host's.
    Bench(bench::Arguments),
    /// Build what `cellstate selftest --board` runs.
    Firmware {
        /// For this board alone.
        #[arg(long)]
        board: Option<String>,
        /// Instead, the application of each board that can be bought; prints what they take of flash and RAM.
        #[arg(long, conflicts_with = "board")]
        physical: bool,
    },
    /// Format, clippy, documentation, all host tests, the emulated boards, and a build for the physical ones.
    Test,
}

fn main() -> anyhow::Result<()> {
    // Every path below is relative to the root.
    std::env::set_current_dir(root())?;
    match Cli::parse().command {
        Command::Demo { host } => demo::run(host),
        Command::Motes => motes::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Firmware { physical: true, .. } => physical::build(),
        Command::Firmware { board, .. } => firmware::boards(board.as_deref()),
        Command::Test => test::run(),
    }
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.clone(), PathBuf::from)
}
