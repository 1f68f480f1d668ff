//! The intermediate representation at which importers meet: layers, and how they are joined.

use crate::layer::Layer;

/// Where a node's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The network's input; of several streams the first.
    Input,
    /// A further stream, from 1 on.
    Stream(usize),
    /// An earlier node.
    Node(usize),
}

/// A layer in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The layer's name in its file.
    pub name: String,
    /// What it computes.
    pub layer: Layer,
    /// Its inputs, joined in this order; never empty. One means the values of that source.
    pub from: Vec<Source>,
    /// Walks the window from its last step to its first. The output stands at the time of its input, as in PyTorch and
    /// ONNX: at the first step it has seen the whole window. For recurrent layers only.
    pub backward: bool,
    /// Yields only the output of the step that it walks last; every step's otherwise. A streaming network yields that of
    /// each step, for each might be the last.
    pub last: bool,
}

impl Node {
    /// A node that walks forward and yields every step's output.
    pub fn new(name: &str, layer: Layer, from: Vec<Source>) -> Self {
        Self { name: name.to_owned(), layer, from, backward: false, last: false }
    }
}

/// An output of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The node whose output it is.
    pub node: usize,
    /// Names of its values, or empty.
    pub labels: Vec<String>,
}

/// How raw sensor counts become model inputs: `input = count * scale + offset`, per feature.
#[derive(Clone, Debug, PartialEq)]
pub struct InputMap {
    /// Feature names, or empty.
    pub names: Vec<String>,
    /// Model units per count.
    pub scale: Vec<f64>,
    /// Model units at count 0.
    pub offset: Vec<f64>,
}

impl InputMap {
    /// Counts are model units.
    pub fn identity(features: usize) -> Self {
        Self { names: Vec::new(), scale: vec![1.0; features], offset: vec![0.0; features] }
    }

    /// One sample of counts of these features in model units.
    pub fn apply(&self, features: std::ops::Range<usize>, counts: &[f64]) -> Vec<f64> {
        let maps = self.scale[features.clone()].iter().zip(&self.offset[features]);
        counts.iter().zip(maps).map(|(x, (s, o))| x * s + o).collect()
    }
}

/// Nodes in an order in which each follows its sources, and what goes in and out.
#[derive(Clone, Debug, PartialEq)]
pub struct Network {
    /// The model's name.
    pub name: String,
    /// First to last; never empty.
    pub nodes: Vec<Node>,
    /// The outputs; never empty. The first is the one that decides.
    pub heads: Vec<Head>,
    /// How raw counts become inputs.
    pub input: InputMap,
    /// Features of each stream, for a network that has several; empty for one. Each has steps of its own, in any order. A node
    /// runs when the stream of its first source steps, on the latest values of its other sources; attention takes in memories
    /// when theirs does.
    pub streams: Vec<usize>,
    /// The steps of a window, for a network that needs all of it before it can answer; none for one that streams.
    ///
    /// A windowed network begins each window with its initial state.
    pub window: Option<usize>,
    /// A sample all of whose values are this is skipped: states stay, and so do the outputs.
    pub mask: Option<f64>,
}

impl Network {
    /// A streaming network of named layers, one after the other, for `inputs` features; the last is the output.
    pub fn chain(name: &str, inputs: usize, layers: Vec<(String, Layer)>) -> Self {
        let node = |(k, (name, layer)): (usize, (String, Layer))| {
            let from = k.checked_sub(1).map_or(Source::Input, Source::Node);
            Node { name, layer, from: vec![from], backward: false, last: false }
        };
        let nodes: Vec<Node> = layers.into_iter().enumerate().map(node).collect();
        Self {
            name: name.to_owned(),
            heads: vec![Head { node: nodes.len().saturating_sub(1), labels: Vec::new() }],
            nodes,
            input: InputMap::identity(inputs),
            streams: Vec::new(),
            window: None,
            mask: None,
        }
    }

    /// Number of input features.
    pub fn inputs(&self) -> usize {
        self.input.scale.len()
    }

    /// Number of values of a source.
    pub fn width(&self, source: Source) -> usize {
        match source {
            Source::Input => self.streams.first().copied().unwrap_or_else(|| self.inputs()),
            Source::Stream(k) => self.streams[k],
            Source::Node(k) => self.nodes[k].layer.outputs(self.input_width(k)),
        }
    }

    /// Number of values that node `k` takes: those of all its sources, or of a sum or product those of each.
    pub fn input_width(&self, k: usize) -> usize {
        let node = &self.nodes[k];
        let sources = if node.layer.is_pointwise() { &node.from[..1] } else { &node.from };
        sources.iter().map(|&s| self.width(s)).sum()
    }

    /// The stream on whose steps a source has new values.
    pub fn stream(&self, source: Source) -> usize {
        match source {
            Source::Input => 0,
            Source::Stream(k) => k,
            Source::Node(k) => self.stream(self.nodes[k].from[0]),
        }
    }

    /// The number of features of each stream.
    pub fn widths(&self) -> Vec<usize> {
        if self.streams.is_empty() { vec![self.inputs()] } else { self.streams.clone() }
    }

    /// The features of a stream among all of the network's.
    pub fn features(&self, stream: usize) -> std::ops::Range<usize> {
        if self.streams.is_empty() {
            return 0..self.inputs();
        }
        let first = self.streams[..stream].iter().sum();
        first..first + self.streams[stream]
    }

    /// Number of values of the first output.
    pub fn outputs(&self) -> usize {
        self.width(Source::Node(self.heads[0].node))
    }

    /// The first output's names.
    pub fn labels(&self) -> &[String] {
        &self.heads[0].labels
    }
}
