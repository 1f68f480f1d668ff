//! `nn.Linear`, `nn.Embedding`, `nn.LayerNorm`, `nn.RMSNorm`, `nn.BatchNorm1d`, `nn.Conv1d`, and tables of positions.

use super::kind::Kind;
use super::tensors::Tensors;
use crate::error::Result;
use crate::import::map::Entry;
use cellstate_reference::{Activation, Dense, Layer, Matrix};

/// What PyTorch adds to a variance unless told otherwise.
const EPSILON: f64 = 1e-5;

/// What `nn.RMSNorm` adds: the difference of 1 and the next 32-bit float.
const RMS_EPSILON: f64 = f32::EPSILON as f64;

/// The most values of the matrix of a convolution in groups, which is larger than the tensor in the file.
const LARGEST: usize = 1 << 22;

/// The layers of a module with tensors and without state, first to last, and the features that it takes.
pub(super) fn layers(tensors: &Tensors, kind: Kind, entry: &Entry) -> Result<(Vec<Layer>, usize)> {
    let module = entry.name.as_str();
    let one = |layer: Layer| {
        let inputs = layer.inputs().unwrap_or(0);
        (vec![layer], inputs)
    };
    match kind {
        Kind::Embedding => {
            tensors.only(module, &["weight"])?;
            Ok(one(Layer::Embedding(tensors.matrix(module, "weight", [0, 0])?)))
        }
        Kind::LayerNorm => {
            tensors.only(module, &["weight", "bias"])?;
            let ([width], scale) = tensors.values(module, "weight", [0])?;
            let offset = tensors.vector(module, "bias", width, 0.0)?;
            Ok(one(Layer::LayerNorm {
                scale: scale.to_vec(),
                offset,
                epsilon: epsilon(tensors, entry, EPSILON)?,
                rms: false,
            }))
        }
        Kind::RmsNorm => {
            tensors.only(module, &["weight"])?;
            let ([width], scale) = tensors.values(module, "weight", [0])?;
            let epsilon = epsilon(tensors, entry, RMS_EPSILON)?;
            Ok(one(Layer::LayerNorm { scale: scale.to_vec(), offset: vec![0.0; width], epsilon, rms: true }))
        }
        Kind::Position if tensors.has(module, "weight") => {
            tensors.only(module, &["weight"])?;
            Ok(one(Layer::Position(tensors.matrix(module, "weight", [0, 0])?)))
        }
        Kind::Position => Ok(one(Layer::Position(tensors.table(module)?))),
        Kind::BatchNorm => Ok(one(batch_norm(tensors, entry)?)),
        Kind::Conv1d => conv(tensors, entry),
        _ => {
            tensors.only(module, &["weight", "bias"])?;
            let w = tensors.matrix(module, "weight", [0, 0])?;
            let b = tensors.vector(module, "bias", w.rows, 0.0)?;
            Ok(one(Layer::Dense(Dense { w, b, activation: Activation::Linear })))
        }
    }
}

fn epsilon(tensors: &Tensors, entry: &Entry, default: f64) -> Result<f64> {
    let epsilon = entry.epsilon.unwrap_or(default);
    if epsilon.is_finite() && epsilon >= 0.0 {
        return Ok(epsilon);
    }
    Err(tensors.refuse(&entry.name, format!("its epsilon is {epsilon}"), "give the eps that it was made with"))
}

/// With the statistics of the training, features by features: `(x - mean) / sqrt(variance + epsilon) weight + bias`.
fn batch_norm(tensors: &Tensors, entry: &Entry) -> Result<Layer> {
    let module = entry.name.as_str();
    tensors.only(module, &["weight", "bias", "running_mean", "running_var", "num_batches_tracked"])?;
    let ([width], mean) = tensors.values(module, "running_mean", [0])?;
    let (_, variance) = tensors.values(module, "running_var", [width])?;
    let weight = tensors.vector(module, "weight", width, 1.0)?;
    let bias = tensors.vector(module, "bias", width, 0.0)?;
    let epsilon = epsilon(tensors, entry, EPSILON)?;
    let scale: Vec<f64> = weight.iter().zip(variance).map(|(w, v)| w / (v + epsilon).sqrt()).collect();
    let offset = bias.iter().zip(mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
    Ok(Layer::Affine { scale, offset })
}

/// A window over time and a dense layer. `weight` is (outputs, inputs of a group, taps); tap 0 meets the oldest step, and the
/// window joins its steps with the oldest first: column `tap * inputs + input`.
fn conv(tensors: &Tensors, entry: &Entry) -> Result<(Vec<Layer>, usize)> {
    let module = entry.name.as_str();
    tensors.only(module, &["weight", "bias"])?;
    let ([outputs, part, taps], weight) = tensors.values(module, "weight", [0; 3])?;
    let b = tensors.vector(module, "bias", outputs, 0.0)?;
    let [stride, dilation, groups] = [entry.stride, entry.dilation, entry.groups].map(|n| n.unwrap_or(1));
    let refuse = |cause: String, remedy: &str| Err(tensors.refuse(module, cause, remedy));
    if stride == 0 || dilation == 0 || groups == 0 || !outputs.is_multiple_of(groups) {
        let cause = format!("it has stride {stride}, dilation {dilation} and {groups} groups for {outputs} outputs");
        return refuse(cause, "give what it was made with");
    }
    let size = part.checked_mul(groups).and_then(|n| n.checked_mul(taps)?.checked_mul(outputs));
    if groups > 1 && size.is_none_or(|n| n > LARGEST) {
        return refuse(
            format!("{groups} groups of {part} inputs are too many"),
            "give the groups that it was made with",
        );
    }
    let inputs = part * groups;
    let causal = match (entry.padding.as_deref(), taps) {
        (Some("causal"), _) => true,
        (Some("valid"), _) | (None, 1) => false,
        (other, _) => {
            let cause = other.map_or_else(
                || "the file does not tell its padding".to_owned(),
                |name| format!("its padding is \"{name}\""),
            );
            return refuse(
                cause,
                "say padding = \"valid\" (PyTorch's padding=0) or \"causal\" ((taps - 1) dilation zeros before the first step \
                 and none after the last) in its [[layer]] of model.toml; other paddings look ahead",
            );
        }
    };
    let w = Matrix::from_fn(outputs, taps * inputs, |row, col| {
        let (tap, input) = (col / inputs, col % inputs);
        let group = row / (outputs / groups);
        if input / part == group { weight[(row * part + input % part) * taps + tap] } else { 0.0 }
    });
    let mut layers = vec![Layer::Dense(Dense { w, b, activation: Activation::Linear })];
    if taps > 1 || stride > 1 {
        layers.insert(0, Layer::Window { taps, dilation, stride, causal });
    }
    Ok((layers, inputs))
}
