//! The project's commands, each with all of its set-up: `cargo xtask demo`, `profile`, `motes`, `lane`, `recorded`, `writes`, `faults`,
//! `field`, `cuts`, `sizes`, `bench`, `firmware`, `fuzz`, `template`, `tutorials` and `test`.

#![forbid(unsafe_code)]

mod bench;
mod boards;
mod chip;
mod cuts;
mod demo;
mod emulator;
mod faults;
mod field;
mod fielded;
mod firmware;
mod fuzz;
mod inject;
mod inlined;
mod lane;
mod monitor;
mod motes;
mod packages;
mod panics;
mod physical;
mod recorded;
mod replay;
mod self_test;
mod sizes;
mod stack;
mod stream;
mod supply;
mod template;
mod test;
mod toolchain;
mod tutorials;
mod variants;
mod writes;

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
    /// Convert the watch model, stream real data through it on the host and on an emulated board, and compare.
    Demo {
        /// On the host alone, where no emulator can be had.
        #[arg(long, conflicts_with_all = ["all", "board"])]
        host: bool,
        #[command(flatten)]
        boards: Boards,
    },
    /// Count what each layer of the watch model takes of a step on an emulated board.
    Profile {
        #[command(flatten)]
        boards: Boards,
    },
    /// Read real temperatures from an emulated thermometer on the emulated board, and compare every forecast with the host's.
    Motes,
    /// Put a simulated lane with vehicles into an emulated magnetometer on the emulated board, and compare with the host.
    Lane,
    /// Sample a recording from a timer's interrupt on two emulated boards while they compute: no sample is lost, and the bits are
    /// the host's.
    Recorded,
    /// Write text with three models on the emulated Cortex-M4F, and compare every symbol with the host.
    Writes,
    /// Count instructions, code, state and stack on every emulated core, and compare its bits with the host's.
    Bench(bench::Arguments),
    /// Bound the stack of an emulated board's firmware by the compiler's frames along every path of calls, beside what is seen of it.
    Stack {
        #[command(flatten)]
        boards: Boards,
    },
    /// Update the model of an emulated board over its serial link, signed, while samples stream; updates that must be refused are.
    Field,
    /// Cut the power of an emulated board at every write of an update to its EEPROM: it starts with a valid model, the old or the new.
    Cuts,
    /// Weigh the parts of the field firmware: loader, kernels, store, signature check, protocol and the others.
    Sizes,
    /// Build what `cellstate selftest --board` runs.
    Firmware {
        /// For this board alone.
        #[arg(long)]
        board: Option<String>,
        /// Instead, the application of each board that can be bought; prints what they take of flash and RAM.
        #[arg(long, conflicts_with = "board")]
        physical: bool,
        /// Instead, what `cellstate monitor --board` speaks to.
        #[arg(long, conflicts_with = "physical")]
        serve: bool,
        /// Serve this model, which `cellstate convert --rust` wrote, and not the watch.
        #[arg(long, value_name = "MODEL.rs", requires = "serve")]
        model: Option<PathBuf>,
    },
    /// Stream samples over a line that damages 5 % of all frames, to a board in this process or an emulated one, and compare.
    Faults(faults::Arguments),
    /// Run the fuzzers, and print how often and how far each came: see `docs/fuzzing.md`.
    Fuzz(fuzz::Arguments),
    /// Generate a project of `boards/template` for each of its boards, compare it with the board's own, and build it.
    Template,
    /// Run the commands of `docs/tutorials`, and compare what they print.
    Tutorials {
        /// Of this one alone.
        name: Option<String>,
    },
    /// Format, clippy, documentation, all host tests, the emulated boards, and a build for the physical ones.
    Test {
        /// Only the stages whose name has this in it, such as "self-test".
        only: Option<String>,
    },
}

/// Which emulated boards.
#[derive(clap::Args)]
struct Boards {
    /// This one, may be repeated; without, qemu-mps2-an386.
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    board: Vec<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl Boards {
    fn chosen(&self) -> anyhow::Result<Vec<&'static str>> {
        boards::chosen(&self.board, self.all)
    }
}

fn main() -> anyhow::Result<()> {
    // Every path below is relative to the root.
    std::env::set_current_dir(root())?;
    match Cli::parse().command {
        Command::Demo { host: true, .. } => demo::run(&[]),
        Command::Demo { boards, .. } => demo::run(&boards.chosen()?),
        Command::Profile { boards } => boards::profile(&boards.chosen()?),
        Command::Motes => motes::run(),
        Command::Writes => writes::run(),
        Command::Lane => lane::run(),
        Command::Recorded => recorded::run(),
        Command::Stack { boards } => stack::run(&boards.chosen()?),
        Command::Field => field::run(),
        Command::Cuts => cuts::run(),
        Command::Sizes => sizes::run(),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Firmware { physical: true, .. } => physical::build(),
        Command::Firmware { serve: true, board, model, .. } => firmware::serving(board.as_deref(), model.as_deref()),
        Command::Firmware { board, .. } => firmware::boards(board.as_deref()),
        Command::Faults(arguments) => faults::run(&arguments),
        Command::Fuzz(arguments) => fuzz::fuzz(&arguments),
        Command::Template => template::check(),
        Command::Tutorials { name } => tutorials::run(name.as_deref()),
        Command::Test { only } => test::run(only),
    }
}

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.clone(), PathBuf::from)
}
