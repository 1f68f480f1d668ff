//! `cellstate eval`.

use super::{DataOptions, Done, ModelOptions, Per, files};
use cellstate_convert::eval::{Report, compare};
use cellstate_convert::import;
use clap::Args;
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate eval model.cell --reference model.keras --data test.npz
  cellstate eval watch.cell --reference watch.safetensors --map model.toml --raw --data later.npz --per step --json

docs/cli.md has the fields of --json.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// The float model that it was made from.
    #[arg(long, value_name = "MODEL")]
    reference: PathBuf,
    /// Test data: .npy, .npz or .csv, with labels for the accuracy.
    #[arg(long)]
    data: PathBuf,
    /// Which steps are scored against the label; without, every step if the data has a label a step.
    #[arg(long, value_enum)]
    per: Option<Per>,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: ModelOptions,
    #[command(flatten)]
    units: DataOptions,
}

pub(super) fn run(a: &Arguments) -> Done {
    let blob = files::Blob::read(&a.blob)?;
    let model = blob.model()?;
    let network = import::load(&a.reference, a.options.options()).map_err(|e| e.to_string())?;
    let data = files::sequences(&a.data, &network.widths(), &network.nodes[0].name)?;
    a.units.check(&network, &data);
    let score = super::score(a.per, &data);
    let bar = files::progress("comparing", data.sequences.len());
    let report = compare(&model, &network, &data, a.units.units(), score, || bar.inc(1));
    bar.finish_and_clear();
    let report =
        report.map_err(|e| format!("{}: {e}; give the model that this blob was made from", a.blob.display()))?;
    if a.json {
        println!("{:#}", report.json());
    } else {
        print(&report);
    }
    Ok(())
}

fn print(report: &Report) {
    println!("{} steps", report.steps);
    if let (Some(float), Some(int)) = (report.accuracy_float(), report.accuracy_int()) {
        println!("accuracy: float {float:.4}, integer {int:.4}; alike on {} of {}", report.agree, report.scored);
    }
    for (name, e) in &report.hidden {
        println!("{name}: hidden state SNR {:.1} dB, RMS error {:.6}, max error {:.6}", e.snr_db(), e.rms(), e.max());
    }
    println!("saturated: {} input values, {} cell states", report.saturations.inputs, report.saturations.cells);
}
