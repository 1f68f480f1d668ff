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
    let data = files::sequences(&a.input, &files::widths(&model), "input")?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let names = names(&model);
    let mut written = match a.format {
        Format::Csv => writeln!(out, "sequence,step,decision,{}", names.join(",")),
        Format::Jsonl => Ok(()),
    };
    let done = eval::run(&model, &data, a.units.units(), |session, s, t| {
        // Of several streams some only feed what the output looks into.
        let answers = model.streams() == 1 || session.output().is_new();
        let due = match a.per {
            Per::Sequence => t + 1 == data.sequences[s].len(),
            Per::Step => answers,
        };
        if written.is_ok() && due {
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

/// The names of all outputs' values: their labels, or a number.
fn names(model: &Model) -> Vec<String> {
    let heads = model.header().heads.len();
    let each = (0..heads).flat_map(|head| (0..model.head_width(head)).map(move |k| (head, k)));
    let plain = |head: usize, k: usize| if heads == 1 { format!("output{k}") } else { format!("output{head}_{k}") };
    each.map(|(head, k)| model.head_label(head, k).map_or_else(|| plain(head, k), str::to_owned)).collect()
}

/// Of several outputs the first decides, and all have their scores.
fn answer(
    out: &mut impl Write,
    format: Format,
    model: &Model,
    session: &Session,
    names: &[String],
    s: usize,
    t: usize,
) -> std::io::Result<()> {
    let mut scores = Vec::new();
    for head in 0..model.header().heads.len() {
        let mut own = vec![0.0f32; model.head_width(head)];
        session.head(head).probabilities(&mut own);
        scores.extend(own);
    }
    let decision = &names[session.output().argmax()];
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
