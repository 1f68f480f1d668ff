//! Model files to the intermediate representation. Gate orders and bias conventions of the frameworks end here.

mod check;
mod keras;
mod map;
mod onnx;
mod pytorch;

use crate::error::{Error, Result};
use cellstate_reference::{Activation, Layer, Network};
use map::Map;
use std::path::Path;

/// Reads a trained model by its extension: Keras 3 `.keras`, PyTorch `.safetensors` or ONNX `.onnx`; `map` is a `model.toml`.
///
/// # Errors
/// A missing or damaged file, layers that are not supported or do not fit together, weights that are not finite, a map that
/// does not fit the model.
pub fn load(model: &Path, map: Option<&Path>) -> Result<Network> {
    let map = map.map(Map::load).transpose()?;
    let mut network = match model.extension().and_then(|e| e.to_str()) {
        Some("keras") => {
            if let Some(map) = &map {
                map.without_layers()?;
            }
            keras::load(model)?
        }
        Some("onnx") => {
            if let Some(map) = &map {
                let own = |e| Error { cause: "an ONNX model tells its layers itself".to_owned(), ..e };
                map.without_layers().map_err(own)?;
            }
            onnx::load(model)?
        }
        Some("safetensors") => pytorch::load(model, map.as_ref())?,
        _ => {
            return Err(Error::new(
                model,
                "unknown kind of model",
                "give a Keras .keras, a PyTorch .safetensors or an ONNX .onnx file",
            ));
        }
    };
    check::check(model, &network)?;
    if let Some(map) = map {
        map.apply(&mut network)?;
    }
    Ok(network)
}

/// A chain of named layers, as wide as its first one asks for.
fn chain(name: &str, layers: Vec<(String, Layer)>) -> Network {
    let inputs = layers.first().and_then(|(_, l)| l.inputs()).unwrap_or(0);
    Network::chain(name, inputs, layers)
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
