//! The command line as `docs/cli.md` documents it: fields of its JSON, help, completions, and the tables of `convert`.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

fn models(file: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file).display().to_string()
}

fn cellstate(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_cellstate")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&cellstate(arguments)).unwrap()
}

/// An object's fields with their types, one a word.
fn fields(value: &Value) -> BTreeSet<String> {
    let kind = |v: &Value| match v {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    value.as_object().unwrap().iter().map(|(k, v)| format!("{k}:{}", kind(v))).collect()
}

fn documentation() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md")).unwrap()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

const SUBCOMMANDS: [&str; 13] = [
    "convert",
    "inspect",
    "eval",
    "run",
    "generate",
    "trace",
    "selftest",
    "monitor",
    "keygen",
    "sign",
    "check",
    "update",
    "completions",
];

#[test]
fn inspect_has_the_documented_fields() {
    let inspect = json(&["inspect", &models("watch/watch.cell"), "--json"]);
    let documented = "name:string provenance:string format_version:number crc32:string inputs:number outputs:number \
                      features:array labels:array flash_bytes:number state_bytes:number saved_bytes:number self_test_steps:number \
                      self_test_bytes:number layers:array";
    assert_eq!(fields(&inspect), words(documented));
    let layer = "kind:string inputs:number outputs:number weights:string formats:string flash_bytes:number \
                 state_bytes:number";
    for l in inspect["layers"].as_array().unwrap() {
        assert_eq!(fields(l), words(layer));
    }
    assert_eq!(inspect["labels"][0], "PEN");
    assert_eq!(inspect["crc32"].as_str().unwrap().len(), 8);
}

#[test]
fn eval_has_the_documented_fields() {
    let (blob, model, map) =
        (models("watch/watch.cell"), models("watch/watch.safetensors"), models("watch/model.toml"));
    let data = models("watch/calibration.npz");
    let eval = json(&["eval", &blob, "--reference", &model, "--map", &map, "--data", &data, "--raw", "--json"]);
    let documented = "accuracy_float:number accuracy_int:number snr_db:number rms_error:number max_abs_error:number \
                      saturations:number saturated_inputs:number saturated_cells:number steps:number layers:array";
    assert_eq!(fields(&eval), words(documented));
    let layers = eval["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    assert_eq!(fields(&layers[0]), words("layer:string snr_db:number rms_error:number max_abs_error:number"));
    assert_eq!(layers[0]["layer"], "lstm");
    let text = documentation();
    for field in eval.as_object().unwrap().keys() {
        assert!(text.contains(&format!("`{field}`")), "{field}");
    }
    for field in layers[0].as_object().unwrap().keys() {
        assert!(text.contains(&format!("`layers[].{field}`")), "{field}");
    }
}

#[test]
fn trace_has_the_documented_fields() {
    let trace = json(&["trace", &models("watch/watch.cell"), "--input", &models("watch/later.npz"), "--raw", "--json"]);
    assert_eq!(fields(&trace), words("streams:array decisions:array outputs:object layers:array"));
    let text = documentation();
    for field in trace.as_object().unwrap().keys() {
        assert!(text.contains(&format!("`{field}`")), "{field}");
    }
    let layer = &trace["layers"][0];
    assert_eq!(fields(layer), words("layer:string maps:array"));
    assert_eq!(fields(&layer["maps"][0]), words("title:string rows:array values:array limit:number"));
    assert_eq!(fields(&trace["outputs"]), fields(&layer["maps"][0]));
    for field in ["layer", "maps", "maps[].title", "maps[].rows", "maps[].values", "maps[].limit"] {
        assert!(text.contains(&format!("`layers[].{field}`")), "{field}");
    }
}

#[test]
fn every_field_of_inspect_is_documented() {
    let text = documentation();
    let inspect = json(&["inspect", &models("watch/watch.cell"), "--json"]);
    for field in inspect.as_object().unwrap().keys() {
        assert!(text.contains(&format!("`{field}`")), "{field}");
    }
    for field in inspect["layers"][0].as_object().unwrap().keys() {
        assert!(text.contains(&format!("`layers[].{field}`")), "{field}");
    }
}

#[test]
fn check_has_the_documented_fields() {
    let folder = tempfile::tempdir().unwrap();
    let update = folder.path().join("lane.cellu").display().to_string();
    cellstate(&["update", &models("lane/lane.cell"), "--unsigned", "--version", "1", "-o", &update]);
    let check = json(&["check", &update, "--json"]);
    let documented = "version:number bytes:number signed:bool verified:bool sha512:string name:string provenance:string \
                      crc32:string inputs:number outputs:number flash_bytes:number state_bytes:number self_test_steps:number";
    assert_eq!(fields(&check), words(documented));
    let text = documentation();
    let section = text.split("## `cellstate check`").nth(1).unwrap().split("\n## ").next().unwrap();
    for field in check.as_object().unwrap().keys() {
        assert!(section.contains(&format!("`{field}`")), "{field}");
    }
}

#[test]
fn without_labels_the_accuracy_is_null() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("d.csv");
    std::fs::write(&data, "a,b,c,d,e,f\n1,2,3,4,5,6\n6,5,4,3,2,1\n").unwrap();
    let (blob, model, map) =
        (models("watch/watch.cell"), models("watch/watch.safetensors"), models("watch/model.toml"));
    let data = data.display().to_string();
    let eval = json(&["eval", &blob, "--reference", &model, "--map", &map, "--data", &data, "--raw", "--json"]);
    assert!(eval["accuracy_float"].is_null() && eval["accuracy_int"].is_null(), "{eval}");
    assert_eq!(eval["steps"], 2);
}

#[test]
fn every_subcommand_has_examples() {
    for subcommand in SUBCOMMANDS {
        let help = cellstate(&[subcommand, "--help"]);
        assert!(help.contains(&format!("Examples:\n  cellstate {subcommand} ")), "{help}");
    }
}

#[test]
fn completions_name_every_subcommand() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = cellstate(&["completions", shell]);
        for subcommand in SUBCOMMANDS {
            assert!(script.contains(subcommand), "{shell} {subcommand}");
        }
        assert!(script.contains("evaluate"), "{shell}");
    }
}

