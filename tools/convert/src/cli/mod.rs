//! The command line: one file a subcommand.

mod check;
mod completions;
mod convert;
mod eval;
mod files;
mod firmware;
mod generate;
mod inspect;
mod keygen;
mod monitor;
mod run;
mod selftest;
mod sign;
mod summary;
mod trace;
mod update;

use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::{Score, Units};
use cellstate_reference::Network;
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::PathBuf;
use std::process::ExitCode;

/// A failure is one sentence on standard error and exit code 2.
type Done = Result<(), String>;

/// Trained float LSTM networks to integer blobs for microcontrollers, and their accuracy and cost.
#[derive(Parser)]
#[command(name = "cellstate", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Quantize a trained model into a blob, and say what it loses and costs.
    ///
    /// Prints the accuracy, the error over time, bytes, estimated time on several cores, and which boards it fits.
    #[command(after_help = convert::EXAMPLES)]
    Convert(convert::Arguments),
    /// Show a blob's layers, formats, bytes of flash and state, and origin.
    #[command(after_help = inspect::EXAMPLES)]
    Inspect(inspect::Arguments),
    /// Compare a blob with its float original, step by step.
    #[command(after_help = eval::EXAMPLES)]
    Eval(eval::Arguments),
    /// Run a blob over data and print its scores.
    #[command(after_help = run::EXAMPLES)]
    Run(run::Arguments),
    /// Write text with a model whose symbols are its labels: greedily, or by chance from a seed.
    ///
    /// A device that calls `Session::generate` with the same seed writes the same text.
    #[command(after_help = generate::EXAMPLES)]
    Generate(generate::Arguments),
    /// Look into a model's steps: gates, states and attention weights as heat maps over time.
    #[command(after_help = trace::EXAMPLES)]
    Trace(trace::Arguments),
    /// Step the test vectors in a blob, on this host or on an emulated board, and compare what comes out.
    #[command(name = "selftest", after_help = selftest::EXAMPLES)]
    SelfTest(selftest::Arguments),
    /// Make a key that updates are signed with: a secret file for whoever signs, a public one for programs.
    #[command(after_help = keygen::EXAMPLES)]
    Keygen(keygen::Arguments),
    /// Sign a blob as an update for devices in the field.
    ///
    /// Refused is what a device would refuse: a blob that does not load, or does not pass its self-test.
    #[command(after_help = sign::EXAMPLES)]
    Sign(sign::Arguments),
    /// Verify an update as a device does, and show what is inside.
    #[command(after_help = check::EXAMPLES)]
    Check(check::Arguments),
    /// Pack an update, send it to a board, or make the flash image that a device begins with.
    #[command(after_help = update::EXAMPLES)]
    Update(update::Arguments),
    /// Stream samples to a board and watch it live: predictions, rates, latency, and what became of frames.
    ///
    /// The board is one behind a serial port, or an emulated one. In a terminal it is a view with keys, else lines.
    #[command(after_help = monitor::EXAMPLES)]
    Monitor(monitor::Arguments),
    /// Print a script by which a shell completes this command.
    #[command(after_help = completions::EXAMPLES)]
    Completions(completions::Arguments),
}

/// How the samples of a data file are to be read.
#[derive(Args)]
struct DataOptions {
    /// The data holds raw sensor counts: the input map of model.toml applies.
    #[arg(long)]
    raw: bool,
}

impl DataOptions {
    fn units(&self) -> Units {
        if self.raw { Units::Counts } else { Units::Model }
    }

    /// Says so if the data look like counts and are not to be read as such.
    fn check(&self, network: &Network, data: &Sequences) {
        let identity = network.input.scale.iter().all(|&s| s.to_bits() == 1.0f64.to_bits());
        let whole = || data.sequences.iter().flat_map(Sequence::steps).flatten().all(|v| v.fract() == 0.0);
        if !self.raw && !identity && whole() {
            eprintln!(
                "note: the data are whole numbers, and the model has a map of sensor counts; if they are counts, give --raw"
            );
        }
    }
}

/// Which steps are scored: as it is said, else every step if the data has a label a step.
fn score(per: Option<Per>, data: &Sequences) -> Score {
    match per {
        Some(Per::Step) => Score::Step,
        None if data.has_step_labels() => Score::Step,
        Some(Per::Sequence) | None => Score::Sequence,
    }
}

/// What a trained model's file cannot tell.
#[derive(Args)]
struct ModelOptions {
    /// model.toml: order and activations of layers where the model file cannot tell, labels, and the input map.
    #[arg(long, value_name = "model.toml")]
    map: Option<PathBuf>,
    /// The configuration of a Keras model whose .h5 holds weights only: what `model.to_json()` yields.
    #[arg(long, value_name = "model.json")]
    config: Option<PathBuf>,
    /// Steps of a window: the network answers once a window, from its initial state. For models that need all steps before
    /// they can answer, where the file does not say how many.
    #[arg(long, value_name = "STEPS")]
    window: Option<usize>,
    /// The most memories that attention keeps: the latest ones. For models whose file does not say how long their input is, and
    /// for a ring that is shorter than a Hugging Face model's positions.
    #[arg(long, value_name = "MEMORIES")]
    memory: Option<usize>,
}

impl ModelOptions {
    fn options(&self) -> cellstate_convert::import::Options<'_> {
        cellstate_convert::import::Options {
            map: self.map.as_deref(),
            config: self.config.as_deref(),
            window: self.window,
            memory: self.memory,
        }
    }
}

/// Each sequence's last step, or every step.
#[derive(Clone, Copy, ValueEnum)]
enum Per {
    /// The last step of each sequence.
    Sequence,
    /// Every step.
    Step,
}

/// Runs what the command line asks for.
pub(crate) fn run() -> Result<ExitCode, String> {
    let done = match Cli::parse().command {
        Command::SelfTest(a) => return selftest::run(&a),
        Command::Convert(a) => convert::run(&a),
        Command::Inspect(a) => inspect::run(&a),
        Command::Eval(a) => eval::run(&a),
        Command::Run(a) => run::run(&a),
        Command::Generate(a) => generate::run(&a),
        Command::Trace(a) => trace::run(&a),
        Command::Keygen(a) => keygen::run(&a),
        Command::Sign(a) => sign::run(&a),
        Command::Check(a) => check::run(&a),
        Command::Update(a) => update::run(&a),
        Command::Monitor(a) => monitor::run(&a),
        Command::Completions(a) => completions::run(&a),
    };
    done.map(|()| ExitCode::SUCCESS)
}
