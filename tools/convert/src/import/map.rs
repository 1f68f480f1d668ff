//! `model.toml`: what a model file cannot tell.

use super::{ACTIVATIONS, activation};
use crate::error::{Error, Result};
use cellstate_reference::{Activation, InputMap, Network};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default)]
    layer: Vec<Entry>,
    input: Option<Input>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    activation: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(default)]
    names: Vec<String>,
    scale: Option<Vec<f64>>,
    offset: Option<Vec<f64>>,
}

/// A read `model.toml`.
pub(super) struct Map {
    pub(super) path: PathBuf,
    file: File,
}

impl Map {
    pub(super) fn load(path: &Path) -> Result<Self> {
        let bytes = crate::error::read(path)?;
        let text = String::from_utf8(bytes).map_err(|e| Error::new(path, e, "save it as UTF-8"))?;
        let file = toml::from_str(&text).map_err(|e: toml::de::Error| {
            let start = e.span().map_or(0, |s| s.start);
            let line = 1 + text.bytes().take(start).filter(|&b| b == b'\n').count();
            Error::new(path, e.message(), "see the example in the README").at(format_args!("line {line}"))
        })?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// The layers in order with their activations; empty if the map names none.
    pub(super) fn layers(&self) -> Result<Vec<(&str, Activation)>> {
        let entry = |e: &Entry| {
            let name = e.activation.as_deref().unwrap_or("linear");
            activation(name).ok_or_else(|| {
                Error::new(&self.path, format!("unknown activation \"{name}\""), format_args!("use {ACTIVATIONS}"))
                    .in_layer(&e.name)
            })
        };
        self.file.layer.iter().map(|e| Ok((e.name.as_str(), entry(e)?))).collect()
    }

    /// For models that tell their layers and activations themselves: an entry that is not heeded is an error.
    pub(super) fn without_layers(&self) -> Result<()> {
        self.file.layer.first().map_or(Ok(()), |entry| {
            let cause = "a Keras model tells its layers itself";
            Err(Error::new(&self.path, cause, "remove every [[layer]]").in_layer(&entry.name))
        })
    }

    /// Names and the input map, onto a network.
    pub(super) fn apply(self, network: &mut Network) -> Result<()> {
        let count = |place: &str, found: usize, needed: usize| {
            if found == 0 || found == needed {
                return Ok(());
            }
            let cause = format!("it has {found} entries and the model has {needed}");
            Err(Error::new(&self.path, cause, "give one entry each, or leave it out").at(place))
        };
        count("labels", self.file.labels.len(), network.outputs())?;
        let names = self.file.labels.iter().chain(self.file.input.iter().flat_map(|i| &i.names));
        if names.clone().any(|n| n.is_empty() || n.contains(['\n', '\r'])) {
            return Err(Error::new(&self.path, "a name is empty or has a line break", "give each a name of one line"));
        }
        network.heads[0].labels = self.file.labels;
        if let Some(name) = self.file.name {
            network.name = name;
        }
        if let Some(input) = self.file.input {
            let identity = InputMap::identity(network.inputs());
            count("input.names", input.names.len(), network.inputs())?;
            let (scale, offset) = (input.scale.unwrap_or(identity.scale), input.offset.unwrap_or(identity.offset));
            for (place, values) in [("input.scale", &scale), ("input.offset", &offset)] {
                count(place, values.len().max(1) * usize::from(!values.is_empty()), network.inputs())?;
                if values.len() != network.inputs() || values.iter().any(|v| !v.is_finite()) {
                    return Err(
                        Error::new(&self.path, "it must hold one finite number a feature", "repair it").at(place)
                    );
                }
            }
            if scale.contains(&0.0) {
                return Err(
                    Error::new(&self.path, "a scale is zero", "give model units per raw count").at("input.scale")
                );
            }
            network.input = InputMap { names: input.names, scale, offset };
        }
        Ok(())
    }
}
