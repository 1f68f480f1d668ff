//! Keras models in every layout that is imported, against Keras's own outputs; what is refused; and damaged files.
//!
//! The networks are those of tests/models/keras: see the README there.

use cellstate_convert::data::{self, npy::Array};
use cellstate_convert::import::{self, Options};
use cellstate_reference::{Evaluator, Network};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/keras")
}

/// The networks, each of which both versions of Keras have built.
const NETWORKS: [&str; 14] = [
    "branches", "cells", "column", "flat", "masked", "nested", "norms", "pair", "stateful", "stream", "unknown",
    "whole", "words", "wrapped",
];

/// Every model file with the name of its outputs, its configuration if that is a file of its own, and its window.
fn fixtures() -> Vec<(String, String, Option<PathBuf>, Option<usize>)> {
    let mut out = Vec::new();
    for version in [3, 2] {
        for name in NETWORKS {
            let window = (name == "unknown").then_some(12);
            out.push((format!("{name}{version}.keras"), format!("{name}{version}"), None, window));
        }
    }
    for name in ["norms3", "nested3", "branches2", "nested2"] {
        out.push((format!("{name}.h5"), name.to_owned(), None, None));
    }
    for (file, name) in [("whole3.weights.h5", "whole3"), ("whole2.weights.h5", "whole2"), ("wrapped2.h5", "wrapped2")]
    {
        out.push((file.to_owned(), name.to_owned(), Some(folder().join(format!("{name}.json"))), None));
    }
    out
}

/// The largest difference between the framework's values of an output and the network's.
///
/// Of three dimensions they are of every step that has an output, of two of the last one.
fn worst(network: &Network, x: &Array, y: &Array, head: usize) -> f64 {
    let node = network.heads[head].node;
    let (steps, features) = (x.shape[1], x.shape[2]);
    let width = *y.shape.last().unwrap();
    let mut worst = 0.0f64;
    let mut eval = Evaluator::new(network);
    let golden = y.data.chunks_exact(y.data.len() / x.shape[0]);
    for (sequence, golden) in x.data.chunks_exact(steps * features).zip(golden) {
        eval.reset();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for sample in sequence.chunks_exact(features) {
            eval.step(sample);
            rows.extend(eval.traces(node).iter().map(|t| t.output.clone()));
        }
        if y.shape.len() == 2 {
            rows.drain(..rows.len() - 1);
        }
        assert_eq!(rows.len() * width, golden.len(), "rows of output {head}");
        assert_eq!(rows[0].len(), width, "width of output {head}");
        worst = rows.iter().flatten().zip(golden).fold(worst, |w, (a, b)| w.max((a - b).abs()));
    }
    worst
}

#[test]
fn every_layout_equals_keras() {
    for (file, name, config, window) in fixtures() {
        let options = Options { config: config.as_deref(), window, ..Options::default() };
        let network = import::load(&folder().join(&file), options).unwrap_or_else(|e| panic!("{e}"));
        let golden = folder().join(format!("{name}.npz"));
        let x = data::read_array(&golden, "x").unwrap();
        let mut all = 0.0f64;
        for head in 0..network.heads.len() {
            let y = data::read_array(&golden, &format!("y{head}")).unwrap();
            let error = worst(&network, &x, &y, head);
            assert!(error <= 1e-5, "{file}, output {head}: {error:e}");
            all = all.max(error);
        }
        assert!(data::read_array(&golden, &format!("y{}", network.heads.len())).is_err(), "{file} lacks an output");
        println!("{file}: {} nodes, window {:?}, largest error {all:.1e}", network.nodes.len(), network.window);
    }
}
