//! A network as it is built: nodes, and what their places ask of it.

use super::config::{Entry, Model};
use super::flow::Flow;
use super::inputs::model_steps;
use super::weights::Weights;
use crate::error::{Error, Result};
use crate::import::Options;
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};
use std::path::Path;

/// The most values that are not in the file: of identities, of weights of sums, and of ways from layer to layer.
const MOST_MADE: usize = 1 << 22;
/// The widest vector.
pub(super) const WIDEST: usize = u16::MAX as usize;

/// A network as it is built.
pub(super) struct Builder<'a> {
    pub(super) path: &'a Path,
    pub(super) weights: Weights<'a>,
    /// Of `hard_sigmoid`.
    pub(super) slope: f64,
    /// `--window`.
    pub(super) window: Option<usize>,
    /// `--memory`.
    pub(super) memory: Option<usize>,
    pub(super) nodes: Vec<Node>,
    pub(super) mask: Option<f64>,
    /// A layer with a state that a mask does not reach.
    pub(super) unmasked: Option<String>,
    /// Inputs of one number a step, each of which may be an index.
    pub(super) indices: Vec<Source>,
    /// Whether all steps must be there: then the network answers once a window.
    pub(super) windowed: bool,
    /// Of layers, so far.
    pub(super) calls: usize,
    /// Values that are not in the file, so far.
    made: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(path: &'a Path, weights: Weights<'a>, slope: f64, options: Options) -> Self {
        let Options { window, memory, .. } = options;
        let nodes = Vec::new();
        let (mask, unmasked) = (None, None);
        let (indices, windowed, calls, made) = (Vec::new(), false, 0, 0);
        Self { path, weights, slope, window, memory, nodes, mask, unmasked, indices, windowed, calls, made }
    }

    pub(super) fn refuse(&self, entry: &Entry, cause: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Error {
        Error::new(self.path, cause, remedy).in_layer(entry.name)
    }

    /// Adds a node.
    pub(super) fn push(&mut self, name: &str, layer: Layer, from: Vec<Source>) -> Source {
        self.nodes.push(Node::new(name, layer, from));
        Source::Node(self.nodes.len() - 1)
    }

    /// Room for a matrix that is not in the file.
    pub(super) fn make_room(&mut self, entry: &Entry, rows: usize, cols: usize) -> Result<()> {
        self.made = self.made.saturating_add(rows.saturating_mul(cols));
        if self.made > MOST_MADE {
            return Err(self.refuse(entry, "it is too wide for a microcontroller", "give a smaller model"));
        }
        Ok(())
    }

    /// The weights of a layer for the sources of its input.
    pub(super) fn absorb(&mut self, entry: &Entry, w: Matrix, input: &Flow) -> Result<Matrix> {
        let Some(mix) = &input.mix else { return Ok(w) };
        self.make_room(entry, w.rows, input.joined)?;
        Ok(mix.before(&w, input.joined))
    }

    /// A flow as it is: sums become a layer of their own.
    pub(super) fn settle(&mut self, entry: &Entry, flow: &Flow) -> Result<Flow> {
        let Some(mix) = &flow.mix else { return Ok(flow.clone()) };
        self.make_room(entry, flow.width, flow.joined)?;
        let sums = Dense { w: mix.matrix(flow.joined), b: vec![0.0; flow.width], activation: Activation::Linear };
        let node = self.push(entry.name, Layer::Dense(sums), flow.from.clone());
        Ok(flow.to(node, flow.width))
    }

    /// The network of the outermost model.
    pub(super) fn network(mut self, model: &Model) -> Result<Network> {
        let (inputs, streams) = self.inputs(model)?;
        let places = self.weights.places(&model.layers);
        let outputs = self.run(model, &places, inputs, 0)?;
        if let Some((k, name)) = Weights::left_over(&places) {
            let cause = format!("its weights hold a {name}, of which the configuration does not tell");
            return Err(self.refuse(&model.layers[k], cause, "give the configuration of this model"));
        }
        let last = model.layers.last().copied();
        let mut heads = Vec::new();
        for flow in outputs {
            // Without a layer there is no network.
            let (Some(entry), false) = (last, self.nodes.is_empty() && flow.is_input()) else { continue };
            heads.push(Head { node: self.head(&entry, &flow)?, labels: Vec::new() });
        }
        if let (Some(name), Some(mask)) = (&self.unmasked, self.mask) {
            let cause = format!("samples of only {mask} are masked for another layer and not for it");
            let remedy = "put the Masking or Embedding before all layers that have a state";
            return Err(Error::new(self.path, cause, remedy).in_layer(name));
        }
        let steps = self.window.or_else(|| model_steps(model));
        if self.windowed && steps.is_none() && !self.nodes.iter().any(|n| n.backward) {
            let cause = "all steps of a window must be there at once, and it does not say how many they are";
            return Err(Error::new(self.path, cause, "give --window with the number of steps"));
        }
        let nodes = reachable(self.nodes, &mut heads);
        Ok(Network {
            name: model.name.to_owned(),
            nodes,
            heads,
            input: InputMap::identity(streams.iter().sum()),
            streams: if streams.len() > 1 { streams } else { Vec::new() },
            window: steps.filter(|_| self.windowed),
            mask: self.mask,
        })
    }

    /// The node of an output.
    fn head(&mut self, entry: &Entry, flow: &Flow) -> Result<usize> {
        if flow.reversed {
            let remedy = "wrap it in Bidirectional, or give it return_sequences=False";
            return Err(self.refuse(entry, "the output runs backwards in time", remedy));
        }
        let flow = self.settle(entry, flow)?;
        if let [Source::Node(node)] = flow.from[..] {
            return Ok(node);
        }
        let same = self.identity(entry, &flow, Activation::Linear)?;
        Ok(match same.from[..] {
            [Source::Node(node)] => node,
            _ => 0,
        })
    }

    /// An activation of its own, or a join as one node.
    pub(super) fn identity(&mut self, entry: &Entry, input: &Flow, activation: Activation) -> Result<Flow> {
        self.make_room(entry, input.width, input.joined)?;
        let w = match &input.mix {
            Some(mix) => mix.matrix(input.joined),
            None => Matrix::diagonal(&vec![1.0; input.width]),
        };
        let layer = Layer::Dense(Dense { w, b: vec![0.0; input.width], activation });
        let node = self.push(entry.name, layer, input.from.clone());
        Ok(input.to(node, input.width))
    }
}

/// The nodes that heads need, in their order.
fn reachable(nodes: Vec<Node>, heads: &mut [Head]) -> Vec<Node> {
    let mut needed = vec![false; nodes.len()];
    for head in &*heads {
        needed[head.node] = true;
    }
    for k in (0..nodes.len()).rev() {
        if needed[k] {
            for source in &nodes[k].from {
                if let Source::Node(n) = source {
                    needed[*n] = true;
                }
            }
        }
    }
    let mut place = Vec::new();
    let mut count = 0;
    for &n in &needed {
        place.push(count);
        count += usize::from(n);
    }
    for head in heads {
        head.node = place[head.node];
    }
    let kept = nodes.into_iter().zip(needed).filter(|(_, n)| *n).map(|(n, _)| n);
    kept.map(|mut node| {
        for source in &mut node.from {
            if let Source::Node(n) = source {
                *n = place[*n];
            }
        }
        node
    })
    .collect()
}
