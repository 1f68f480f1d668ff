//! The model as a drawing: layers as boxes from top to bottom, and who takes whose output.

use super::html::{escape, thousands};
use super::svg::sized;
use crate::inspect::rows;
use cellstate::Model;
use cellstate::model::header::stream_of;
use std::fmt::Write;

const WIDTH: f64 = 360.0;
const BOX: (f64, f64) = (250.0, 40.0);
const LEFT: f64 = 30.0;
const STEP: f64 = 62.0;

/// The top of box `k`; box 0 is the sample.
fn top(k: usize) -> f64 {
    4.0 + STEP * k as f64
}

/// The drawing.
pub fn structure(model: &Model) -> String {
    let header = model.header();
    let rows = rows(model);
    let outputs = rows.len() + 1;
    let mut out = sized("The model's layers", WIDTH, top(outputs) + BOX.1 + 4.0);
    let window = match header.window {
        0 => "one sample a step".to_owned(),
        steps => format!("windows of {steps} samples"),
    };
    let widths: Vec<String> = header.streams.iter().map(ToString::to_string).collect();
    let features = if widths.is_empty() { model.inputs().to_string() } else { widths.join(" and ") };
    boxed(&mut out, 0, &format!("input, {features} features"), &window);
    for (k, (row, node)) in rows.iter().zip(&header.nodes).enumerate() {
        let shape = format!("{}, {} to {}", row.kind, row.inputs, row.outputs);
        let flash = thousands(row.flash as u64);
        let direction = if node.backward { ", backward" } else { "" };
        boxed(&mut out, k + 1, &shape, &format!("{}, {flash} bytes{direction}", row.weights));
        for source in [Some(node.from), node.layer.second()].into_iter().flatten() {
            // All streams' samples are one box.
            flow(&mut out, if stream_of(source).is_some() { 0 } else { source.into() }, k + 1);
        }
    }
    let widths: Vec<String> = (0..header.heads.len()).map(|h| model.head_width(h).to_string()).collect();
    let labels: Vec<&str> = header.labels.lines().collect();
    boxed(&mut out, outputs, &format!("output, {} values", widths.join(" and ")), &shortened(&labels.join(", ")));
    header.heads.iter().for_each(|&head| flow(&mut out, usize::from(head) + 1, outputs));
    out + "</svg>"
}

fn shortened(text: &str) -> String {
    const MOST: usize = 40;
    if text.chars().count() <= MOST { text.to_owned() } else { text.chars().take(MOST - 3).collect::<String>() + "..." }
}

fn boxed(out: &mut String, k: usize, name: &str, detail: &str) {
    let (y, (w, h)) = (top(k), BOX);
    let x = LEFT + 12.0;
    let _ = write!(
        out,
        "<rect class=\"box\" x=\"{LEFT}\" y=\"{y}\" width=\"{w}\" height=\"{h}\" rx=\"6\"/><text class=\"name\" x=\"{x}\" \
         y=\"{}\">{}</text><text x=\"{x}\" y=\"{}\">{}</text>",
        y + 17.0,
        escape(name),
        y + 31.0,
        escape(detail)
    );
}

/// An arrow: straight down to the next box, around the boxes to a later one.
fn flow(out: &mut String, from: usize, to: usize) {
    let (y0, y1) = (top(from) + BOX.1, top(to));
    if to == from + 1 {
        let x = LEFT + BOX.0 / 2.0;
        let _ = write!(out, "<path class=\"flow\" d=\"M{x} {y0} V{}\"/>", y1 - 5.0);
        let _ = write!(out, "<path class=\"head\" d=\"M{x} {y1} l-4 -7 h8 z\"/>");
    } else {
        // The longer the way, the further out, so that ways do not cover each other.
        let side = LEFT + BOX.0;
        let x = side + 14.0 + 8.0 * (to - from).min(7) as f64;
        let (y0, y1) = (y0 - BOX.1 / 2.0, y1 + BOX.1 / 2.0);
        let _ = write!(out, "<path class=\"flow\" d=\"M{side} {y0} H{x} V{y1} H{}\"/>", side + 5.0);
        let _ = write!(out, "<path class=\"head\" d=\"M{side} {y1} l7 -4 v8 z\"/>");
    }
}
