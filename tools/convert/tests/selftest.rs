//! `cellstate selftest`: on this host, and with scripts in the emulator's place. `cargo xtask test` runs the real one.
#![cfg(unix)]

use cellstate::model::checksum;
use cellstate::model::header::PREFIX_BYTES;
use cellstate_convert::board::cores::BOARDS;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn models(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

fn watch() -> PathBuf {
    models("watch/watch.cell")
}

fn cellstate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_cellstate"))
}

/// Exit code, and what was said on standard output and on standard error.
fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn selftest(arguments: &[&str], blob: &Path) -> (Option<i32>, String, String) {
    said(&cellstate().arg("selftest").arg(blob).args(arguments).output().unwrap())
}

/// A folder for `PATH` with a script as the emulator of Arm cores, and a file as the firmware.
fn emulator(script: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("qemu-system-arm");
    std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(folder.path().join("firmware"), "").unwrap();
    folder
}

/// The command on a board whose emulator is in `folder`.
fn on_board(folder: &Path, blob: &Path) -> Command {
    let mut command = cellstate();
    command.env("PATH", format!("{}:/usr/bin:/bin", folder.display())).arg("selftest").arg(blob);
    command.args(["--board", "qemu-mps2-an386", "--firmware"]).arg(folder.join("firmware"));
    command
}

#[test]
fn committed_blobs_pass_on_the_host() {
    for (blob, steps) in [("watch/watch.cell", 16), ("digits/digits.cell", 16), ("motes/motes.cell", 16)] {
        let (code, out, _) = selftest(&[], &models(blob));
        assert_eq!(code, Some(0), "{out}");
        assert!(out.contains(&format!("passed on this host: {steps} steps, checksum ")), "{out}");
    }
}

#[test]
fn another_checksum_fails_with_exit_code_1() {
    let folder = tempfile::tempdir().unwrap();
    let mut blob = std::fs::read(watch()).unwrap();
    *blob.last_mut().unwrap() ^= 1;
    let (head, body) = blob.split_at_mut(PREFIX_BYTES);
    let (checked, crc) = head.split_at_mut(PREFIX_BYTES - 4);
    crc.copy_from_slice(&checksum([&*checked, &*body]).to_le_bytes());
    let forged = folder.path().join("forged.cell");
    std::fs::write(&forged, blob).unwrap();
    let (code, out, _) = selftest(&[], &forged);
    assert_eq!(code, Some(1));
    assert!(out.contains("FAILED on this host: 16 steps, checksum ") && out.contains(" instead of "), "{out}");
}

#[test]
fn vectors_are_as_many_as_asked_for_and_inspect_shows_them() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("watch.cell");
    let mut sizes = Vec::new();
    for steps in ["0", "1", "40"] {
        let mut convert = cellstate();
        convert.arg("convert").arg(models("watch/watch.safetensors")).arg("--map").arg(models("watch/model.toml"));
        convert.args(["--raw", "--self-test", steps, "--calibrate"]).arg(models("watch/calibration.npz"));
        let (code, said, error) = said(&convert.arg("-o").arg(&out).output().unwrap());
        assert_eq!(code, Some(0), "{error}");
        let bytes = std::fs::metadata(&out).unwrap().len();
        assert!(said.contains(&format!("{bytes} bytes of flash")), "{said}");
        let inspect = cellstate().arg("inspect").arg(&out).arg("--json").output().unwrap();
        let inspect: serde_json::Value = serde_json::from_slice(&inspect.stdout).unwrap();
        assert_eq!(inspect["self_test_steps"].to_string(), steps);
        assert_eq!(inspect["flash_bytes"], bytes);
        sizes.push(bytes);
        let (code, _, error) = selftest(&[], &out);
        if steps == "0" {
            assert_eq!(code, Some(2));
            assert!(error.contains("watch.cell: the blob has no test vectors; convert the model again"), "{error}");
        } else {
            assert_eq!(code, Some(0));
        }
    }
    // Four words a sample of six values, and one for the checksum; of a header's padding up to three bytes.
    assert!(sizes[1] - sizes[0] <= 24 && sizes[2] - sizes[1] == 39 * 16, "{sizes:?}");
}

