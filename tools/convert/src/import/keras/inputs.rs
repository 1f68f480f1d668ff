//! The shape of the outermost model's input.

use super::builder::{Builder, WIDEST};
use super::config::{Entry, Model};
use super::flow::{Flow, Steps};
use super::streams::streams;
use crate::error::{Error, Result};

impl Builder<'_> {
    /// The outermost model's inputs, and the features of each stream: inputs of the same steps are one, joined in their order.
    pub(super) fn inputs(&mut self, model: &Model) -> Result<(Vec<Flow>, Vec<usize>)> {
        let mut shapes = Vec::new();
        for (entry, shape) in input_shapes(model) {
            let refuse = |cause: String, remedy: &str| Error::new(self.path, cause, remedy).in_layer(entry);
            let unknown = || refuse("the shape of its input is not known".to_owned(), "build the model, then save it");
            let shape = shape.ok_or_else(unknown)?;
            let one = shape.len() == 2 && takes_indices(model, entry);
            let (steps, width) = match shape[1..] {
                [steps] if one => (Steps::Every(steps), Some(1)),
                [width] => (Steps::One, width),
                [steps, width] => (Steps::Every(steps), width),
                _ => {
                    let cause = format!("its input has {} dimensions", shape.len());
                    return Err(refuse(cause, "give it the shape (steps, features)"));
                }
            };
            let width = width.filter(|w| (1..=WIDEST).contains(w)).ok_or_else(|| {
                let shown: Vec<String> = shape.iter().map(|d| d.map_or("None".to_owned(), |d| d.to_string())).collect();
                let cause = format!("its input of shape ({}) has no number of features up to 65535", shown.join(", "));
                refuse(cause, "give it the shape (steps, features)")
            })?;
            let steps = match (steps, self.window) {
                (Steps::Every(Some(known)), Some(given)) if known != given && known != 1 => {
                    let cause = format!("it takes windows of {known} steps, and --window says {given}");
                    return Err(refuse(cause, "leave out --window"));
                }
                (Steps::Every(steps), given) => Steps::Every(given.or(steps)),
                (Steps::One, _) => Steps::One,
            };
            shapes.push((entry, steps, width, one));
        }
        let steps: Vec<Steps> = shapes.iter().map(|s| s.1).collect();
        let of = streams(model, &steps);
        let mut features = vec![0usize; of.iter().max().map_or(0, |last| last + 1)];
        for (s, &stream) in shapes.iter().zip(&of) {
            features[stream] += s.2;
        }
        let mut flows: Vec<Flow> = Vec::new();
        for (&(entry, steps, width, one), &stream) in shapes.iter().zip(&of) {
            let before = || flows.iter().filter(|f| f.stream == stream);
            if before().any(|f| f.steps != steps) || features.iter().sum::<usize>() > WIDEST {
                let cause = "its inputs have different numbers of steps, or too many features";
                return Err(Error::new(self.path, cause, "give all inputs the same steps").in_layer(entry));
            }
            let first = before().map(|f| f.width).sum();
            let flow = Flow::input(stream, features[stream], first, width, steps);
            self.indices.extend(flow.from.first().filter(|_| one && width == features[stream]));
            flows.push(flow);
        }
        Ok((flows, features))
    }
}

/// Each input's layer and shape with the batch.
fn input_shapes<'v>(model: &Model<'v>) -> Vec<(&'v str, Option<Vec<Option<usize>>>)> {
    let Some(ends) = &model.ends else {
        return model.layers.first().map(|l| (l.name, model.input_shape())).into_iter().collect();
    };
    let shape = |name: &str| model.layers.iter().find(|l| l.name == name).and_then(Entry::input_shape);
    ends.inputs.iter().map(|t| (t.layer, shape(t.layer))).collect()
}

/// The steps of a window, if the model's input is that long and no longer.
pub(super) fn model_steps(model: &Model) -> Option<usize> {
    let shapes = input_shapes(model);
    let (name, shape) = shapes.first()?;
    match shape.as_deref()? {
        [_, steps, _] => *steps,
        [_, steps] if takes_indices(model, name) => *steps,
        _ => None,
    }
}

/// Whether an input of one dimension is a number a step: an Embedding takes it, or a Reshape to a column.
fn takes_indices(model: &Model, input: &str) -> bool {
    let takes = |e: &Entry| ["Embedding", "Reshape"].contains(&e.class);
    if model.ends.is_none() {
        return model.layers.iter().find(|e| e.class != "InputLayer").is_some_and(takes);
    }
    model
        .layers
        .iter()
        .filter(|e| takes(e))
        .any(|e| e.calls().iter().flatten().any(|c| c.inputs.iter().any(|t| t.layer == input)))
}
