//! `cellstate selftest` on every emulated board: committed and converted blobs pass, and a forged checksum does not.

use crate::{firmware, packages};
use anyhow::{Context, Result, ensure};
use cellstate::model::checksum;
use cellstate::model::header::PREFIX_BYTES;
use cellstate_convert::board::cores::BOARDS;
use std::path::{Path, PathBuf};
use std::process::Command;

const BLOBS: [&str; 2] = ["tests/models/watch/watch.cell", "tests/models/digits/digits.cell"];
/// Models with several inputs or working memory, which are converted here: folder, weights, and whether it is too large for the
/// emulated micro:bit.
const CONVERTED: [(&str, &[&str], bool); 3] = [
    ("rates", &["rates.safetensors", "--map", "model.toml", "--raw"], false),
    ("dates", &["dates.keras", "--map", "model.toml", "--self-test", "70"], true),
    ("events", &["events3.safetensors", "--map", "events3.toml", "--self-test", "70"], true),
];
const SMALL: &str = "qemu-microbit";
/// What the command exits with if the bits are others.
const MISMATCH: i32 = 1;

/// Builds the firmware and runs the command as a user would.
pub(crate) fn boards() -> Result<()> {
    firmware::boards(None)?;
    let folder = tempfile::tempdir()?;
    let mut blobs: Vec<(PathBuf, bool)> = BLOBS.map(|blob| (blob.into(), false)).to_vec();
    for (model, arguments, large) in CONVERTED {
        let blob = folder.path().join(model).with_extension("cell");
        let mut convert = cellstate();
        convert.current_dir(Path::new("tests/models").join(model)).arg("convert").args(arguments);
        packages::run(convert.args(["--calibrate", "calibration.npz", "-o"]).arg(&blob))?;
        blobs.push((blob, large));
    }
    for (board, _) in BOARDS {
        for (blob, _) in blobs.iter().filter(|(_, large)| !large || board != SMALL) {
            ensure!(exit_code(board, blob)? == 0, "{} does not pass on {board}", blob.display());
        }
    }
    let forged = folder.path().join("forged.cell");
    std::fs::write(&forged, with_another_checksum(std::fs::read(BLOBS[0])?)?)?;
    let (board, _) = BOARDS[0];
    ensure!(exit_code(board, &forged)? == MISMATCH, "a forged checksum passes on {board}");
    Ok(())
}

/// The tool as a user runs it, optimized as the tests have it.
fn cellstate() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--profile", "test", "--package", "cellstate-convert", "--bin", "cellstate", "--"]);
    cargo
}

fn exit_code(board: &str, blob: &Path) -> Result<i32> {
    let status = cellstate().arg("selftest").arg(blob).args(["--board", board]).status()?;
    status.code().context("cellstate was ended by a signal")
}

/// Another last word, which is the self-test's checksum, under a right CRC-32.
fn with_another_checksum(mut blob: Vec<u8>) -> Result<Vec<u8>> {
    *blob.last_mut().context("an empty blob")? ^= 1;
    let (head, body) = blob.split_at_mut(PREFIX_BYTES);
    let (checked, crc) = head.split_at_mut(PREFIX_BYTES - 4);
    crc.copy_from_slice(&checksum([&*checked, &*body]).to_le_bytes());
    Ok(blob)
}
