//! Which inputs of a model come at the same times.
//!
//! Keras does not say. Inputs whose sequences meet step by step do, in a sum or in a join. Those of which attention looks one up
//! from the other have steps of their own, and so have those of different lengths of which only the last steps meet.

use super::attention;
use super::config::{Entry, Model, Tensor};
use super::flow::Steps;
use super::graph::calls;
use std::collections::HashMap;

/// The stream of each input, in their order; `steps` are those of the inputs.
pub(super) fn streams(model: &Model, steps: &[Steps]) -> Vec<usize> {
    let Some(ends) = &model.ends else { return vec![0; steps.len()] };
    let (mut meet, mut step) = (Sets::default(), Sets::default());
    for (k, n, call) in calls(model, &ends.outputs) {
        let entry = &model.layers[k];
        let Ok(call) = call else { continue };
        let looks_up = attention::CLASSES.contains(&entry.class);
        let own = Tensor { layer: entry.name, call: n, output: 0 };
        for input in call.inputs.iter().take(if looks_up { 1 } else { usize::MAX }) {
            // States are of the same layer as its outputs, and each is a single step.
            let output = Tensor { output: 0, ..*input };
            meet.unite(own, output);
            if !yields_one(entry) && input.output == 0 {
                step.unite(own, output);
            }
        }
    }
    let mut out: Vec<usize> = Vec::new();
    let mut count = 0;
    for (k, input) in ends.inputs.iter().enumerate() {
        let mut same = |j: &usize| {
            let other = &ends.inputs[*j];
            step.root(*input) == step.root(*other) || (steps[k] == steps[*j] && meet.root(*input) == meet.root(*other))
        };
        let found = (0..k).find(&mut same).map(|j| out[j]);
        count += usize::from(found.is_none());
        out.push(found.unwrap_or(count - 1));
    }
    out
}

/// Whether a layer yields a single step of a sequence.
fn yields_one(entry: &Entry) -> bool {
    let cell = if entry.class == "Bidirectional" { Entry::read(&entry.config["layer"]) } else { *entry };
    match cell.class {
        "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "CuDNNLSTM" | "CuDNNGRU" => !cell.flag("return_sequences"),
        "Flatten" | "GlobalAveragePooling1D" => true,
        _ => false,
    }
}

/// Sets of tensors.
#[derive(Default)]
struct Sets<'v>(HashMap<Tensor<'v>, Tensor<'v>>);

impl<'v> Sets<'v> {
    fn root(&mut self, tensor: Tensor<'v>) -> Tensor<'v> {
        let mut root = tensor;
        while let Some(&up) = self.0.get(&root) {
            root = up;
        }
        // The way is short the next time.
        let mut at = tensor;
        while at != root {
            at = self.0.insert(at, root).unwrap_or(root);
        }
        root
    }

    fn unite(&mut self, a: Tensor<'v>, b: Tensor<'v>) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.0.insert(a, b);
        }
    }
}
