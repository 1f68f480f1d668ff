//! Model files to the intermediate representation. Gate orders and bias conventions of the frameworks end here.

mod check;
mod huggingface;
mod keras;
mod map;
mod onnx;
mod pytorch;
mod tflite;

use crate::error::{Error, Result};
use cellstate_reference::{Activation, Layer, Network};
use map::Map;
use std::path::Path;

/// The most memories of attention.
const MOST_MEMORIES: usize = u16::MAX as usize;

/// What a model file cannot tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options<'a> {
    /// A `model.toml`.
    pub map: Option<&'a Path>,
    /// The configuration of a Keras model whose `.h5` holds weights only.
    pub config: Option<&'a Path>,
    /// Steps of a window: the network answers once a window, from its initial state.
    pub window: Option<usize>,
    /// The most memories that attention keeps, where the file does not say, or for a shorter ring.
    pub memory: Option<usize>,
}

/// Reads a trained model by its extension: Keras `.keras` or `.h5`, PyTorch `.safetensors`, `.pt`, `.pth` or `.ckpt`,
/// ONNX `.onnx`, TensorFlow Lite `.tflite`; or a Hugging Face checkpoint: a folder, or either of its files `config.json` and
/// `model.safetensors`.
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
    // A map of layers tells of a state dict, whatever lies beside it.
    let folder = huggingface::folder(model).filter(|_| !torch || map.as_ref().is_none_or(|m| m.layers().is_empty()));
    let told = folder.is_some() || ["keras", "h5", "hdf5", "onnx", "tflite"].contains(&extension);
    if let Some(map) = map.as_ref().filter(|_| told) {
        map.without_layers()?;
    }
    let options = Options { memory: options.memory.or_else(|| map.as_ref().and_then(Map::memory)), ..options };
    if options.memory.is_some_and(|n| n == 0 || n > MOST_MEMORIES) {
        return Err(Error::new(
            model,
            "it cannot keep as many memories",
            "give --memory, or memory in model.toml, from 1 to 65535",
        ));
    }
    let mut network = match (&folder, extension) {
        (Some(folder), _) => huggingface::load(model, folder, options)?,
        (None, "keras" | "h5" | "hdf5") => keras::load(model, options)?,
        (None, "onnx") => onnx::load(model)?,
        (None, "tflite") => tflite::load(model)?,
        _ if torch => pytorch::load(model, map.as_ref(), options)?,
        _ => {
            let remedy = "give a Keras .keras or .h5, a PyTorch .safetensors or .pt, an .onnx or a .tflite file, or the folder \
                          of a Hugging Face checkpoint";
            return Err(Error::new(model, "unknown kind of model", remedy));
        }
    };
    let remembers = network.nodes.iter().any(|n| matches!(n.layer, Layer::Attention(_)));
    if options.memory.is_some() && !remembers {
        return Err(Error::new(model, "it has no attention", "leave out --memory, and memory in model.toml"));
    }
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
        "silu" | "swish" => Activation::Silu,
        "gelu" => Activation::Gelu { tanh: false },
        _ => return None,
    })
}

/// The supported names, for errors.
const ACTIVATIONS: &str = "linear, relu, sigmoid, tanh, silu, gelu or softmax";
