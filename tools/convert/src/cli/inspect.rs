//! `cellstate inspect`.

use super::{Done, files::Blob};
use cellstate::model::header::FORMAT_VERSION;
use cellstate_convert::inspect::{as_json, rows};
use clap::Args;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate inspect model.cell
  cellstate inspect model.cell --json

docs/cli.md has the fields of --json.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// One JSON object instead of a table.
    #[arg(long)]
    json: bool,
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
    match (header.tests, model.test_checksum()) {
        (steps, Some(checksum)) => {
            println!(
                "self-test of {steps} steps, {} bytes of the flash, checksum {checksum:08x}",
                header.test_words() * 4
            );
        }
        (_, None) => println!("no self-test"),
    }
    for (what, text) in [("inputs", header.features), ("outputs", header.labels)] {
        if !text.is_empty() {
            println!("{what}: {}", text.lines().collect::<Vec<_>>().join(", "));
        }
    }
    Ok(())
}
