//! Every golden network in integers: converted, loaded as a device would, and stepped beside the float reference.

use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::eval::Units;
use cellstate_convert::import::{Options, load};
use cellstate_convert::{convert, data};
use cellstate_reference::{Evaluator, Network};
use std::path::{Path, PathBuf};

/// The folders whose networks this runs: all that importers have.
const FOLDERS: [&str; 5] = ["keras", "onnx", "pytorch", "shapes", "tflite"];
/// What a model file ends in.
const KINDS: [&str; 9] = ["ckpt", "h5", "keras", "onnx", "pt", "pth", "safetensors", "tflite", "zip"];
/// What must hold of outputs, signal over noise in dB: two below the least that was measured, 31.2 and 59.4 (66.5 without
/// attention, whose scores are sharp in `keras/grouped3`). The networks are
/// small and random with large weights, so a w8 row has few columns to average its rounding over.
const LEAST: [(Weights, f64); 2] = [(Weights::W8, 29.2), (Weights::W16, 57.4)];

/// What no device runs, and why: the beginnings of names, and parts of the cause.
const REFUSED: [(&str, &str); 2] = [
    // Random initial states beyond 1, which no hidden state reaches by itself.
    ("", "beyond the 1"),
    // A feature among others is an index.
    ("onnx/pairs.onnx", "its index is computed"),
];

fn models(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(folder)
}

/// The model files of a folder.
fn files(folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(models(folder)).unwrap().map(|e| e.unwrap().path());
    let is_model = |p: &PathBuf| p.extension().is_some_and(|e| KINDS.iter().any(|k| e == *k));
    let mut files: Vec<PathBuf> = entries.filter(is_model).collect();
    files.sort();
    files
}

/// The samples that the framework was given: beside the model, or for the whole folder.
fn samples(model: &Path, network: &Network) -> data::Sequences {
    let folder = model.parent().unwrap();
    let own = [model.with_extension("npz")];
    let shared = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path());
    let shared: Vec<PathBuf> = shared.filter(|p| p.extension().is_some_and(|e| e == "npy")).collect();
    let fits = |p: &PathBuf| data::load(p).ok().filter(|d| d.features == network.inputs());
    // A table of vectors wants indices, and everything else does not.
    let table = |n: &cellstate_reference::Node| matches!(n.layer, cellstate_reference::Layer::Embedding(_));
    let indexed = network.inputs() == 1 && network.nodes.iter().any(table);
    let whole = |d: &data::Sequences| {
        !indexed || d.sequences.iter().flat_map(data::Sequence::steps).flatten().all(|v| v.fract() == 0.0)
    };
    own.iter()
        .chain(&shared)
        .filter_map(fits)
        .find(whole)
        .unwrap_or_else(|| panic!("{}: no data of {} features", model.display(), network.inputs()))
}

/// Signal and noise of all outputs over all steps that bring one, and how many there were.
fn compare(model: &Model, network: &Network, data: &data::Sequences) -> (f64, f64, u32) {
    let mut state = Box::new(State::<{ 1 << 18 }>::new());
    let mut session = Session::new(model, &mut state).unwrap();
    let mut float = Evaluator::new(network);
    let (mut signal, mut noise, mut count) = (0.0, 0.0, 0);
    for sequence in &data.sequences {
        session.reset();
        float.reset();
        for sample in sequence.steps() {
            let new = float.step(sample).1;
            let sample: Vec<f32> = sample.iter().map(|&v| v as f32).collect();
            let output = session.step_f32(&sample).unwrap();
            assert_eq!(output.is_new(), new);
            for head in (0..network.heads.len()).filter(|_| new) {
                let mut got = vec![0.0; float.output(head).len()];
                session.head(head).probabilities(&mut got);
                for (f, i) in float.output(head).iter().zip(got) {
                    signal += f * f;
                    noise += (f64::from(i) - f).powi(2);
                    count += 1;
                }
            }
        }
    }
    (signal, noise, count)
}

#[test]
fn every_golden_network_runs_in_integers() {
    let mut failures = Vec::new();
    let mut done = 0;
    for path in FOLDERS.iter().flat_map(|f| files(f)) {
        let map = Some(path.with_extension("toml")).filter(|m| m.exists());
        // Some files of these folders are there to be refused.
        let Ok(network) = load(&path, Options { map: map.as_deref(), ..Options::default() }) else { continue };
        // Their data are of another kind: `tests/memory.rs` and `tests/tasks.rs` run several streams.
        if network.streams.len() > 1 {
            continue;
        }
        let data = samples(&path, &network);
        let name = path.strip_prefix(models("")).unwrap().display().to_string();
        let mut line = format!("{name:40}");
        for (weights, least) in LEAST {
            let blob = match convert(&network, &data, Units::Model, weights, "test", 0, || ()) {
                Ok(converted) => converted.blob,
                // Its GRU begins beyond 1, which no trained one reaches by itself.
                Err(e) if REFUSED.iter().any(|(file, why)| name.starts_with(file) && e.cause.contains(why)) => continue,
                Err(e) => {
                    failures.push(format!("{name}: {e:?}"));
                    continue;
                }
            };
            let words: Vec<u32> = blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
            let model = match Model::parse(bytemuck::cast_slice(&words)) {
                Ok(model) => model,
                Err(e) => {
                    failures.push(format!("{name}: {e}"));
                    continue;
                }
            };
            let (signal, noise, count) = compare(&model, &network, &data);
            let snr = 10.0 * (signal / noise).log10();
            line = format!("{line} {} {snr:5.1} dB", weights.name());
            if count == 0 || snr < least {
                failures.push(format!("{name}: {} {snr:.1} dB of {count} values", weights.name()));
            }
        }
        println!("{line}");
        done += u32::from(line.contains("w16"));
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    println!("{done} networks");
    assert!(done >= 140, "{done} networks");
}
