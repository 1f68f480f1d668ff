//! `cellstate monitor` with boards in this process: every prediction is the host's own, and no break of the line loses a count.
#![cfg(unix)]

mod boards;

use boards::{BLOB, Fate, models, serve, watch};
use cellstate::{Session, State};
use cellstate_convert::data;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

/// The command, with a board in another thread.
fn monitor(fates: &[Fate], arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uart");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellstate"));
    command.args(["monitor", &format!("unix:{}", path.display())]);
    if !arguments.contains(&"--input") {
        command.args(["--input", &models("watch/later.npz")]);
    }
    let child =
        command.args(arguments).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn();
    let child = child.unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            serve(&listener, fates);
            // Nobody connects any more.
            drop((listener, folder));
        });
        child.wait_with_output().unwrap()
    })
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The objects of a run that did not fail, and what it said beside.
fn predictions(output: &Output) -> (Vec<Value>, String) {
    let errors = text(&output.stderr);
    assert!(output.status.success(), "{errors}");
    (text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect(), errors)
}

#[test]
fn predictions_are_the_hosts_own_bit_for_bit() {
    let steps = 400;
    let output = monitor(&[Fate::Whole], &["--steps", "400", "--json", "--model", &models("watch/watch.cell")]);
    let (lines, summary) = predictions(&output);
    assert_eq!(lines.len(), steps);
    let model = watch();
    let mut state = Box::new(State::<1024>::new());
    let mut session = Session::new(&model, &mut state).unwrap();
    let data = data::load(PathBuf::from(models("watch/later.npz")).as_path()).unwrap();
    let all = data.sequences.iter().enumerate().flat_map(|(s, sequence)| (0..sequence.len()).map(move |t| (s, t)));
    for (k, ((s, t), line)) in all.zip(&lines).enumerate() {
        if t == 0 {
            session.reset();
        }
        let counts: Vec<i16> = data.sequences[s].step(t).iter().map(|&v| v as i16).collect();
        let output = session.step_i16(&counts).unwrap();
        let mut scores = [0.0; 7];
        output.probabilities(&mut scores);
        let outputs: Vec<i32> = output.iter().collect();
        let label = model.label(output.argmax()).unwrap();
        assert_eq!((line["sample"].as_u64(), line["sequence"].as_u64()), (Some(k as u64), Some(s as u64)));
        assert_eq!((line["step"].as_u64(), line["argmax"].as_u64()), (Some(t as u64), Some(output.argmax() as u64)));
        assert_eq!(line["outputs"], serde_json::json!(outputs));
        assert_eq!((line["decision"].as_str(), line["new"].as_bool()), (Some(label), Some(true)));
        assert_eq!(line["scores"][label].as_f64().map(|score| score as f32), Some(scores[output.argmax()]));
        assert_eq!(line["digest"], format!("{:08x}", session.digest()));
        assert_eq!((&line["equal"], &line["unit"]), (&Value::Bool(true), &Value::from("ticks")));
    }
    for part in ["sent 400 ", "predicted 400 ", "equal to the host 400 of 400", "damaged 0 here, 0 there", "right "] {
        assert!(summary.contains(part), "{part}: {summary}");
    }
}

