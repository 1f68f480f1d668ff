//! `cargo xtask demo`: from trained weights to emulated boards, on real data.

use crate::{boards, packages};
use anyhow::{Context, Result};
use cellstate::Model;
use cellstate_convert::data;
use cellstate_convert::eval::{Score, Units, compare};
use cellstate_convert::import;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::path::Path;
use std::process::Command;

const MODEL: &str = "tests/models/watch";

/// Converts, streams and prints the tables. Without boards it is the host alone.
pub(crate) fn run(boards: &[&'static str]) -> Result<()> {
    println!("1. converting {MODEL}/watch.safetensors");
    std::fs::create_dir_all("target/demo")?;
    let mut cellstate = Command::new("cargo");
    cellstate.args([
        "run",
        "--quiet",
        "--release",
        "--package",
        "cellstate-convert",
        "--bin",
        "cellstate",
        "--",
        "convert",
    ]);
    cellstate.arg(format!("{MODEL}/watch.safetensors")).args(["--map", &format!("{MODEL}/model.toml"), "--raw"]);
    cellstate.args(["--calibrate", &format!("{MODEL}/calibration.npz")]);
    packages::run(cellstate.args(["-o", "target/demo/watch.cell", "--rust", "target/demo/watch.rs"]))?;
    let blob = std::fs::read("target/demo/watch.cell")?;
    let words = aligned(&blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;

    println!("2. streaming recordings of people whose earlier exercises it was trained on, on the host");
    let map = Path::new(MODEL).join("model.toml");
    let network = import::load(
        &Path::new(MODEL).join("watch.safetensors"),
        import::Options { map: Some(&map), ..Default::default() },
    )?;
    let excerpt = data::load(&Path::new(MODEL).join("later.npz"))?;
    let host =
        compare(&model, &network, &excerpt, Units::Counts, Score::Step, || ()).map_err(|e| anyhow::anyhow!(e))?;
    let all = host.all_hidden();

    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    let percent = |v: f64| format!("{:.2} %", v * 100.0);
    table.add_row(["float accuracy, every step".to_owned(), percent(host.accuracy_float().unwrap_or(0.0))]);
    table.add_row(["integer accuracy, host".to_owned(), percent(host.accuracy_int().unwrap_or(0.0))]);
    table.add_row(["hidden state SNR".to_owned(), format!("{:.1} dB", all.snr_db())]);
    table.add_row(["model, bytes of flash".to_owned(), blob.len().to_string()]);
    table.add_row(["state, bytes of RAM".to_owned(), model.state_bytes().to_string()]);
    println!("{table}");
    if boards.is_empty() {
        println!("host only: no board was compared");
        return Ok(());
    }
    boards::ensure_emulators(boards).context("no emulator; `cargo xtask demo --host` does without")?;
    println!("3. building the firmware, and streaming the same samples through {}", boards.join(", "));
    boards::stream(boards, Path::new("target/demo/watch.rs"), &model, &excerpt)
}

/// A copy of bytes that begins at a multiple of 4.
pub(crate) fn aligned(bytes: &[u8]) -> Vec<u32> {
    let word = |c: &[u8]| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)));
    bytes.chunks(4).map(word).collect()
}
