//! The report of a conversion: one HTML page that needs nothing else, well-formed as XML too.
//!
//! * [`facts`]: what is known, in rows, for the terminal as well;
//! * [`html`] and [`svg`]: what pages and charts are made of;
//! * [`structure`] and `pictures`: the drawings;
//! * [`heat`] and [`traced`]: heat maps, and the page of `cellstate trace`.

pub mod facts;
pub mod heat;
pub mod html;
mod pictures;
pub mod structure;
pub mod svg;
pub mod traced;

use crate::cost::Cost;
use crate::drift::Drift;
use crate::eval::{Report, Score};
use cellstate::Model;
use cellstate::model::header::FORMAT_VERSION;
use cellstate_reference::Network;
use html::{escape, figure, note, section, table, thousands};

/// All that a report is about.
pub struct Subject<'a> {
    /// The blob.
    pub model: &'a Model<'a>,
    /// What it was made from.
    pub network: &'a Network,
    /// What it costs.
    pub cost: &'a Cost,
    /// How it compares, on the data that [`on`](Self::on) names.
    pub report: &'a Report,
    /// How its error goes over time, on the same data.
    pub drift: &'a Drift,
    /// Which data that is, in words.
    pub on: &'a str,
    /// Which steps were scored.
    pub score: Score,
}

/// The page.
pub fn page(s: &Subject) -> String {
    let mut out = String::new();
    out.push_str(&section("accuracy", "Accuracy", &table(&[], &facts::accuracy(s), true)));
    out.push_str(&pictures::confusion(s));
    out.push_str(&pictures::traces(s.drift));
    let body = table(&[], &facts::drift(s.drift), true) + &pictures::error(s.drift);
    out.push_str(&section("drift", "Error over time", &body));
    out.push_str(&pictures::histograms(s));
    out.push_str(&cost(s));
    let drawing = figure("Layers with their shapes, weights and bytes of flash", &structure::structure(s.model));
    let drawing = drawing.replacen("<figure>", "<figure class=\"single\">", 1);
    out.push_str(&section("structure", "Model", &(drawing + &layers(s.model))));
    out.push_str(&section("provenance", "Provenance", &provenance(s)));
    let intro = "What this model does in integers, and what it costs on a microcontroller.";
    html::page(s.model.header().name, "cellstate report", intro, &tiles(s), &out)
}

/// The most important figures.
fn tiles(s: &Subject) -> String {
    let mut all = Vec::new();
    if let (Some(float), Some(int)) = (s.report.accuracy_float(), s.report.accuracy_int()) {
        all.push((format!("{:.2} %", 100.0 * int), format!("accuracy, float {:.2} %", 100.0 * float)));
    }
    if !s.report.hidden.is_empty() {
        all.push((facts::decibels(s.report.all_hidden().snr_db()), "hidden state SNR".to_owned()));
    }
    all.push((thousands(s.cost.blob), "bytes of flash, model".to_owned()));
    all.push((thousands(s.cost.state), "bytes of RAM, state".to_owned()));
    let fits = s.cost.fits.iter().filter(|f| f.fits()).count();
    all.push((format!("{fits} of {}", s.cost.fits.len()), "boards that it fits".to_owned()));
    let tile =
        |(value, what): &(String, String)| format!("<div><b>{}</b><span>{}</span></div>", escape(value), escape(what));
    format!("<div class=\"tiles\">{}</div>", all.iter().map(tile).collect::<String>())
}

fn cost(s: &Subject) -> String {
    let boards = table(&facts::BOARDS, &facts::boards(s), false);
    let boards = boards.replace("<td>yes</td>", "<td class=\"yes\">yes</td>");
    let boards = boards.replace("<td>no</td>", "<td class=\"no\">no</td>");
    let body = format!(
        "{}<h3>A step, estimated</h3>{}{}<h3>Boards</h3>{boards}{}",
        table(&[], &facts::bytes(s), true),
        table(&facts::SPEEDS, &facts::speeds(s), false),
        note(&facts::caveat(s)),
        note(facts::BOARDS_NOTE),
    );
    section("cost", "Cost", &body)
}

fn layers(model: &Model) -> String {
    let row = |r: crate::inspect::Row| {
        let shape = format!("{} to {}", r.inputs, r.outputs);
        let (flash, state) = (thousands(r.flash as u64), thousands(r.state as u64));
        vec![r.kind.to_owned(), shape, r.weights, flash, state, r.formats]
    };
    let rows: Vec<_> = crate::inspect::rows(model).into_iter().map(row).collect();
    table(&["layer", "shape", "weights", "flash", "state", "formats"], &rows, true)
}

fn provenance(s: &Subject) -> String {
    let header = s.model.header();
    let list = |text: &str| text.lines().collect::<Vec<_>>().join(", ");
    let mut rows = vec![
        vec!["made from".to_owned(), header.provenance.to_owned()],
        vec!["blob".to_owned(), format!("format version {FORMAT_VERSION}, CRC-32 {:08x}", s.model.id())],
        vec!["report by".to_owned(), format!("cellstate {}", env!("CARGO_PKG_VERSION"))],
    ];
    for (what, text) in [("features", header.features), ("labels", header.labels)] {
        if !text.is_empty() {
            rows.push(vec![what.to_owned(), list(text)]);
        }
    }
    table(&[], &rows, true)
}
