//! `cellstate trace`.

use super::{DataOptions, Done, files};
use cellstate_convert::report::traced::traced;
use cellstate_convert::trace::{MOST_STEPS, trace};
use clap::Args;
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate trace model.cell --input test.npz --report trace.html
  cellstate trace watch.cell --input later.npz --raw --sequence 3 --steps 60 --json

docs/cli.md has the fields of --json.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// Samples: .npy, .npz or .csv.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// The page to write.
    #[arg(long, value_name = "OUT.html", required_unless_present = "json")]
    report: Option<PathBuf>,
    /// One JSON object with all values.
    #[arg(long)]
    json: bool,
    /// Which sequence of the data, counted from 0.
    #[arg(long, value_name = "K", default_value_t = 0)]
    sequence: usize,
    /// How many of its first steps.
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u16).range(1..=MOST_STEPS as i64))]
    steps: u16,
    #[command(flatten)]
    units: DataOptions,
}

pub(super) fn run(a: &Arguments) -> Done {
    let blob = files::Blob::read(&a.blob)?;
    let model = blob.model()?;
    let data = files::sequences(&a.input, &files::widths(&model), "input")?;
    let shown = a.input.display();
    let count = data.sequences.len();
    let sequence = data
        .sequences
        .get(a.sequence)
        .ok_or_else(|| format!("{shown}: there is no sequence {}; it has {count}, counted from 0", a.sequence))?;
    let trace = trace(&model, sequence, data.features, a.units.units(), a.steps.into());
    let trace = trace.map_err(|e| format!("{shown}: {e}"))?;
    let mut text = String::new();
    if let Some(path) = &a.report {
        let name = a.input.file_name().unwrap_or_default().to_string_lossy();
        let on = format!("{name}, sequence {} of {count}, counted from 0", a.sequence);
        files::write(path, traced(&model, &trace, &on).as_bytes())?;
        text = format!("report: {}\n", path.display());
    }
    if a.json {
        text = format!("{:#}\n", serde_json::to_value(&trace).map_err(|e| e.to_string())?);
    }
    files::print(&text)
}
