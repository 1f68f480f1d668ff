//! Model files to the intermediate representation. Gate orders and bias conventions of the frameworks end here.

mod keras;
mod map;
mod pytorch;

use crate::error::{Error, Result};
use cellstate::model::header::MAX_LAYERS;
use cellstate_reference::{Activation, Layer, Matrix, Network};
use map::Map;
use std::path::Path;

/// Reads a trained model by its extension: Keras 3 `.keras` or PyTorch `.safetensors`; `map` is a `model.toml`.
///
/// # Errors
/// A missing or damaged file, layers that are not supported or do not fit together, weights that are not finite, a map that
/// does not fit the model.
pub fn load(model: &Path, map: Option<&Path>) -> Result<Network> {
    let map = map.map(Map::load).transpose()?;
    let (name, layers) = match model.extension().and_then(|e| e.to_str()) {
        Some("keras") => {
            if let Some(map) = &map {
                map.without_layers()?;
            }
            keras::load(model)?
        }
        Some("safetensors") => pytorch::load(model, map.as_ref())?,
        _ => {
            return Err(Error::new(
                model,
                "unknown kind of model",
                "give a Keras .keras or a PyTorch .safetensors file",
            ));
        }
    };
    check(model, &layers)?;
    let mut network = Network {
        name,
        input: cellstate_reference::InputMap::identity(layers[0].inputs()),
        labels: Vec::new(),
        layers,
    };
    if let Some(map) = map {
        map.apply(&mut network)?;
    }
    Ok(network)
}

/// The chain's shapes and values.
fn check(model: &Path, layers: &[Layer]) -> Result<()> {
    let wrong =
        |layer: &Layer, cause: String, remedy: &str| Err(Error::new(model, cause, remedy).in_layer(layer.name()));
    if layers.is_empty() || layers.len() > MAX_LAYERS {
        let cause = format!("it has {} layers with weights", layers.len());
        return Err(Error::new(model, cause, format_args!("give a model with 1 to {MAX_LAYERS} of LSTM and Dense")));
    }
    let mut width = layers[0].inputs();
    for layer in layers {
        if layer.inputs() != width {
            let cause = format!("it takes {} values and the layer before it yields {width}", layer.inputs());
            return wrong(layer, cause, "put the layers in the order in which the model runs them");
        }
        width = layer.outputs();
        let sizes = [layer.inputs(), layer.outputs()];
        if sizes.iter().any(|&n| n == 0 || n > usize::from(u16::MAX)) {
            return wrong(layer, format!("its shape is {sizes:?}"), "give widths from 1 to 65535");
        }
        let (matrices, biases): (Vec<&Matrix>, &[f64]) = match layer {
            Layer::Lstm(l) => (vec![&l.w, &l.u], &l.b),
            Layer::Dense(d) => (vec![&d.w], &d.b),
        };
        if matrices.iter().flat_map(|m| &m.data).chain(biases).any(|v| !v.is_finite()) {
            return wrong(layer, "a weight is NaN or infinite".to_owned(), "train again: the training diverged");
        }
    }
    Ok(())
}

/// An activation by the name that frameworks and `model.toml` give it.
fn activation(name: &str) -> Option<Activation> {
    Some(match name {
        "linear" => Activation::Linear,
        "relu" => Activation::Relu,
        "sigmoid" => Activation::Sigmoid,
        "tanh" => Activation::Tanh,
        "softmax" => Activation::Softmax,
        _ => return None,
    })
}

/// The supported names, for errors.
const ACTIVATIONS: &str = "linear, relu, sigmoid, tanh or softmax";