#[test]
fn json_has_the_documented_fields() {
    let documented =
        "sample sequence step decision argmax new outputs scores label digest unit step_cost latency equal";
    let (lines, _) = predictions(&monitor(&[Fate::Whole], &["--steps", "3", "--json", "--clock", "1000000"]));
    let fields: BTreeSet<&str> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, documented.split(' ').collect());
    // Without the blob there is nothing to compare with, and the integers have no scale.
    assert!(lines[0]["equal"].is_null() && lines[0]["scores"].is_null(), "{}", lines[0]);
    assert_eq!(lines[0]["unit"], "µs");
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap();
    let section = text.split("## `cellstate monitor`").nth(1).unwrap();
    for field in fields {
        assert!(section.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn a_rate_is_kept_and_a_line_comes_every_second() {
    let begun = Instant::now();
    let output = monitor(&[Fate::Whole], &["--steps", "500", "--rate", "200"]);
    assert!(output.status.success() && begun.elapsed() >= Duration::from_millis(2450), "{output:?}");
    let lines = text(&output.stdout);
    let lines: Vec<&str> = lines.lines().collect();
    assert!(lines.len() >= 3, "{lines:?}");
    let rate = |line: &str| line.split("sent ").nth(1)?.split(['(', '/']).nth(1)?.parse::<f64>().ok();
    for line in &lines {
        let rate = rate(line).unwrap();
        assert!((60.0..=260.0).contains(&rate), "{line}");
    }
    assert!(lines[lines.len() - 1].contains("sent 500 ") && lines[lines.len() - 1].contains("predicted 500 "));
}

#[test]
fn the_data_begin_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.csv");
    std::fs::write(&path, "a,b,c,d,e,f\n1,2,3,4,5,6\n6,5,4,3,2,1\n").unwrap();
    let input = path.display().to_string();
    let (lines, _) = predictions(&monitor(&[Fate::Whole], &["--input", &input, "--json"]));
    assert_eq!(lines.len(), 2);
    let (lines, _) = predictions(&monitor(&[Fate::Whole], &["--input", &input, "--json", "--loop", "--steps", "7"]));
    assert_eq!(lines.len(), 7);
    // Each time as a new sequence.
    assert!(lines[2..].iter().zip(&lines).all(|(later, line)| later["digest"] == line["digest"]), "{lines:?}");
}

#[test]
fn a_line_that_breaks_loses_no_count() {
    let arguments = ["--steps", "600", "--json", "--model", &models("watch/watch.cell")];
    let (lines, errors) = predictions(&monitor(&[Fate::Breaks(200), Fate::Breaks(150), Fate::Whole], &arguments));
    assert!(errors.matches("note: the port failed").count() == 2, "{errors}");
    assert!(errors.contains("connected again; the state went on"), "{errors}");
    let samples: Vec<u64> = lines.iter().map(|line| line["sample"].as_u64().unwrap()).collect();
    assert!(samples.windows(2).all(|pair| pair[0] < pair[1]) && samples.last() == Some(&599), "{samples:?}");
    // What the board answered into the broken line was stepped once, and the host stepped it too.
    let unheard = 600 - samples.len();
    assert!((1..=16).contains(&unheard) && errors.contains(&format!("unheard {unheard}")), "{unheard} {errors}");
    assert!(lines.iter().all(|line| line["equal"] == true), "{errors}");
    assert!(
        errors.contains(&format!("predicted {} ", samples.len())) && errors.contains("breaks 2, restarts 0"),
        "{errors}"
    );
}

#[test]
fn a_board_that_restarts_begins_with_its_initial_state() {
    let arguments = ["--steps", "600", "--json", "--model", &models("watch/watch.cell")];
    for fates in [&[Fate::Breaks(200), Fate::Anew, Fate::Whole][..], &[Fate::Restarts(200)]] {
        let (lines, errors) = predictions(&monitor(fates, &arguments));
        let samples: Vec<u64> = lines.iter().map(|line| line["sample"].as_u64().unwrap()).collect();
        assert_eq!(samples, (0..600).collect::<Vec<_>>(), "{errors}");
        assert!(errors.contains("the board has restarted") && errors.contains("breaks 1, restarts 1"), "{errors}");
        assert!(lines.iter().all(|line| line["equal"] == true), "{errors}");
    }
}

#[test]
fn what_the_line_does_to_frames_is_counted() {
    let arguments = ["--steps", "500", "--model", &models("watch/watch.cell")];
    let output = monitor(&[Fate::Noisy], &arguments);
    let lines = text(&output.stdout);
    let last = lines.lines().last().unwrap();
    assert!(output.status.success() && last.contains("equal to the host 500 of 500"), "{last}");
    assert!(!last.contains("again 0,") && !last.contains("damaged 0 here") && !last.contains(", 0 there"), "{last}");
}

fn fails(output: &Output, parts: &[&str]) {
    let errors = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    let error = errors.lines().last().unwrap();
    assert!(error.starts_with("error: ") && parts.iter().all(|part| error.contains(part)), "{error}");
}

#[test]
fn what_is_wrong_is_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let narrow = file("narrow.csv", "a,b\n1,2\n");
    fails(&monitor(&[Fate::Whole], &["--input", &narrow]), &["unix:", "the samples have 2 features", "takes 6; give"]);
    let other = models("motes/motes.cell");
    fails(&monitor(&[Fate::Whole], &["--model", &other]), &["the board has the model", "give the blob that is on"]);
    fails(&monitor(&[Fate::Later], &[]), &["version 2.0 of the protocol", "this program 1.0"]);
    let lost = ["--wait", "1", "--rate", "500"];
    fails(&monitor(&[Fate::Breaks(50)], &lost), &["unix:", "it was lost, and not back within 1 s"]);

    let without_board = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_cellstate")).arg("monitor").args(arguments).output().unwrap()
    };
    let data = models("watch/later.npz");
    fails(&without_board(&["/nowhere/tty", "--input", &data]), &["/nowhere/tty: ", "a port is a device", "here: "]);
    let uart = format!("unix:{}", folder.path().join("uart").display());
    fails(&without_board(&[&uart, "--input", &data]), &[&uart, "a port is a device"]);
    let halves = file("halves.csv", "a,b\n1,2\n1,0.5\n");
    fails(&without_board(&[&uart, "--input", &halves]), &["step 1, feature 1: 0.5", "raw sensor counts; give"]);
    let large = file("large.csv", "a\n40000\n");
    fails(&without_board(&[&uart, "--input", &large]), &["40000 is no whole number of 16 bits"]);
    let board = ["--board", "qemu-mps2-an386", "--input", &data, "--firmware", "/nowhere/elf"];
    fails(&without_board(&board), &["/nowhere/elf: no such file; `cargo xtask firmware --serve` builds"]);
    let used = without_board(&["--input", &data]);
    assert!(!used.status.success() && text(&used.stderr).contains("PORT"), "{used:?}");
    let used = without_board(&[&uart, "--input", &data, "--rate", "0"]);
    assert!(!used.status.success() && text(&used.stderr).contains("a number above 0"), "{used:?}");
}

#[test]
fn nobody_answers() {
    fails(
        &monitor(&[Fate::Silent], &[]),
        &["unix:", "does not answer", "baud rate", "does its program serve the link"],
    );
}

#[test]
fn a_serial_port_is_used_by_one_program() {
    let (board, name) = boards::pseudo_terminal();
    let taken = cellstate_link::port::open(&name, 115_200).unwrap();
    let run = |steps: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellstate"));
        command.args(["monitor", &name, "--input", &models("watch/later.npz"), "--steps", steps]);
        command.args(["--model", &models("watch/watch.cell")]).stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped()).spawn().unwrap()
    };
    fails(&run("1").wait_with_output().unwrap(), &[&name, "another program has it open; end that program"]);
    drop(taken);
    let mut child = run("100");
    boards::serve_serial(board, &mut child);
    let output = child.wait_with_output().unwrap();
    assert!(text(&output.stdout).contains("equal to the host 100 of 100"), "{output:?}");
}

#[test]
fn the_model_in_the_tests_is_the_one_on_disk() {
    assert_eq!(std::fs::read(models("watch/watch.cell")).unwrap(), BLOB.0);
}
