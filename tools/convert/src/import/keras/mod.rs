//! Keras models: 3 and 2 `.keras`, legacy `.h5`, and weights alone in `.weights.h5` or `.h5` with a configuration in JSON.
//!
//! Data flows one way: [`config`] reads the configuration, [`graph`] walks its layers in the order of their inputs, and each
//! layer makes [`flow`]s of flows, with nodes in the [`builder`] behind them and its [`weights`] in them. Keras keeps kernels as (inputs,
//! outputs), gate by gate: i, f, c, o of an LSTM and z, r, h of a GRU.

mod attention;
mod builder;
mod config;
mod flow;
mod graph;
mod inputs;
mod layers;
mod merge;
mod recurrent;
mod streams;
mod time;
mod weights;

use super::Options;
use crate::error::{Archive, Error, Result};
use builder::Builder;
use cellstate_reference::Network;
use config::Model;
use serde_json::Value;
use std::path::Path;
use weights::Weights;

/// A model file, by what it is and not by how it is called: older versions wrote HDF5 into `.keras` too.
pub(super) fn load(path: &Path, options: Options) -> Result<Network> {
    let bytes = crate::error::read(path)?;
    if bytes.starts_with(b"PK") { zipped(path, options) } else { hdf5(path, bytes, options) }
}

/// A zip of `config.json`, `metadata.json` and `model.weights.h5`.
fn zipped(path: &Path, options: Options) -> Result<Network> {
    if options.config.is_some() {
        return Err(Error::new(path, "it holds a model with its configuration", "leave out --config"));
    }
    let mut archive = Archive::open(path)?;
    let config = json(path, &archive.unpack("config.json")?).map_err(|e| e.at("config.json"))?;
    let metadata = archive.unpack("metadata.json").ok().and_then(|m| serde_json::from_slice::<Value>(&m).ok());
    let version = metadata.and_then(|m| m["keras_version"].as_str().map(str::to_owned));
    let weights = Weights::open(path, archive.unpack("model.weights.h5")?).map_err(|e| e.at("model.weights.h5"))?;
    network(path, &config, version.as_deref(), weights, options)
}

/// A whole model with its configuration in an attribute, or weights whose configuration is a file of its own.
fn hdf5(path: &Path, bytes: Vec<u8>, options: Options) -> Result<Network> {
    let weights = Weights::open(path, bytes)?;
    let config = match (options.config, weights.attribute("model_config")) {
        (Some(_), Some(_)) => {
            return Err(Error::new(path, "it holds a model with its configuration", "leave out --config"));
        }
        (Some(file), None) => json(file, &crate::error::read(file)?)?,
        (None, Some(text)) => json(path, text.as_bytes()).map_err(|e| e.at("model_config"))?,
        (None, None) => {
            let remedy = "give --config model.json, as model.to_json() yields it, or save the whole model as .keras";
            return Err(Error::new(path, "it holds weights and no configuration", remedy));
        }
    };
    let version = weights.attribute("keras_version");
    network(path, &config, version.as_deref(), weights, options)
}

/// A configuration; one that was encoded twice, as `json.dump(model.to_json(), file)` does, is decoded twice.
fn json(path: &Path, bytes: &[u8]) -> Result<Value> {
    let damaged = |e| Error::new(path, e, "save the model again with Keras");
    let value = serde_json::from_slice(bytes).map_err(damaged)?;
    let Value::String(text) = value else { return Ok(value) };
    serde_json::from_str(&text).map_err(damaged)
}

fn network(path: &Path, config: &Value, version: Option<&str>, weights: Weights, options: Options) -> Result<Network> {
    let model = Model::read(path, config)?;
    let version = config["keras_version"].as_str().or(version);
    let old = version.map_or_else(|| model.is_of_keras_2(), |v| v.starts_with(['1', '2']));
    // Keras 3 took the slope of PyTorch.
    let slope = if old { 0.2 } else { 1.0 / 6.0 };
    Builder::new(path, weights, slope, options).network(&model)
}
