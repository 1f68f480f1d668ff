//! `cellstate inspect`.

use super::{Done, files::Blob};
use cellstate::Model;
use cellstate::model::header::{FORMAT_VERSION, Layer};
use clap::Args;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use serde_json::{Value, json};
use std::path::PathBuf;

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

/// One layer as both outputs show it.
struct Row {
    kind: &'static str,
    inputs: usize,
    outputs: usize,
    weights: String,
    formats: String,
    flash: usize,
    state: usize,
}

fn rows(model: &Model) -> Vec<Row> {
    let header = model.header();
    let last = header.layers.len() - 1;
    let row = |(k, (layer, inputs)): (usize, (Layer, usize))| {
        let (kind, formats) = match layer {
            Layer::Lstm { cell_frac, z_shift, .. } => {
                ("lstm", format!("h Q0.15, c Q{}.{cell_frac}{}", 31 - cell_frac, shift(z_shift)))
            }
            Layer::Dense { activation, scale, z_shift, .. } => {
                ("dense", format!("{activation:?}, unit {scale:e}{}", shift(z_shift)).to_lowercase())
            }
        };
        let flash = layer.records() * layer.record_words(inputs) * 4;
        let weights = layer.weights().name().to_owned();
        Row { kind, inputs, outputs: layer.width(), weights, formats, flash, state: layer.state_words(k == last) * 4 }
    };
    header.layers().enumerate().map(row).collect()
}

fn shift(z_shift: u8) -> String {
    if z_shift == 0 { String::new() } else { format!(", z << {z_shift}") }
}

pub(super) fn run(a: &Arguments) -> Done {
    let blob = Blob::read(&a.blob)?;
    let model = blob.model()?;
    let flash = blob.bytes().len();
    if a.json {
        println!("{:#}", as_json(&model, flash));
        return Ok(());
    }
    let header = model.header();
    println!("{}: {}", header.name, header.provenance);
    println!("format version {FORMAT_VERSION}, CRC-32 {:08x}", model.id());
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["layer", "shape", "weights", "formats", "flash bytes", "state bytes"]);
    for row in rows(&model) {
        let shape = format!("{} -> {}", row.inputs, row.outputs);
        table.add_row([
            row.kind.to_owned(),
            shape,
            row.weights,
            row.formats,
            row.flash.to_string(),
            row.state.to_string(),
        ]);
    }
    println!("{table}");
    println!("flash {flash} bytes, state {} bytes, saved state {} bytes", model.state_bytes(), model.saved_bytes());
    for (what, text) in [("inputs", header.features), ("outputs", header.labels)] {
        if !text.is_empty() {
            println!("{what}: {}", text.lines().collect::<Vec<_>>().join(", "));
        }
    }
    Ok(())
}

fn as_json(model: &Model, flash: usize) -> Value {
    let header = model.header();
    let layers = rows(model).into_iter().map(|r| {
        json!({
            "kind": r.kind, "inputs": r.inputs, "outputs": r.outputs, "weights": r.weights, "formats": r.formats,
            "flash_bytes": r.flash, "state_bytes": r.state,
        })
    });
    json!({
        "name": header.name,
        "provenance": header.provenance,
        "format_version": FORMAT_VERSION,
        "crc32": format!("{:08x}", model.id()),
        "inputs": model.inputs(),
        "outputs": model.outputs(),
        "features": header.features.lines().collect::<Vec<_>>(),
        "labels": header.labels.lines().collect::<Vec<_>>(),
        "flash_bytes": flash,
        "state_bytes": model.state_bytes(),
        "saved_bytes": model.saved_bytes(),
        "layers": layers.collect::<Vec<_>>(),
    })
}
