//! Model files to the intermediate representation. Gate orders and bias conventions of the frameworks end here.

mod check;
mod keras;
mod map;
mod pytorch;

use crate::error::{Error, Result};
use cellstate_reference::{Activation, Layer, Network};
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

/// Reads a trained model by its extension: Keras `.keras` or `.h5`, or PyTorch `.safetensors`.
///
/// # Errors
/// A missing or damaged file, layers that are not supported or do not fit together, weights that are not finite, options
/// that do not fit the model.
pub fn load(model: &Path, options: Options) -> Result<Network> {
    let map = options.map.map(Map::load).transpose()?;
    let extension = model.extension().and_then(|e| e.to_str());
    if options.config.is_some() && !matches!(extension, Some("keras" | "h5" | "hdf5")) {
        return Err(Error::new(model, "it takes no configuration", "leave out --config, which is for Keras .h5 files"));
    }
    let mut network = match extension {
        Some("keras" | "h5" | "hdf5") => {
            if let Some(map) = &map {
                map.without_layers()?;
            }
            keras::load(model, options)?
        }
        Some("safetensors") => pytorch::load(model, map.as_ref())?,
        _ => {
            return Err(Error::new(
                model,
                "unknown kind of model",
                "give a Keras .keras or .h5 or a PyTorch .safetensors file",
            ));
        }
    };
    match (network.window, options.window) {
        (Some(known), Some(given)) if known != given => {
            let cause = format!("it takes windows of {known} steps, and --window says {given}");
            return Err(Error::new(model, cause, "leave out --window"));
        }
        (known, given) => network.window = given.or(known),
    }
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
