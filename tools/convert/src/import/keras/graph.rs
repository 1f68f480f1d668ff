//! From layers that name their inputs to nodes in an order in which they can run.

use super::config::{Call, Entry, Fault, Model, Tensor};
use super::flow::{Flow, Steps};
use super::weights::{Place, Weights};
use crate::error::{Error, Result};
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;

/// The most calls of layers, in all models within the model together.
const MOST_CALLS: usize = 1000;
/// How deep models may be within models.
const MOST_DEPTH: usize = 8;
/// The most values that are not in the file: of identities, of weights of sums, and of ways from layer to layer.
const MOST_MADE: usize = 1 << 22;
/// The widest vector.
const WIDEST: usize = u16::MAX as usize;

/// A network as it is built.
pub(super) struct Builder<'a> {
    pub(super) path: &'a Path,
    pub(super) weights: Weights<'a>,
    /// Of `hard_sigmoid`.
    pub(super) slope: f64,
    /// `--window`.
    window: Option<usize>,
    pub(super) nodes: Vec<Node>,
    pub(super) mask: Option<f64>,
    /// A layer with a state that a mask does not reach.
    pub(super) unmasked: Option<String>,
    /// Whether the input is one number a step, and may be an index.
    pub(super) indices: bool,
    /// Whether all steps must be there: then the network answers once a window.
    pub(super) windowed: bool,
    calls: usize,
    made: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new(path: &'a Path, weights: Weights<'a>, slope: f64, window: Option<usize>) -> Self {
        let nodes = Vec::new();
        let (mask, unmasked) = (None, None);
        let (indices, windowed, calls, made) = (false, false, 0, 0);
        Self { path, weights, slope, window, nodes, mask, unmasked, indices, windowed, calls, made }
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
        let (inputs, features) = self.inputs(model)?;
        let places = self.weights.places(&model.layers);
        let outputs = self.run(model, &places, inputs, 0)?;
        let last = model.layers.last().copied();
        let mut heads = Vec::new();
        for flow in outputs {
            let (Some(entry), false) = (last, self.nodes.is_empty()) else { continue };
            heads.push(Head { node: self.head(&entry, &flow)?, labels: Vec::new() });
        }
        if let (Some(name), Some(mask)) = (&self.unmasked, self.mask) {
            let cause = format!("samples of only {mask} are masked for another layer and not for it");
            let remedy = "put the Masking or Embedding before all layers that have a state";
            return Err(Error::new(self.path, cause, remedy).in_layer(name));
        }
        let steps = self.window.or_else(|| model_steps(model));
        if self.windowed && steps.is_none() && !self.nodes.iter().any(|n| n.backward) {
            let cause = "its branches have different strides, and it does not say how many steps a window has";
            return Err(Error::new(self.path, cause, "give --window with the number of steps"));
        }
        let nodes = reachable(self.nodes, &mut heads);
        Ok(Network {
            name: model.name.to_owned(),
            nodes,
            heads,
            input: InputMap::identity(features),
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

    /// The outermost model's inputs and the features of all together: several are joined in their order.
    fn inputs(&mut self, model: &Model) -> Result<(Vec<Flow>, usize)> {
        let mut shapes = Vec::new();
        for (entry, shape) in input_shapes(model) {
            let refuse = |cause: String, remedy: &str| Error::new(self.path, cause, remedy).in_layer(entry);
            let unknown = || refuse("the shape of its input is not known".to_owned(), "build the model, then save it");
            let shape = shape.ok_or_else(unknown)?;
            let one = shape.len() == 2 && takes_indices(model, entry);
            let (steps, width) = match shape[1..] {
                [steps] if one => (Steps::Every(steps), Some(1)),
                [width] => (Steps::One, width),
                [steps, width] => (Steps::Every(steps), width),
                _ => {
                    let cause = format!("its input has {} dimensions", shape.len());
                    return Err(refuse(cause, "give it the shape (steps, features)"));
                }
            };
            let width = width.filter(|w| (1..=WIDEST).contains(w)).ok_or_else(|| {
                let shown: Vec<String> = shape.iter().map(|d| d.map_or("None".to_owned(), |d| d.to_string())).collect();
                let cause = format!("its input of shape ({}) has no number of features up to 65535", shown.join(", "));
                refuse(cause, "give it the shape (steps, features)")
            })?;
            let steps = match (steps, self.window) {
                (Steps::Every(Some(known)), Some(given)) if known != given && known != 1 => {
                    let cause = format!("it takes windows of {known} steps, and --window says {given}");
                    return Err(refuse(cause, "leave out --window"));
                }
                (Steps::Every(steps), given) => Steps::Every(given.or(steps)),
                (Steps::One, _) => Steps::One,
            };
            shapes.push((entry, steps, width, one));
        }
        let features = shapes.iter().map(|s| s.2).sum::<usize>();
        let mut flows = Vec::new();
        for &(entry, steps, width, one) in &shapes {
            if steps != shapes[0].1 || features > WIDEST {
                let cause = "its inputs have different numbers of steps, or too many features";
                return Err(Error::new(self.path, cause, "give all inputs the same steps").in_layer(entry));
            }
            let first = flows.iter().map(|f: &Flow| f.width).sum();
            self.indices |= one && shapes.len() == 1;
            flows.push(Flow::input(features, first, width, steps));
        }
        Ok((flows, features))
    }

    /// Runs a model on flows; returns its outputs.
    pub(super) fn run(
        &mut self,
        model: &Model,
        places: &[Place],
        inputs: Vec<Flow>,
        depth: usize,
    ) -> Result<Vec<Flow>> {
        if depth > MOST_DEPTH {
            return Err(Error::new(self.path, "it has models within models", "save one model of layers"));
        }
        match &model.ends {
            None => {
                let mut flows = inputs;
                for (entry, place) in model.layers.iter().zip(places).filter(|(e, _)| e.class != "InputLayer") {
                    let taken = flows.get(..1).unwrap_or_default().to_vec();
                    flows = self.call(entry, place, &taken, depth)?;
                }
                Ok(flows.into_iter().take(1).collect())
            }
            Some(ends) => {
                let mut done: HashMap<Tensor, Flow> = ends.inputs.iter().copied().zip(inputs).collect();
                self.run_graph(model, places, &ends.outputs, &mut done, depth)?;
                let missing = || Error::new(self.path, "an output is no layer's", "save the model again with Keras");
                ends.outputs.iter().map(|t| done.get(t).cloned().ok_or_else(missing)).collect()
            }
        }
    }

    /// Every call that the outputs need, each as soon as its inputs are there.
    fn run_graph<'v>(
        &mut self,
        model: &Model<'v>,
        places: &[Place],
        outputs: &[Tensor<'v>],
        done: &mut HashMap<Tensor<'v>, Flow>,
        depth: usize,
    ) -> Result<()> {
        let calls = calls(model, outputs);
        let index: HashMap<_, _> =
            calls.iter().enumerate().map(|(at, (k, n, _))| ((model.layers[*k].name, *n), at)).collect();
        let source = |t: &Tensor| index.get(&(t.layer, t.call)).copied();
        // Of each call that is needed, how many of its inputs wait for another; of each call, who waits for it.
        let mut waiting: BTreeMap<usize, usize> = BTreeMap::new();
        let mut takers: Vec<Vec<usize>> = vec![Vec::new(); calls.len()];
        let mut open: Vec<usize> = outputs.iter().filter_map(source).collect();
        while let Some(at) = open.pop() {
            if waiting.contains_key(&at) {
                continue;
            }
            let (k, _, call) = &calls[at];
            let entry = &model.layers[*k];
            self.known(entry)?;
            let refuse = |cause| self.refuse(entry, cause, "call it on the outputs of layers alone");
            let sources: Vec<usize> = call.as_ref().map_err(refuse)?.inputs.iter().filter_map(source).collect();
            waiting.insert(at, sources.len());
            sources.iter().for_each(|&from| takers[from].push(at));
            open.extend(sources);
        }
        let mut ready: BTreeSet<usize> = waiting.iter().filter(|(_, n)| **n == 0).map(|(at, _)| *at).collect();
        while let Some(at) = ready.pop_first() {
            waiting.remove(&at);
            let (k, n, Ok(call)) = &calls[at] else { continue };
            let entry = &model.layers[*k];
            let missing = call.inputs.iter().find(|t| !done.contains_key(t));
            if let Some(missing) = missing {
                return Err(self.no_input(entry, missing));
            }
            let given: Vec<&Flow> = call.inputs.iter().filter_map(|t| done.get(t)).collect();
            self.make_room(entry, given.iter().map(|f| f.joined).sum(), 1)?;
            let inputs: Vec<Flow> = given.into_iter().cloned().collect();
            self.masked_as(entry, call, &inputs)?;
            for (output, flow) in self.call(entry, &places[*k], &inputs, depth)?.into_iter().enumerate() {
                done.insert(Tensor { layer: entry.name, call: *n, output }, flow);
            }
            for taker in &takers[at] {
                if let Some(left) = waiting.get_mut(taker) {
                    *left -= 1;
                    if *left == 0 {
                        ready.insert(*taker);
                    }
                }
            }
        }
        // What still waits does so in a circle.
        let (k, call) = match waiting.keys().next().map(|&at| &calls[at]) {
            Some((k, _, Ok(call))) => (*k, call),
            _ => return Ok(()),
        };
        let missing = call.inputs.iter().find(|t| !done.contains_key(t));
        missing.map_or(Ok(()), |t| Err(self.no_input(&model.layers[k], t)))
    }

    fn no_input(&self, entry: &Entry, missing: &Tensor) -> Error {
        let cause = if missing.output > 0 {
            format!("it takes output {} of {}, a cell state", missing.output, missing.layer)
        } else {
            format!("its input {} is no layer's output before it", missing.layer)
        };
        self.refuse(entry, cause, "feed layers with outputs, not with states or constants")
    }

    /// An explicit mask is one that a Masking or Embedding layer has made.
    fn masked_as(&self, entry: &Entry, call: &Call, inputs: &[Flow]) -> Result<()> {
        if call.mask.is_none() || inputs.iter().any(|f| f.masked) {
            return Ok(());
        }
        let remedy = "mask with a Masking layer, or with mask_zero=True in an Embedding";
        Err(self.refuse(entry, "it is called with a mask of its own", remedy))
    }

    /// One call of a layer.
    fn call(&mut self, entry: &Entry, place: &Place, inputs: &[Flow], depth: usize) -> Result<Vec<Flow>> {
        self.calls += 1;
        if self.calls > MOST_CALLS {
            return Err(self.refuse(entry, "it has too many layers before it", "give a smaller model"));
        }
        let flows = self.layer(entry, place, inputs, depth)?;
        if flows.iter().any(|f| f.width == 0 || f.width > WIDEST || f.joined > WIDEST) {
            return Err(self.refuse(entry, "it yields no values or too many", "give widths from 1 to 65535"));
        }
        self.make_room(entry, flows.iter().map(Flow::size).sum(), 1)?;
        Ok(flows)
    }
}

/// All calls: the layer, which of its calls it is to those who take its output, and what it takes.
///
/// A model has been called once when it was made, on its own inputs. Keras does not write this call, and sometimes counts it:
/// every other one has a taker, so one more than there are tells that it does.
fn calls<'v>(model: &Model<'v>, outputs: &[Tensor<'v>]) -> Vec<(usize, usize, std::result::Result<Call<'v>, Fault>)> {
    let written: Vec<Vec<_>> = model.layers.iter().map(Entry::calls).collect();
    let inputs = written.iter().flatten().flatten().flat_map(|call| &call.inputs);
    let taken: HashSet<(&str, usize)> = inputs.chain(outputs).map(|t| (t.layer, t.call)).collect();
    let mut out = Vec::new();
    for (k, (entry, calls)) in
        model.layers.iter().zip(written).enumerate().filter(|(_, (e, _))| e.class != "InputLayer")
    {
        let first = usize::from(taken.contains(&(entry.name, calls.len())));
        out.extend(calls.into_iter().enumerate().map(|(n, call)| (k, n + first, call)));
    }
    out
}

/// Each input's layer and shape with the batch.
fn input_shapes<'v>(model: &Model<'v>) -> Vec<(&'v str, Option<Vec<Option<usize>>>)> {
    let Some(ends) = &model.ends else {
        return model.layers.first().map(|l| (l.name, model.input_shape())).into_iter().collect();
    };
    let shape = |name: &str| model.layers.iter().find(|l| l.name == name).and_then(Entry::input_shape);
    ends.inputs.iter().map(|t| (t.layer, shape(t.layer))).collect()
}

/// The steps of a window, if the model's input is that long and no longer.
fn model_steps(model: &Model) -> Option<usize> {
    let shapes = input_shapes(model);
    let (name, shape) = shapes.first()?;
    match shape.as_deref()? {
        [_, steps, _] => *steps,
        [_, steps] if takes_indices(model, name) => *steps,
        _ => None,
    }
}

/// Whether an input of one dimension is a number a step: an Embedding takes it, or a Reshape to a column.
fn takes_indices(model: &Model, input: &str) -> bool {
    let takes = |e: &Entry| ["Embedding", "Reshape"].contains(&e.class);
    if model.ends.is_none() {
        return model.layers.iter().find(|e| e.class != "InputLayer").is_some_and(takes);
    }
    model
        .layers
        .iter()
        .filter(|e| takes(e))
        .any(|e| e.calls().iter().flatten().any(|c| c.inputs.iter().any(|t| t.layer == input)))
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
