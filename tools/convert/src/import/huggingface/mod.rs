//! Hugging Face checkpoints: `model.safetensors` with the `config.json` of `transformers` beside it.
//!
//! * [`config`]: the numbers of a configuration, and what of it is not supported.
//! * [`parts`]: tensors by their names in `transformers`, and the nodes that they become.
//! * [`gpt2`], [`llama`]: the architectures.
//! * [`vocabulary`]: names of the tokens.

mod config;
mod gpt2;
mod llama;
mod parts;
mod vocabulary;

use super::Options;
use super::pytorch::tensors::Tensors;
use crate::error::{Error, Result};
use cellstate_reference::Network;
use config::Config;
use parts::Parts;
use std::path::{Path, PathBuf};

/// The architectures, by the class in `architectures` and the `model_type` of the configuration.
const ARCHITECTURES: [(&str, &str, Build); 3] = [
    ("GPT2LMHeadModel", "gpt2", gpt2::build),
    ("LlamaForCausalLM", "llama", llama::build),
    ("MistralForCausalLM", "mistral", llama::build),
];

type Build = fn(&Config, Parts, Option<usize>) -> Result<Network>;

/// The folder of a checkpoint, if the path is that, its `config.json`, or a `.safetensors` file beside one.
pub(super) fn folder(model: &Path) -> Option<PathBuf> {
    if model.is_dir() {
        return Some(model.to_owned());
    }
    let folder = model.parent()?.to_owned();
    let named = model.file_name().is_some_and(|n| n == "config.json");
    let weights = model.extension().is_some_and(|e| e == "safetensors");
    (named || (weights && Config::is_at(&folder.join("config.json")))).then_some(folder)
}

/// The network of a checkpoint in a folder. `model` is what was asked for: the folder or a file in it.
pub(super) fn load(model: &Path, folder: &Path, options: Options) -> Result<Network> {
    let path = folder.join("config.json");
    let config = Config::load(&path)?;
    let build = architecture(&config)?;
    let remedy = "merge the adapter with merge_and_unload(), and save the model again";
    if folder.join("adapter_config.json").exists() {
        return Err(Error::new(&folder.join("adapter_config.json"), "it is an adapter of another model", remedy));
    }
    let file = match model.extension() {
        Some(e) if e == "safetensors" => model.to_owned(),
        _ => folder.join("model.safetensors"),
    };
    if !file.exists() && folder.join("model.safetensors.index.json").exists() {
        let remedy = "save it in one file: model.save_pretrained(folder, max_shard_size=\"10GB\")";
        return Err(Error::new(&file, "the weights are in several files", remedy));
    }
    let tensors = Tensors::load(&file)?;
    let mut network = build(&config, Parts::new(&tensors), options.memory)?;
    if let Some(name) = folder.canonicalize().ok().as_deref().and_then(Path::file_name) {
        network.name = name.to_string_lossy().into_owned();
    }
    let tokens = network.outputs();
    network.heads[0].labels = vocabulary::labels(folder, tokens)?;
    Ok(network)
}

fn architecture(config: &Config) -> Result<Build> {
    let class = config.class();
    let found = match &class {
        Some(class) => ARCHITECTURES.iter().find(|a| a.0 == class),
        None => ARCHITECTURES.iter().find(|a| config.text("model_type").is_some_and(|t| t == a.1)),
    };
    found.map(|a| a.2).ok_or_else(|| {
        let names: Vec<&str> = ARCHITECTURES.iter().map(|a| a.0).collect();
        let shown = class.or_else(|| config.text("model_type").map(str::to_owned)).unwrap_or_default();
        config.refuse(
            "architectures",
            format!("\"{shown}\" is not supported"),
            format!("give one of {}", names.join(", ")),
        )
    })
}
