//! How the layers of a state dict are joined, which only `model.toml` can tell.

use super::tensors::Tensors;
use crate::error::Result;
use cellstate::model::header::MAX_LAYERS;
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};

/// The widest vector.
const WIDEST: usize = u16::MAX as usize;

/// What a layer hands on.
#[derive(Clone, Debug, Default)]
pub(super) struct Value {
    /// Joined in this order.
    pub(super) sources: Vec<Source>,
    /// Every step is there, and only the last is meant: whatever takes it must yield that one alone.
    pub(super) final_step: bool,
    /// The bidirectional layer of which the file does not tell whether its last step or its final states are meant.
    pub(super) open: Option<String>,
}

impl Value {
    pub(super) fn of(source: Source) -> Self {
        Self { sources: vec![source], ..Self::default() }
    }
}

/// A network in the making.
pub(super) struct Graph<'a> {
    tensors: &'a Tensors<'a>,
    nodes: Vec<Node>,
    /// What each node yields.
    widths: Vec<usize>,
    /// The time of each node's first output and the steps from one to the next; none if there is but one.
    paces: Vec<Option<(usize, usize)>>,
    /// Features of the network's input, once a layer has told.
    inputs: Option<usize>,
    /// Features of each stream, if there are several.
    streams: Vec<usize>,
    heads: Vec<Head>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(tensors: &'a Tensors<'a>, streams: Vec<usize>) -> Self {
        let (nodes, widths, paces, heads) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let sum = streams.iter().fold(0usize, |sum, n| sum.saturating_add(*n));
        Self { tensors, nodes, widths, paces, inputs: Some(sum).filter(|n| *n > 0), streams, heads }
    }

    /// Adds a node. `needed` is the width that it takes, if it asks for one.
    pub(super) fn push(&mut self, node: Node, needed: Option<usize>) -> Result<Source> {
        let refuse = |cause: String, remedy: &str| Err(self.tensors.refuse(&node.name, cause, remedy));
        // More are refused by the check of all networks; no memory for them.
        if self.nodes.len() > MAX_LAYERS {
            return refuse(format!("more than {MAX_LAYERS} layers come before it"), "give a smaller model");
        }
        let pointwise = node.layer.is_pointwise();
        let given = self.learn(if pointwise { &node.from[..1] } else { &node.from }, needed);
        let Some(width) = given.filter(|w| (1..=WIDEST).contains(w)) else {
            let cause = "how many values it takes cannot be told, or is not from 1 to 65535".to_owned();
            return refuse(cause, "put a layer with weights first, and check every from in model.toml");
        };
        if let Some(needed) = needed
            && needed != width
        {
            let cause = format!("it takes {needed} values and the layer before it yields {width}");
            return refuse(cause, "put the layers in the order in which the model runs them");
        }
        let outputs = match &node.layer {
            Layer::Window { taps, .. } => taps.checked_mul(width).unwrap_or(usize::MAX),
            layer => layer.outputs(width),
        };
        if outputs > WIDEST {
            return refuse(format!("it yields {outputs} values"), "give a model of at most 65535");
        }
        let mut paces = node.from.iter().filter_map(|s| self.pace(*s));
        let before = if let Layer::Attention(_) = node.layer { self.pace(node.from[0]) } else { paces.next() };
        let apart = |s: &Source| self.stream(*s) != self.stream(node.from[0]);
        let free = matches!(&node.layer, Layer::Attention(a) if !a.causal || before.is_none() || apart(&node.from[1]));
        if !free && paces.any(|p| Some(p) != before) {
            let cause = "its inputs are sequences whose steps are not those of the same times".to_owned();
            return refuse(cause, "say padding = \"causal\" and equal strides for the convolutions before it");
        }
        let after = match (&node.layer, before) {
            (&Layer::Window { taps, dilation, stride, causal }, Some((first, apart))) => {
                let wait = if causal { 0 } else { taps.saturating_sub(1).saturating_mul(dilation) };
                Some((first.saturating_add(wait.saturating_mul(apart)), apart.saturating_mul(stride)))
            }
            _ => before,
        };
        self.paces.push(after.filter(|_| !node.last));
        self.nodes.push(node);
        self.widths.push(outputs);
        Ok(Source::Node(self.nodes.len() - 1))
    }

    /// The stream on whose steps a source has new values.
    pub(super) fn stream(&self, source: Source) -> usize {
        match source {
            Source::Input => 0,
            Source::Stream(k) => k,
            Source::Node(k) => self.nodes.get(k).map_or(0, |n| self.stream(n.from[0])),
        }
    }

    fn pace(&self, source: Source) -> Option<(usize, usize)> {
        match source {
            Source::Input | Source::Stream(_) => Some((0, 1)),
            Source::Node(k) => self.paces.get(k).copied().flatten(),
        }
    }

    /// The width of sources, joined; none if it is that of the input and no layer has told it yet.
    pub(super) fn width(&self, sources: &[Source]) -> Option<usize> {
        sources.iter().try_fold(0usize, |sum, s| {
            sum.checked_add(match s {
                Source::Input => self.streams.first().copied().or(self.inputs)?,
                Source::Stream(k) => *self.streams.get(*k)?,
                Source::Node(k) => *self.widths.get(*k)?,
            })
        })
    }

    /// The width of sources, joined. The first layer that takes the network's input tells that one's width.
    pub(super) fn learn(&mut self, from: &[Source], needed: Option<usize>) -> Option<usize> {
        let rest: Vec<Source> = from.iter().copied().filter(|s| *s != Source::Input).collect();
        if self.inputs.is_none() && rest.len() + 1 == from.len() {
            self.inputs = needed?.checked_sub(self.width(&rest)?).filter(|n| *n > 0);
        }
        self.width(from)
    }

    /// A dense layer of the identity, with an activation.
    pub(super) fn identity(&mut self, name: &str, from: &Value, activation: Activation) -> Result<Source> {
        let width = self.width(&from.sources).unwrap_or(0);
        // The matrix has the square of the width.
        if width == 0 || width > 1 << 10 {
            let cause = format!("{width} values are too many or too few for a layer without weights");
            return Err(self.tensors.refuse(name, cause, "put it behind a Linear layer"));
        }
        let dense = Layer::Dense(Dense { w: Matrix::diagonal(&vec![1.0; width]), b: vec![0.0; width], activation });
        let node = Node { last: from.final_step, ..Node::new(name, dense, from.sources.clone()) };
        self.push(node, None)
    }

    /// A value as that of one source.
    pub(super) fn single(&mut self, name: &str, value: &Value) -> Result<Source> {
        match value.sources[..] {
            [source] if !value.final_step => Ok(source),
            _ => self.identity(name, value, Activation::Linear),
        }
    }

    /// Gives a linear dense layer its activation, if the value is one.
    pub(super) fn fold(&mut self, value: &Value, activation: Activation) -> bool {
        if let [Source::Node(k)] = value.sources[..]
            && let Some(Node { layer: Layer::Dense(dense), .. }) = self.nodes.get_mut(k)
            && dense.activation == Activation::Linear
        {
            dense.activation = activation;
            return true;
        }
        false
    }

    /// Only the last step of a value's nodes goes on.
    pub(super) fn set_last(&mut self, value: &Value) {
        for source in &value.sources {
            if let Source::Node(k) = source
                && let (Some(node), Some(pace)) = (self.nodes.get_mut(*k), self.paces.get_mut(*k))
            {
                node.last = true;
                *pace = None;
            }
        }
    }

    /// Several values as one. Of a value of which only the last step is meant nothing else may remain beside others.
    pub(super) fn join(&mut self, name: &str, values: &[Value]) -> Result<Value> {
        if let [value] = values {
            return Ok(value.clone());
        }
        let mut joined = Value::default();
        for (k, value) in values.iter().enumerate() {
            if value.final_step {
                let node = self.identity(&format!("{name}_from{k}"), value, Activation::Linear)?;
                joined.sources.push(node);
            } else {
                joined.sources.extend(&value.sources);
            }
            joined.open = joined.open.or_else(|| value.open.clone());
        }
        Ok(joined)
    }

    /// Makes a value an output. With `named` its node gets the name, so that it can be found by it.
    pub(super) fn head(&mut self, name: &str, value: &Value, named: bool) -> Result<()> {
        if let Some(module) = &value.open {
            let cause = "of a bidirectional layer the file does not tell which step goes on";
            let remedy = "say last = \"hidden\" (h_n: the final states of both directions) or last = \"output\" \
                          (output[:, -1]) in its [[layer]] of model.toml";
            return Err(self.tensors.refuse(module, cause, remedy));
        }
        let node = match value.sources[..] {
            [Source::Node(k)] if !value.final_step => k,
            _ => match self.identity(&format!("{name}_output"), value, Activation::Linear)? {
                Source::Node(k) => k,
                Source::Input | Source::Stream(_) => 0,
            },
        };
        if named && self.nodes[node].name != name {
            // The first of the stacked layers has the module's name.
            if let Some(first) = self.nodes.iter_mut().find(|n| n.name == name) {
                first.name = format!("{name}_l0");
            }
            name.clone_into(&mut self.nodes[node].name);
        }
        self.heads.push(Head { node, labels: Vec::new() });
        Ok(())
    }

    pub(super) fn finish(self, name: String) -> Network {
        let input = InputMap::identity(self.inputs.unwrap_or(0));
        let streams = if self.streams.len() > 1 { self.streams } else { Vec::new() };
        Network { name, nodes: self.nodes, heads: self.heads, input, streams, window: None, mask: None }
    }
}