#[test]
fn convert_says_what_the_model_loses_and_costs() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("watch.cell").display().to_string();
    let (model, map) = (models("watch/watch.safetensors"), models("watch/model.toml"));
    let calibration = models("watch/calibration.npz");
    let convert = ["convert", &model, "--map", &map, "--raw", "--calibrate", &calibration, "-o", &out];
    let said = cellstate(&convert);
    for words in [
        "calibration.npz, the calibration data",
        "accuracy, last step of each sequence",
        "float 100.00 %, integer 100.00 %",
        "hidden state SNR, lstm",
        "steps without a reset",
        "error RMS by tenths",
        "trend, second half",
        "does not grow with time",
        "saturated",
        "7,540 bytes",
        "316 bytes",
        "324 bytes",
        "Cortex-M0+ at 133 MHz, RP2040",
        "Cortex-M4 at 64 MHz, nRF52840",
        "RV32IMC at 160 MHz, ESP32-C3",
        "estimates",
        "micro:bit v2",
        "qemu-mps2-an386",
        "yes",
    ] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    let later = models("watch/later.npz");
    let said = cellstate(&[&convert[..], &["--evaluate", &later, "--per", "step"]].concat());
    assert!(said.contains("later.npz: ") && !said.contains("the calibration data"), "{said}");
    assert!(said.contains("accuracy, every step") && said.contains("float 97.4"), "{said}");
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (out, page) = (folder.path().join("watch.cell"), folder.path().join("watch.html"));
    let (model, map) = (models("watch/watch.safetensors"), models("watch/model.toml"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_cellstate"));
    command.args(["convert", &model, "--map", &map, "--raw", "--calibrate", &models("watch/calibration.npz")]);
    command.arg("-o").arg(&out).arg("--report").arg(&page);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
    assert!(out.exists() && page.exists());
}

#[test]
fn several_outputs_have_their_scores_and_counts_are_hinted_at() {
    let folder = tempfile::tempdir().unwrap();
    let [blob, lines] = ["motes.cell", "x.csv"].map(|name| folder.path().join(name).display().to_string());
    // Few samples: what matters here are the columns.
    let samples: Vec<String> = (0..40).map(|k| (400 + k % 7).to_string()).collect();
    std::fs::write(&lines, format!("temperature\n{}\n", samples.join("\n"))).unwrap();
    let convert = ["convert", &models("motes/motes.keras"), "--map", &models("motes/model.toml")];
    let convert = [&convert[..], &["--calibrate", &lines, "-o", &blob, "--self-test", "0"]].concat();
    let output = Command::new(env!("CARGO_BIN_EXE_cellstate")).args(&convert).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && errors.contains("give --raw"), "{errors}");
    let output = Command::new(env!("CARGO_BIN_EXE_cellstate")).args(&convert).arg("--raw").output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty());
    let scores = cellstate(&["run", &blob, "--input", &lines, "--raw", "--per", "step"]);
    assert_eq!(scores.lines().count(), 41);
    assert!(scores.lines().all(|line| line.split(',').count() == 5), "{scores}");
    assert!(scores.starts_with("sequence,step,decision,event,"), "{scores}");
}
