//! The page's pictures: traces, error over time, histograms, confusion matrices.

use super::Subject;
use super::html::{escape, figure, grid, note, section};
use super::svg::{Series, histogram, lines};
use crate::drift::{Drift, PARTS, Trace};
use crate::lower::lower;
use cellstate_reference::{Layer, Matrix};
use std::collections::BTreeSet;
use std::fmt::Write;

const KEY: &str = "<p class=\"key\"><i class=\"float\"></i>float<i class=\"integer\"></i>integer</p>";

/// More classes than this are not drawn.
const MOST_CLASSES: usize = 40;

fn trace(trace: &Trace) -> String {
    let most = trace.points.iter().map(|p| (p.1 - p.2).abs()).fold(0.0, f64::max);
    let caption = format!("{}, largest difference {most:.1e}", trace.name);
    let of = |value: fn(&(usize, f64, f64)) -> f64| trace.points.iter().map(|p| (p.0 as f64, value(p))).collect();
    let series = [Series { class: "float", points: of(|p| p.1) }, Series { class: "integer", points: of(|p| p.2) }];
    figure(&caption, &lines(&caption, &series, false))
}

/// Float against integer, step by step.
pub(super) fn traces(d: &Drift) -> String {
    let mut body = KEY.to_owned();
    body.push_str(&note("The first steps of the stream; across: the step."));
    if d.outputs.iter().all(|t| t.points.is_empty()) {
        body.push_str(&note("No output came in these steps."));
    }
    body.push_str("<h3>Outputs</h3>");
    body.push_str(&grid(&d.outputs.iter().map(trace).collect::<Vec<_>>()));
    for layer in &d.layers {
        let _ = write!(body, "<h3>Hidden state, {}</h3>", escape(&layer.name));
        body.push_str(&grid(&layer.units.iter().map(trace).collect::<Vec<_>>()));
    }
    section("traces", "Float against integer", &body)
}

/// The error over time, drawn.
pub(super) fn error(d: &Drift) -> String {
    let points = d.rms(PARTS).into_iter().enumerate();
    let step = |k: usize| (k as f64 + 0.5) * d.steps as f64 / PARTS as f64;
    let series = [Series { class: "integer", points: points.map(|(k, e)| (step(k), e)).collect() }];
    let picture = figure("Error RMS of the hidden states; across: the step", &lines("Error over time", &series, true));
    picture.replacen("<figure>", "<figure class=\"single\">", 1)
}

/// Histograms of weights and cell states, layer by layer.
pub(super) fn histograms(s: &Subject) -> String {
    let network = lower(s.network);
    let weights = network.nodes.iter().filter_map(|node| {
        let values: Vec<f64> = matrices(&node.layer).into_iter().flat_map(|m| m.data.iter().copied()).collect();
        let caption = format!("{}: {} weights, share in per cent", node.name, values.len());
        (!values.is_empty()).then(|| figure(&caption, &histogram(&caption, &[("float", &values)])))
    });
    let weights = grid(&weights.collect::<Vec<_>>());
    let cells = s.drift.layers.iter().filter(|l| !l.cells_int.is_empty()).map(|l| {
        let caption = format!("{}, share in per cent", l.name);
        figure(&caption, &histogram(&caption, &[("float", &l.cells_float), ("integer", &l.cells_int)]))
    });
    let cells = grid(&cells.collect::<Vec<_>>());
    section(
        "histograms",
        "Weights and cell states",
        &format!("<h3>Weights, float</h3>{weights}<h3>Cell states on the stream</h3>{KEY}{cells}"),
    )
}

fn matrices(layer: &Layer) -> Vec<&Matrix> {
    match layer {
        Layer::Lstm(l) => [&l.w, &l.u].into_iter().chain(&l.projection).collect(),
        Layer::Gru(g) => vec![&g.w, &g.u],
        Layer::Rnn(r) => vec![&r.w, &r.u],
        Layer::Dense(d) => vec![&d.w],
        Layer::Embedding(table) | Layer::Position(table) => vec![table],
        Layer::Attention(a) => [&a.q, &a.k, &a.v, &a.o].into_iter().flatten().map(|d| &d.w).collect(),
        Layer::LayerNorm { .. } | Layer::Affine { .. } | Layer::Window { .. } | Layer::Sum | Layer::Product => {
            Vec::new()
        }
    }
}

/// Both sides' confusion matrices; nothing without labels.
pub(super) fn confusion(s: &Subject) -> String {
    let decisions = &s.report.decisions;
    let classes: BTreeSet<i64> = decisions.keys().flat_map(|&(label, f, i)| [label, f, i]).collect();
    if decisions.is_empty() {
        return section("confusion", "Confusion", &note("The data has no labels."));
    }
    if classes.len() > MOST_CLASSES {
        let text = format!("{} classes are too many to draw.", classes.len());
        return section("confusion", "Confusion", &note(&text));
    }
    let name = |class: i64| {
        let label = usize::try_from(class).ok().and_then(|k| s.network.labels().get(k));
        label.cloned().unwrap_or_else(|| class.to_string())
    };
    let matrix = |caption: &str, of: fn(&(i64, i64, i64)) -> i64| {
        let mut out = format!("<table class=\"confusion\"><caption>{caption}</caption><tbody><tr><th></th>");
        for &c in &classes {
            let _ = write!(out, "<th>{}</th>", escape(&name(c)));
        }
        for &label in &classes {
            let _ = write!(out, "</tr><tr><th>{}</th>", escape(&name(label)));
            let all: u64 = decisions.iter().filter(|(k, _)| k.0 == label).map(|(_, n)| n).sum();
            for &decided in &classes {
                let here = decisions.iter().filter(|(k, _)| k.0 == label && of(k) == decided);
                let count: u64 = here.map(|(_, n)| n).sum();
                let share = count as f64 / all.max(1) as f64;
                let text = if count == 0 { String::new() } else { count.to_string() };
                let _ = write!(out, "<td style=\"background: rgba(var(--shade), {:.2})\">{text}</td>", 0.7 * share);
            }
        }
        out.push_str("</tr></tbody></table>");
        format!("<div class=\"wide\">{out}</div>")
    };
    let both = [matrix("Float", |k| k.1), matrix("Integer", |k| k.2)];
    let text = note("A row is a label, a column a decision; the shade is the share of the row.");
    section("confusion", "Confusion", &(text + &grid(&both)))
}
