//! What `cellstate convert` says of a model before it is flashed, and the page of `--report`.

use super::{DataOptions, Done, Per, files};
use cellstate::Model;
use cellstate_convert::cost::cost;
use cellstate_convert::data::Sequences;
use cellstate_convert::drift::{LEAST_STEPS, drift};
use cellstate_convert::eval::compare;
use cellstate_convert::report::{Subject, facts, page};
use cellstate_reference::Network;
use clap::Args;
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use std::path::{Path, PathBuf};

/// On what a conversion is judged, and where the page goes.
#[derive(Args)]
pub(super) struct Options {
    /// Data to judge the result on, with labels for the accuracy; without, the calibration data.
    #[arg(long, value_name = "DATA")]
    evaluate: Option<PathBuf>,
    /// Which steps are scored against the label; without, every step if the data has a label a step.
    #[arg(long, value_enum)]
    per: Option<Per>,
    /// Also write a page with tables and pictures of all of this.
    #[arg(long, value_name = "OUT.html")]
    report: Option<PathBuf>,
}

/// The data to judge on, read before anything is written.
pub(super) struct Evaluation {
    data: Sequences,
    on: String,
}

impl Options {
    /// Reads the data of `--evaluate`, or takes the calibration data.
    pub(super) fn data(&self, network: &Network, path: &Path, calibration: &Sequences) -> Result<Evaluation, String> {
        let name = |p: &Path| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (data, what) = match &self.evaluate {
            Some(path) => (files::sequences(path, &network.widths(), &network.nodes[0].name)?, name(path)),
            None => (calibration.clone(), format!("{}, the calibration data", name(path))),
        };
        let on = format!("{what}: {} steps in {} sequences", data.steps(), data.sequences.len());
        Ok(Evaluation { data, on })
    }

    /// Compares, prints the tables, writes the page.
    pub(super) fn show(
        &self,
        model: &Model,
        network: &Network,
        blob: usize,
        evaluation: &Evaluation,
        units: &DataOptions,
    ) -> Done {
        let Evaluation { data, on } = evaluation;
        let score = super::score(self.per, data);
        let bar = files::progress("comparing", data.sequences.len());
        let report = compare(model, network, data, units.units(), score, || bar.inc(1))?;
        bar.finish_and_clear();
        let drift = drift(model, network, data, units.units(), LEAST_STEPS)?;
        let cost = cost(model, blob);
        let subject = Subject { model, network, cost: &cost, report: &report, drift: &drift, on, score };
        let mut text = tables(&subject);
        if let Some(path) = &self.report {
            files::write(path, page(&subject).as_bytes())?;
            text = format!("{text}report: {}\n", path.display());
        }
        files::print(&text)
    }
}

fn tables(s: &Subject) -> String {
    let rows = [facts::accuracy(s), facts::drift(s.drift), facts::bytes(s)].concat();
    let parts = [
        table(&[], rows, CellAlignment::Left).to_string(),
        table(&facts::SPEEDS, facts::speeds(s), CellAlignment::Right).to_string(),
        wrapped(&facts::caveat(s)),
        table(&facts::BOARDS, facts::boards(s), CellAlignment::Right).to_string(),
        wrapped(facts::BOARDS_NOTE),
    ];
    parts.join("\n") + "\n"
}

fn table(head: &[&str], rows: Vec<Vec<String>>, rest: CellAlignment) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    if !head.is_empty() {
        table.set_header(head);
    }
    table.add_rows(rows);
    table.column_iter_mut().skip(1).for_each(|c| c.set_cell_alignment(rest));
    table
}

/// Text in lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.is_empty() => word.clone_into(line),
            Some(line) if line.chars().count() + word.chars().count() < 100 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}
