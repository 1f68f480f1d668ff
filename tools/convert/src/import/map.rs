//! `model.toml`: what a model file cannot tell.

use crate::error::{Error, Result};
use crate::text::escaped;
use cellstate_reference::{InputMap, Network, Source};
use serde::Deserialize;
use std::path::{Path, PathBuf};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: Option<String>,
    #[serde(default)]
    labels: Vec<String>,
    /// The steps of a window, for a network that needs all of it.
    window: Option<usize>,
    /// The most memories of attention.
    memory: Option<usize>,
    #[serde(default)]
    stream: Vec<Stream>,
    #[serde(default)]
    layer: Vec<Entry>,
    #[serde(default)]
    output: Vec<Output>,
    input: Option<Input>,
}

/// A layer, and what its file cannot tell of it.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    /// What it is, where its tensors fit more than one kind or there are none.
    pub(super) kind: Option<String>,
    pub(super) activation: Option<String>,
    /// Of a simple recurrent layer.
    pub(super) nonlinearity: Option<String>,
    /// Steps from one output of a convolution to the next.
    pub(super) stride: Option<usize>,
    /// Steps from one tap of a convolution to the next.
    pub(super) dilation: Option<usize>,
    /// What a convolution sees before the first step: "causal" for zeros, "valid" for nothing.
    pub(super) padding: Option<String>,
    /// Groups of a convolution's channels.
    pub(super) groups: Option<usize>,
    /// What a normalization adds to the variance.
    pub(super) epsilon: Option<f64>,
    /// How many steps are flattened into one.
    pub(super) steps: Option<usize>,
    /// Whether only the last step goes on, and which of a bidirectional layer.
    pub(super) last: Option<Last>,
    /// The tensors of a recurrent layer's first state: the hidden one, then the cell's of an LSTM; zeros if empty.
    #[serde(default)]
    pub(super) initial: Vec<String>,
    /// Attention's heads of the query, and of keys and values.
    pub(super) heads: Option<usize>,
    pub(super) kv_heads: Option<usize>,
    /// The most memories of attention.
    pub(super) window: Option<usize>,
    /// Whether attention sees no later steps of a window.
    pub(super) causal: Option<bool>,
    /// Attention's scores: "dot", "scaled" or "additive".
    pub(super) score: Option<String>,
    /// The tensor of additive scores.
    pub(super) v: Option<String>,
    /// The base of the angles of rotary positions.
    pub(super) rope: Option<f64>,
    /// The tensor of what is added to scores by age.
    pub(super) ages: Option<String>,
    /// The layers that it takes its input from; the one before it if empty.
    #[serde(default)]
    pub(super) from: Vec<String>,
}

/// `last`: true, or a name.
#[derive(Clone, Deserialize, PartialEq)]
#[serde(untagged, expecting = "last is true, \"hidden\" or \"output\"")]
pub(super) enum Last {
    Plain(bool),
    Named(String),
}

/// An input of several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream {
    name: String,
    features: usize,
}

/// An output of several.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    layer: String,
    #[serde(default)]
    labels: Vec<String>,
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

    /// The layers in order; empty if the map names none.
    pub(super) fn layers(&self) -> &[Entry] {
        &self.file.layer
    }

    /// The layers of the outputs; empty if the map names none.
    pub(super) fn outputs(&self) -> impl Iterator<Item = &str> {
        self.file.output.iter().map(|o| o.layer.as_str())
    }

    /// The window, if the map tells it.
    pub(super) fn window(&self) -> Option<usize> {
        self.file.window
    }

    /// The most memories of attention, if the map tells it.
    pub(super) fn memory(&self) -> Option<usize> {
        self.file.memory
    }

    /// The input streams and their features; empty if there is one.
    pub(super) fn streams(&self) -> Vec<(&str, usize)> {
        self.file.stream.iter().map(|s| (s.name.as_str(), s.features)).collect()
    }

    /// For models that tell their layers and activations themselves: an entry that is not heeded is an error.
    pub(super) fn without_layers(&self) -> Result<()> {
        if let Some(stream) = self.file.stream.first() {
            let cause = "this kind of model tells its inputs itself";
            return Err(
                Error::new(&self.path, cause, "remove every [[stream]]").at(format_args!("stream \"{}\"", stream.name))
            );
        }
        self.file.layer.first().map_or(Ok(()), |entry| {
            let cause = "this kind of model tells its layers itself";
            Err(Error::new(&self.path, cause, "remove every [[layer]]").in_layer(&entry.name))
        })
    }

    /// Names and the input map, onto a network.
    pub(super) fn apply(mut self, network: &mut Network) -> Result<()> {
        let count = |place: &str, found: usize, needed: usize| {
            if found == 0 || found == needed {
                return Ok(());
            }
            let cause = format!("it has {found} entries and the model has {needed}");
            Err(Error::new(&self.path, cause, "give one entry each, or leave it out").at(place))
        };
        count("labels", self.file.labels.len(), network.outputs())?;
        // A label may be a line break, as of text; the blob has one a line.
        let labels = self.file.output.iter_mut().map(|o| &mut o.labels).chain([&mut self.file.labels]);
        labels.flatten().for_each(|label| *label = escaped(label));
        for output in &self.file.output {
            self.label(network, output)?;
        }
        let names = self.file.labels.iter().chain(self.file.input.iter().flat_map(|i| &i.names));
        let names = names.chain(self.file.output.iter().flat_map(|o| &o.labels));
        if names.clone().any(|n| n.is_empty() || n.contains(char::is_control)) {
            let cause = "a name is empty or has a line break or another control character";
            return Err(Error::new(&self.path, cause, "give each a name of one line"));
        }
        if !self.file.labels.is_empty() {
            network.heads[0].labels = self.file.labels;
        }
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

    /// An output's names, by the name of its layer.
    fn label(&self, network: &mut Network, output: &Output) -> Result<()> {
        let refuse = |cause: String, remedy: &str| Error::new(&self.path, cause, remedy).at("[[output]]");
        let name = |node: usize| &network.nodes[node].name;
        let Some(head) = network.heads.iter().position(|h| *name(h.node) == output.layer) else {
            let outputs: Vec<&str> = network.heads.iter().map(|h| name(h.node).as_str()).collect();
            let cause = format!("layer \"{}\" is no output: those are {}", output.layer, outputs.join(", "));
            return Err(refuse(cause, "name one of them"));
        };
        let (found, width) = (output.labels.len(), network.width(Source::Node(network.heads[head].node)));
        if found != 0 && found != width {
            let cause = format!("layer \"{}\" has {found} labels and {width} values", output.layer);
            return Err(refuse(cause, "give one label each, or leave them out"));
        }
        network.heads[head].labels.clone_from(&output.labels);
        Ok(())
    }
}