#[test]
fn the_board_s_checksum_decides() {
    let (_, out, _) = selftest(&[], &watch());
    let right = out.trim().rsplit(' ').next().unwrap();
    for (checksum, code, verdict) in [(right, 0, "passed"), ("00000000", 1, "FAILED")] {
        let folder = emulator(&format!("echo trial {checksum} 3200 100"));
        let (found, out, error) = said(&on_board(folder.path(), &watch()).output().unwrap());
        assert_eq!(found, Some(code), "{error}");
        assert!(out.contains(&format!("{verdict} on qemu-mps2-an386: 16 steps, checksum {checksum}")), "{out}");
        assert!(out.contains(", 1000 instructions in the longest step"), "{out}");
    }
}

#[test]
fn what_keeps_a_board_from_running_is_said() {
    for (script, cause, remedy) in [
        ("echo 'failed Load(Checksum)'; exit 1", "failed Load(Checksum)", "`cargo xtask firmware`"),
        ("echo trial", "the firmware failed: trial", "`cargo xtask firmware`"),
        ("true", "it ran no trial", "`cargo xtask firmware`"),
        ("echo unsupported machine >&2; exit 1", "unsupported machine", "`cargo xtask firmware`"),
    ] {
        let folder = emulator(script);
        let (code, _, error) = said(&on_board(folder.path(), &watch()).output().unwrap());
        assert_eq!(code, Some(2), "{script}");
        assert!(error.contains("watch.cell: ") && error.contains(cause) && error.contains(remedy), "{error}");
    }
    let folder = emulator("true");
    let (code, _, error) = said(&on_board(folder.path(), &watch()).env("PATH", "/nowhere").output().unwrap());
    assert_eq!(code, Some(2));
    assert!(
        error.contains("qemu-system-arm: not found; install it, from the Debian package qemu-system-arm"),
        "{error}"
    );
    std::fs::remove_file(folder.path().join("firmware")).unwrap();
    let (code, _, error) = said(&on_board(folder.path(), &watch()).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains("firmware: no such file; `cargo xtask firmware` builds target/boards/"), "{error}");
    let (code, _, error) = said(
        &cellstate().current_dir(&folder).args(["selftest", "--board", "qemu-microbit"]).arg(watch()).output().unwrap(),
    );
    assert_eq!(code, Some(2));
    assert!(error.contains("run `cargo xtask firmware --board qemu-microbit`"), "{error}");
}

/// Waits for the number of a process that a script writes.
fn process(folder: &Path) -> String {
    let start = Instant::now();
    loop {
        match std::fs::read_to_string(folder.join("process")) {
            Ok(text) if text.ends_with('\n') => return text.trim().to_owned(),
            _ => assert!(start.elapsed() < Duration::from_secs(20), "the script does not run"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn is_alive(process: &str) -> bool {
    Command::new("kill").args(["-0", process]).output().unwrap().status.success()
}

#[test]
fn the_emulator_ends_with_the_command() {
    let folder = emulator("echo $$ > \"${0%/*}/process\"; exec sleep 600");
    let start = Instant::now();
    let (code, _, error) = said(&on_board(folder.path(), &watch()).args(["--timeout", "1"]).output().unwrap());
    assert_eq!(code, Some(2));
    assert!(error.contains("did not end within 1 s; give it more by --timeout"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(20) && !is_alive(&process(folder.path())));

    std::fs::remove_file(folder.path().join("process")).unwrap();
    let command = on_board(folder.path(), &watch()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let emulator = process(folder.path());
    assert!(is_alive(&emulator));
    assert!(Command::new("kill").arg(command.id().to_string()).status().unwrap().success());
    let (code, _, error) = said(&command.wait_with_output().unwrap());
    assert_eq!(code, Some(2), "{error}");
    assert!(error.contains("stopped") && !is_alive(&emulator), "{error}");
}

#[test]
fn every_board_is_documented() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    for (board, core) in BOARDS {
        assert!(text.contains(&format!("| `{board}` |")), "{board}");
        assert!(text.contains(&format!("`{}`", core.target)), "{board}");
    }
}
