//! `cellstate selftest` on every emulated board: the committed blobs pass, and a forged checksum does not.

use crate::firmware;
use anyhow::{Context, Result, ensure};
use cellstate::model::checksum;
use cellstate::model::header::PREFIX_BYTES;
use cellstate_convert::board::cores::BOARDS;
use std::path::Path;
use std::process::Command;

const BLOBS: [&str; 2] = ["tests/models/watch/watch.cell", "tests/models/digits/digits.cell"];
/// What the command exits with if the bits are others.
const MISMATCH: i32 = 1;

/// Builds the firmware and runs the command as a user would.
pub(crate) fn boards() -> Result<()> {
    firmware::boards(None)?;
    for (board, _) in BOARDS {
        for blob in BLOBS {
            ensure!(exit_code(board, Path::new(blob))? == 0, "{blob} does not pass on {board}");
        }
    }
    let folder = tempfile::tempdir()?;
    let forged = folder.path().join("forged.cell");
    std::fs::write(&forged, with_another_checksum(std::fs::read(BLOBS[0])?)?)?;
    let (board, _) = BOARDS[0];
    ensure!(exit_code(board, &forged)? == MISMATCH, "a forged checksum passes on {board}");
    Ok(())
}

fn exit_code(board: &str, blob: &Path) -> Result<i32> {
    let mut cellstate = Command::new("cargo");
    cellstate.args(["run", "--quiet", "--package", "cellstate-convert", "--bin", "cellstate", "--", "selftest"]);
    let status = cellstate.arg(blob).args(["--board", board]).status()?;
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
