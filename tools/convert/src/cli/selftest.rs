//! `cellstate selftest`.

use super::files::{self, Blob};
use super::firmware;
use cellstate_convert::board::cores::{BOARDS, board};
use cellstate_convert::board::emulate::{self, Failure};
use cellstate_convert::self_test::{Untested, on_board, on_host};
use clap::Args;
use clap::builder::PossibleValuesParser;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate selftest model.cell
  cellstate selftest model.cell --board qemu-mps2-an386
  cellstate selftest model.cell --board qemu-rv32-virt --firmware bench-firmware

The exit code is 0 if it passed, 1 if the bits are others, 2 if it could not run.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// The emulated board to run it on; without, it runs on this host.
    #[arg(long, value_parser = PossibleValuesParser::new(BOARDS.map(|(name, _)| name)))]
    board: Option<String>,
    /// The board's firmware; without, what `cargo xtask firmware` built, in this folder or one above it.
    #[arg(long, value_name = "ELF", requires = "board")]
    firmware: Option<PathBuf>,
    /// How long the emulator may run.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "board")]
    timeout: u64,
}

pub(super) fn run(a: &Arguments) -> Result<ExitCode, String> {
    let blob = Blob::read(&a.blob)?;
    let model = blob.model()?;
    let shown = a.blob.display();
    let (place, outcome) = match &a.board {
        None => ("this host".to_owned(), on_host(&model)),
        Some(name) => {
            let core = board(name).ok_or_else(|| format!("{name}: no such board"))?;
            let elf = firmware::find(a.firmware.as_deref(), name, &core.firmware(), "cargo xtask firmware")?;
            // Whoever ends this command ends the emulator.
            ctrlc::set_handler(emulate::stop).map_err(|e| format!("signals: {e}"))?;
            let outcome = on_board(&model, blob.bytes(), &core, &elf, Duration::from_secs(a.timeout));
            (name.clone(), outcome)
        }
    };
    let outcome = outcome.map_err(|e| match &e {
        Untested::NoVectors | Untested::Board(Failure::NotInstalled { .. } | Failure::Stopped | Failure::Host(_)) => {
            format!("{shown}: {e}")
        }
        Untested::Board(Failure::TimedOut { .. }) => format!("{shown}: {e}; give it more by --timeout SECONDS"),
        Untested::Board(_) => format!("{shown}: {e}; build the firmware again with `cargo xtask firmware`"),
        Untested::State { .. } | Untested::Flash { .. } => format!("{shown}: {e}; test it elsewhere, see --board"),
    })?;
    let steps = outcome.steps;
    let verdict = if outcome.passed() {
        format!("passed on {place}: {steps} steps, checksum {:08x}", outcome.found)
    } else {
        format!("FAILED on {place}: {steps} steps, checksum {:08x} instead of {:08x}", outcome.found, outcome.expected)
    };
    let cost = outcome.instructions.map(|n| format!(", {n} instructions in the longest step")).unwrap_or_default();
    files::print(&format!("{shown}: {verdict}{cost}\n"))?;
    Ok(if outcome.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
