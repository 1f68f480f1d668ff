//! ONNX models against ONNX Runtime, what is refused and with which words, and damaged files.

use cellstate_convert::data;
use cellstate_convert::import;
use cellstate_reference::{Evaluator, Network};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/onnx")
}

/// Every model of the folder: `tools/train/onnx_models.py` and `onnx_keras.py` make them.
fn fixtures() -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path());
    let mut models: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    models.sort();
    models
}

/// The rows that each head yields over a sequence.
fn rows(network: &Network, sequence: &[f64]) -> Vec<Vec<Vec<f64>>> {
    let mut eval = Evaluator::new(network);
    let mut rows = vec![Vec::new(); network.heads.len()];
    for sample in sequence.chunks_exact(network.inputs()) {
        eval.step(sample);
        for (rows, head) in rows.iter_mut().zip(&network.heads) {
            rows.extend(eval.traces(head.node).iter().map(|t| t.output.clone()));
        }
    }
    rows
}

/// The largest difference between a network and what ONNX Runtime computed.
fn worst(network: &Network, golden: &Path) -> f64 {
    let x = data::read_array(golden, "x").unwrap();
    let [sequences, steps, features] = x.shape[..] else { panic!("{:?}", x.shape) };
    assert_eq!(features, network.inputs(), "{golden:?}");
    let mut worst = 0.0f64;
    for (k, sequence) in x.data.chunks_exact(steps * features).enumerate() {
        for (head, mut got) in rows(network, sequence).into_iter().enumerate() {
            let y = data::read_array(golden, &format!("y{head}")).unwrap();
            let [count, due, width] = y.shape[..] else { panic!("{:?}", y.shape) };
            assert_eq!(count, sequences);
            // A streaming network answers at each step what would be the last of the sequence.
            if due == 1 {
                got.drain(..got.len() - 1);
            }
            assert_eq!(got.len(), due, "{golden:?}: rows");
            for (row, expected) in got.iter().zip(y.data[k * due * width..].chunks_exact(width)) {
                assert_eq!(row.len(), width, "{golden:?}: values");
                worst = row.iter().zip(expected).fold(worst, |w, (a, b)| w.max((a - b).abs()));
            }
        }
    }
    let more = data::read_array(golden, &format!("y{}", network.heads.len()));
    assert!(more.is_err(), "{golden:?}: an output is missing");
    worst
}

#[test]
fn every_model_equals_onnx_runtime() {
    let fixtures = fixtures();
    let count = fixtures.len();
    let mut failed = Vec::new();
    for model in fixtures {
        let name = model.file_stem().unwrap().to_string_lossy().into_owned();
        match import::load(&model, None) {
            Ok(network) => {
                let error = worst(&network, &model.with_extension("npz"));
                let layers: Vec<String> = network.nodes.iter().map(|n| format!("{:?}", n.layer)).collect();
                let kinds: Vec<&str> = layers.iter().map(|l| l.split([' ', '(']).next().unwrap()).collect();
                println!("{name}: {error:.1e} {kinds:?} window {:?}", network.window);
                if error.is_nan() || error > 1e-5 {
                    failed.push(format!("{name}: {error}"));
                }
            }
            Err(e) => failed.push(e.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(count, 59, "run the scripts in tools/train");
}
