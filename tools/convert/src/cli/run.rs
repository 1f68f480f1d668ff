//! `cellstate run`.

use super::{DataOptions, Done, Per, files};
use cellstate::{Model, Session};
use cellstate_convert::eval;
use clap::{Args, ValueEnum};
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate run model.cell --input test.npz
  cellstate run watch.cell --input later.npz --raw --per step --format jsonl";

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A header line, then one line an answer.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// Samples: .npy, .npz or .csv.
    #[arg(long, value_name = "DATA")]
    input: PathBuf,
    /// Format of the answers.
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// One answer a sequence, at its end, or one a step.
    #[arg(long, value_enum, default_value = "sequence")]
    per: Per,
    #[command(flatten)]
    units: DataOptions,
}

pub(super) fn run(a: &Arguments) -> Done {
    let blob = files::Blob::read(&a.blob)?;
    let model = blob.model()?;
    let data = files::sequences(&a.input, model.inputs(), "input")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let names: Vec<String> =
        (0..model.outputs()).map(|k| model.label(k).map_or(format!("output{k}"), str::to_owned)).collect();
    let mut written = match a.format {
        Format::Csv => writeln!(out, "sequence,step,decision,{}", names.join(",")),
        Format::Jsonl => Ok(()),
    };
    let done = eval::run(&model, &data, a.units.units(), |session, s, t| {
        let last = t + 1 == data.sequences[s].len();
        if written.is_ok() && (last || matches!(a.per, Per::Step)) {
            written = answer(&mut out, a.format, &model, session, &names, s, t);
        }
    });
    done.map_err(|e| format!("{}: {e}", a.input.display()))?;
    match written.and_then(|()| out.flush()) {
        // A reader such as `head` may close the pipe when it has enough.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(()),
    }
}

fn answer(
    out: &mut impl Write,
    format: Format,
    model: &Model,
    session: &Session,
    names: &[String],
    s: usize,
    t: usize,
) -> std::io::Result<()> {
    let output = session.output();
    let mut scores = vec![0.0f32; model.outputs()];
    output.probabilities(&mut scores);
    let decision = &names[output.argmax()];
    match format {
        Format::Csv => {
            let scores: Vec<String> = scores.iter().map(|v| format!("{v:.6}")).collect();
            writeln!(out, "{s},{t},{decision},{}", scores.join(","))
        }
        Format::Jsonl => {
            let scores: serde_json::Map<_, _> = names.iter().cloned().zip(scores.into_iter().map(Into::into)).collect();
            let line = serde_json::json!({ "sequence": s, "step": t, "decision": decision, "scores": scores });
            writeln!(out, "{line}")
        }
    }
}
