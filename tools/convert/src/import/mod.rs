//! Model files to the intermediate representation. Gate orders and bias conventions of the frameworks end here.

mod check;
mod keras;
mod map;
mod onnx;
mod pytorch;
mod tflite;

use crate::error::{Error, Result};
use cellstate_reference::{Activation, Network};
use map::Map;
use std::path::Path;

/// What a model file cannot tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// A `model.toml`.
    pub map: Option<&'a Path>,
    /// The configuration of a Keras model whose `.h5` holds weights only.
    pub config: Option<&'a Path>,
    /// Steps of a window: the network answers once a window, from its initial state.
    pub window: Option<usize>,
}

/// Reads a trained model by its extension: Keras `.keras` or `.h5`, PyTorch `.safetensors`, `.pt`, `.pth` or `.ckpt`,
/// ONNX `.onnx`, TensorFlow Lite `.tflite`.
///
/// # Errors
/// A missing or damaged file, layers that are not supported or do not fit together, weights that are not finite, options
/// that do not fit the model.
pub fn load(model: &Path, options: Options) -> Result<Network> {
    let map = options.map.map(Map::load).transpose()?;
    let extension = model.extension().and_then(|e| e.to_str()).unwrap_or_default();
    if options.config.is_some() && !matches!(extension, "keras" | "h5" | "hdf5") {
        return Err(Error::new(model, "it takes no configuration", "leave out --config, which is for Keras .h5 files"));
    }
    let torch = matches!(extension, "safetensors" | "pt" | "pth" | "ckpt");
    if let Some(map) = map.as_ref().filter(|_| matches!(extension, "keras" | "h5" | "hdf5" | "onnx" | "tflite")) {
        map.without_layers()?;
    }
    let mut network = match extension {
        "keras" | "h5" | "hdf5" => keras::load(model, options)?,
        "onnx" => onnx::load(model)?,
        "tflite" => tflite::load(model)?,
        _ if torch => pytorch::load(model, map.as_ref())?,
        _ => {
            let remedy = "give a Keras .keras or .h5, a PyTorch .safetensors or .pt, an .onnx or a .tflite file";
            return Err(Error::new(model, "unknown kind of model", remedy));
        }
    };
    let window = options.window.or_else(|| map.as_ref().and_then(Map::window));
    match (network.window, window) {
        (Some(known), Some(given)) if known != given => {
            let cause = format!("it takes windows of {known} steps, and {given} are asked for");
            return Err(Error::new(model, cause, "leave out --window, and window in model.toml"));
        }
        (known, given) => network.window = given.or(known),
    }
    check::check(model, &network)?;
    if let Some(map) = map {
        map.apply(&mut network)?;
    }
    Ok(network)
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
