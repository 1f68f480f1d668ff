//! What is known of a converted model, in rows of text: the same on the terminal and on the page.

use super::Subject;
use super::html::thousands;
use crate::cost::steps::{ERROR_BOUND, OTHERS_BOUND};
use crate::drift::Drift;
use crate::eval::Score;
use std::fmt::Write;

/// What every table of estimates is headed by.
pub const ESTIMATED: &str = "Instructions and times are estimates.";

/// A name and its values.
pub type Row = Vec<String>;

fn row(name: &str, value: String) -> Row {
    vec![name.to_owned(), value]
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// A decibel figure; no noise at all has none.
pub fn decibels(db: f64) -> String {
    if db.is_finite() { format!("{db:.1} dB") } else { "exact".to_owned() }
}

/// Accuracy, errors and saturations on the evaluated data.
pub fn accuracy(s: &Subject) -> Vec<Row> {
    let report = s.report;
    let mut rows = vec![row("evaluated on", s.on.to_owned())];
    if let (Some(float), Some(int)) = (report.accuracy_float(), report.accuracy_int()) {
        let per = match s.score {
            Score::Sequence => "last step of each sequence",
            Score::Step => "every step",
        };
        let text = format!("float {}, integer {}", percent(float), percent(int));
        rows.push(row(&format!("accuracy, {per}"), text));
        let text = format!("{} of {}", thousands(report.agree), thousands(report.scored));
        rows.push(row("decided alike", text));
    } else {
        rows.push(row("accuracy", "the data has no labels".to_owned()));
    }
    for (name, e) in &report.hidden {
        let text = format!("{}, error RMS {:.1e}, largest {:.1e}", decibels(e.snr_db()), e.rms(), e.max());
        rows.push(row(&format!("hidden state SNR, {name}"), text));
    }
    let all = &report.saturations;
    let text = format!("{} input values, {} cell states", thousands(all.inputs), thousands(all.cells));
    rows.push(row("saturated", text));
    rows
}

/// The error over time.
pub fn drift(d: &Drift) -> Vec<Row> {
    let tenths = d.rms(10);
    let text: Vec<String> =
        tenths.chunks(5).map(|c| c.iter().map(|e| format!("{e:.1e}")).collect::<Vec<_>>().join(" ")).collect();
    let verdict = if d.grows() { "the error grows with time" } else { "the error does not grow with time" };
    vec![
        row(
            "error over time",
            format!("{} steps without a reset, the data {} times", thousands(d.steps as u64), d.passes),
        ),
        row("error RMS by tenths of the run", text.join("\n")),
        row("trend, second half against first", format!("{:+.1} %, same samples: {verdict}", 100.0 * d.trend())),
    ]
}

/// Bytes.
pub fn bytes(s: &Subject) -> Vec<Row> {
    let c = s.cost;
    let (small, large) = (thousands(c.code.0), thousands(c.code.1));
    vec![
        row("flash, model", format!("{} bytes", thousands(c.blob))),
        row("flash, code", format!("{small} to {large} bytes by core and features, estimated")),
        row("RAM, state", format!("{} bytes", thousands(c.state))),
        row("saved state", format!("{} bytes", thousands(c.saved))),
    ]
}

/// The head of [`speeds`].
pub const SPEEDS: [&str; 4] = ["core", "instructions", "ms", "steps/s"];

/// Instructions and time of a step.
pub fn speeds(s: &Subject) -> Vec<Row> {
    let speed = |c: &crate::cost::Speed| {
        let per_second = (1000.0 / c.milliseconds).round() as u64;
        vec![c.name.to_owned(), thousands(c.instructions), format!("{:.3}", c.milliseconds), thousands(per_second)]
    };
    s.cost.speeds.iter().map(speed).collect()
}

/// What the estimates rest on, in sentences.
pub fn caveat(s: &Subject) -> String {
    let mut text = format!(
        "{ESTIMATED} Instructions: lines through the counts that cargo xtask bench recorded of single LSTM layers, which \
         they meet within {:.0} %; other layers that were counted are met within {:.0} %. ",
        100.0 * ERROR_BOUND,
        100.0 * OTHERS_BOUND,
    );
    if !s.cost.recorded {
        text.push_str(
            "This model has layers of which nothing was counted: they are charged at the LSTM's rates, a guess. ",
        );
    }
    if s.model.header().is_windowed() {
        text.push_str(
            "The step that completes a window runs all of it and is the one shown; the others only keep a sample. ",
        );
    }
    let (mut known, mut assumed): (Vec<_>, Vec<_>) = s.cost.speeds.iter().partition(|c| c.from_cycles);
    for speeds in [&mut known, &mut assumed] {
        speeds.dedup_by_key(|c| (c.name.split(' ').next(), c.factor.to_bits()));
    }
    let list = |speeds: &[&crate::cost::Speed]| {
        let one = |c: &&crate::cost::Speed| format!("{} {:.2}", c.name.split(" at").next().unwrap_or(c.name), c.factor);
        speeds.iter().map(one).collect::<Vec<_>>().join(", ")
    };
    if !assumed.is_empty() {
        let _ = write!(text, "Cycles an instruction, assumed: {}. ", list(&assumed));
    }
    if !known.is_empty() {
        let _ = write!(text, "Cycles an instruction, from recorded cycles: {}. ", list(&known));
    }
    text.push_str("Wait states of flash are not counted.");
    text
}

/// The head of [`boards`].
pub const BOARDS: [&str; 4] = ["board", "flash", "RAM", "fits"];

/// What a model with its code takes of each board.
pub fn boards(s: &Subject) -> Vec<Row> {
    let of = |used: u64, kb: u64| format!("{:.1} of {kb} kB", used as f64 / 1024.0);
    let fit = |f: &crate::cost::Fit| {
        let fits = if f.fits() { "yes" } else { "no" };
        vec![f.board.name.to_owned(), of(f.flash, f.board.flash_kb), of(f.ram, f.board.ram_kb), fits.to_owned()]
    };
    s.cost.fits.iter().map(fit).collect()
}

/// What [`boards`] leaves out.
pub const BOARDS_NOTE: &str = "Flash is the model and the largest code of cellstate alone, RAM its state and the stack of a \
                               step; your program comes on top.";
