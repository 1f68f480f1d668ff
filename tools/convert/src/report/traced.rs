//! The page of `cellstate trace`.

use super::heat::heat;
use super::html::{figure, grid, note, page, section, table};
use super::svg::number;
use crate::trace::{MOST_HEADS, MOST_ROWS, Map, Trace};
use cellstate::Model;

const KEY: &str =
    "<p class=\"key\"><i class=\"integer\"></i>positive<i class=\"float\"></i>negative; the deeper, the larger</p>";

/// Heat maps of a trace; `on` says of which data it is.
pub fn traced(model: &Model, trace: &Trace, on: &str) -> String {
    let intro = format!(
        "What this model keeps, forgets and looks up, in integers. Across: the step. Down: units, of more than {MOST_ROWS} an \
         even choice; of attention the memories by age, the newest first, of more than {MOST_ROWS} the newest, and of more than \
         {MOST_HEADS} heads the first. Grey: the layer did not run at that step, or there is no such memory yet."
    );
    let mut body = section("steps", "Steps", &table(&[], &steps(trace, on), true));
    body.push_str(&section("outputs", "Output", &(KEY.to_owned() + &grid(&[drawn(&trace.outputs)]))));
    for (k, layer) in trace.layers.iter().enumerate() {
        let maps: Vec<String> = layer.maps.iter().map(drawn).collect();
        body.push_str(&section(&format!("layer{k}"), &format!("Layer {}", layer.layer), &grid(&maps)));
    }
    if trace.layers.is_empty() {
        body.push_str(&note("No layer of this model has gates, a state or attention."));
    }
    page(model.header().name, "cellstate trace", &intro, "", &body)
}

fn drawn(map: &Map) -> String {
    figure(&format!("{}, up to {}", map.title, number(map.limit)), &heat(map))
}

fn steps(trace: &Trace, on: &str) -> Vec<Vec<String>> {
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let mut rows = vec![row("data", on.to_owned()), row("steps", trace.streams.len().to_string())];
    if trace.streams.iter().any(|&s| s > 0) {
        rows.push(row("stream of each step", joined(trace.streams.iter().map(ToString::to_string))));
    }
    rows.push(row("decisions", joined(trace.decisions.iter().map(|d| d.clone().unwrap_or_else(|| "-".to_owned())))));
    rows
}

/// Words with runs of equal ones counted.
fn joined(words: impl Iterator<Item = String>) -> String {
    let words: Vec<String> = words.collect();
    let run = |run: &[String]| if run.len() > 2 { format!("{} ({} times)", run[0], run.len()) } else { run.join(" ") };
    words.chunk_by(|a, b| a == b).map(run).collect::<Vec<_>>().join(" ")
}
