//! The network as it grows, operator by operator.

use super::model::{Fault, Model, Operator, Result, Tensor, fault};
use super::op;
use super::signal::{Axis, End, Signal};
use super::sizes::Sizes;
use cellstate::model::header::MAX_LAYERS;
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};
use std::collections::HashMap;

/// The widest vector.
const MOST: usize = u16::MAX as usize;

/// What a tensor holds.
#[derive(Clone)]
pub(super) enum Value {
    Signal(Signal),
    /// The constant of another tensor, in wider floats.
    Constant(i32),
    /// Whole numbers computed from shapes.
    Sizes(Sizes),
}

pub(super) struct Graph<'a> {
    pub(super) model: Model<'a>,
    /// How many operators read a tensor, and the outputs.
    uses: HashMap<i32, usize>,
    values: HashMap<i32, Value>,
    nodes: Vec<Node>,
    input: Signal,
    /// Whether a whole window must be there.
    pub(super) windowed: bool,
}

impl<'a> Graph<'a> {
    /// With what the input is: (batch, time, features), (time, batch, features), or less.
    pub(super) fn begin(model: Model<'a>, operators: &[Operator]) -> Result<Self> {
        let &[tensor] = &model.inputs()?[..] else {
            return Err(fault("it does not have one input", "convert a model with one input"));
        };
        let shape = model.tensor(tensor)?.shape()?;
        let axes = match shape[..] {
            [_] => vec![Axis::Features],
            [..] if op::indexes(operators, tensor) && shape.len() == 2 => vec![Axis::One, Axis::Time],
            [_, _] => vec![Axis::One, Axis::Features],
            [first, Some(1), _] if first != Some(1) && op::any_time_major(operators)? => {
                vec![Axis::Time, Axis::One, Axis::Features]
            }
            [_, _, _] => vec![Axis::One, Axis::Time, Axis::Features],
            _ => {
                let cause = format!("its input has {} dimensions", shape.len());
                return Err(fault(cause, "convert a model of (batch, time, features)"));
            }
        };
        let size = |axis| axes.iter().position(|&a| a == axis).map(|k| shape[k]);
        if let Some(Some(batch)) = size(Axis::One)
            && batch != 1
        {
            return Err(fault(format!("it takes {batch} sequences at a time"), "convert it with a batch of 1"));
        }
        let width = size(Axis::Features).unwrap_or(Some(1)).filter(|&n| n > 0 && n <= MOST);
        let width = width.ok_or_else(|| fault("its number of features is not from 1 to 65535", "give it one"))?;
        let mut uses = HashMap::new();
        let read = operators.iter().flat_map(|o| o.inputs.iter().copied());
        for index in read.chain(model.outputs()?) {
            *uses.entry(index).or_default() += 1;
        }
        let steps = size(Axis::Time).flatten();
        let shared = uses.get(&tensor).is_some_and(|&n| n > 1);
        let input = Signal { from: vec![Source::Input], axes, width, steps, reversed: false, shared };
        let values = HashMap::from([(tensor, Value::Signal(input.clone()))]);
        Ok(Self { model, uses, values, nodes: Vec::new(), input, windowed: false })
    }

    /// A sample is a run of the model: its tensors have no time.
    pub(super) fn stepwise(&self) -> bool {
        !self.input.has_time()
    }

    pub(super) fn value(&self, tensor: i32) -> Option<&Value> {
        self.values.get(&tensor)
    }

    /// Input `k` of an operator, if it depends on the network's.
    pub(super) fn flows(&self, operator: &Operator, k: usize) -> Option<Signal> {
        match self.value(operator.input(k)?) {
            Some(Value::Signal(signal)) => Some(signal.clone()),
            _ => None,
        }
    }

    pub(super) fn signal(&self, operator: &Operator, k: usize) -> Result<Signal> {
        self.flows(operator, k).ok_or_else(|| fault("it does not follow from the input", "convert the model again"))
    }

    /// Input `k` of an operator, if it is a constant.
    pub(super) fn constant(&self, operator: &Operator, k: usize) -> Result<Option<Tensor<'a>>> {
        let index = match operator.input(k).map(|i| (i, self.value(i))) {
            None | Some((_, Some(Value::Signal(_) | Value::Sizes(_)))) => return Ok(None),
            Some((_, Some(Value::Constant(source)))) => *source,
            Some((index, None)) => index,
        };
        let tensor = self.model.tensor(index)?;
        Ok((!tensor.bytes.is_empty()).then_some(tensor))
    }

    /// Weights; none if the operator leaves them out.
    pub(super) fn weights(&self, operator: &Operator, k: usize) -> Result<Option<Matrix>> {
        if operator.input(k).is_none() {
            return Ok(None);
        }
        let tensor = self.constant(operator, k)?.ok_or_else(not_constant)?;
        self.model.matrix(&tensor).map(Some)
    }

    pub(super) fn needed(&self, operator: &Operator, k: usize) -> Result<Matrix> {
        self.weights(operator, k)?.ok_or_else(not_constant)
    }

    pub(super) fn integers(&self, operator: &Operator, k: usize) -> Result<Vec<i64>> {
        let tensor = self.constant(operator, k)?;
        self.model.integers(&tensor.ok_or_else(|| fault("it is not at a fixed place", "convert the model again"))?)
    }

    /// Output `k` of an operator.
    pub(super) fn set(&mut self, operator: &Operator, k: usize, value: Value) -> Result<()> {
        let index = operator.outputs.get(k).copied().ok_or(super::flat::Damaged)?;
        let value = match value {
            Value::Signal(mut signal) => {
                signal.shared |= self.uses.get(&index).is_some_and(|&n| n > 1);
                Value::Signal(signal)
            }
            other => other,
        };
        self.values.insert(index, value);
        Ok(())
    }

    pub(super) fn yields(&mut self, operator: &Operator, signal: Signal) -> Result<()> {
        self.set(operator, 0, Value::Signal(signal))
    }

    /// The shape of an operator's result.
    pub(super) fn shape(&self, operator: &Operator) -> Result<Vec<Option<usize>>> {
        self.model.tensor(operator.output()?)?.shape()
    }

    /// A name for what an operator becomes: Keras's, if the converter kept it, or what it is.
    pub(super) fn name(&self, operator: &Operator) -> String {
        let full = operator.output().and_then(|o| self.model.tensor(o)).map(|t| t.name()).unwrap_or_default();
        let parts: Vec<&str> = full.split(';').next().unwrap_or_default().split('/').collect();
        let name = match parts[..] {
            [.., layer, _] if !layer.is_empty() => layer.to_owned(),
            _ => op::name(operator.code).to_lowercase(),
        };
        let taken = |name: &str| self.nodes.iter().any(|n| n.name == name);
        let another = (1..=MAX_LAYERS).map(|k| format!("{name}_{k}")).find(|n| !taken(n));
        if taken(&name) { another.unwrap_or(name) } else { name }
    }

    /// A node behind a signal; what stands in the same dimensions with `width` features.
    pub(super) fn push(&mut self, name: &str, layer: Layer, signal: &Signal, width: usize) -> Result<Signal> {
        if self.nodes.len() == MAX_LAYERS {
            return Err(fault(format!("it has more than {MAX_LAYERS} layers"), "give a smaller model"));
        }
        if width > MOST {
            return Err(fault(format!("it is {width} wide"), "give widths from 1 to 65535"));
        }
        let from = vec![Source::Node(self.nodes.len())];
        self.nodes.push(Node::new(name, layer, signal.from.clone()));
        Ok(Signal { from, width, shared: false, ..signal.clone() })
    }

    /// The node that alone makes a signal, if nothing else sees what it yields.
    pub(super) fn own(&mut self, signal: &Signal) -> Option<&mut Node> {
        match signal.from[..] {
            [Source::Node(k)] if !signal.shared => self.nodes.get_mut(k),
            _ => None,
        }
    }

    pub(super) fn node(&mut self, signal: &Signal) -> Option<&mut Node> {
        match signal.from[..] {
            [Source::Node(k)] => self.nodes.get_mut(k),
            _ => None,
        }
    }

    /// A dense layer of diagonal matrices side by side: sums, and places for what is no layer of its own.
    pub(super) fn diagonal(&mut self, name: &str, parts: &[f64], signal: &Signal) -> Result<Signal> {
        let width = signal.width / parts.len().max(1);
        self.model.take(width.saturating_mul(signal.width))?;
        let w = Matrix::from_fn(width, signal.width, |r, c| if c % width == r { parts[c / width] } else { 0.0 });
        let dense = Dense { w, b: vec![0.0; width], activation: Activation::Linear };
        self.push(name, Layer::Dense(dense), signal, width)
    }

    pub(super) fn activate(&mut self, name: &str, activation: Activation, signal: Signal) -> Result<Signal> {
        if activation == Activation::Linear {
            return Ok(signal);
        }
        let linear = |n: &&mut Node| matches!(&n.layer, Layer::Dense(d) if d.activation == Activation::Linear);
        let signal =
            if self.own(&signal).as_ref().is_some_and(linear) { signal } else { self.diagonal(name, &[1.0], &signal)? };
        if let Some(Node { layer: Layer::Dense(dense), .. }) = self.node(&signal) {
            dense.activation = activation;
        }
        Ok(signal)
    }

    /// `scale x + offset`, within the layer before if that is linear.
    pub(super) fn affine(&mut self, name: &str, scale: &[f64], offset: &[f64], signal: Signal) -> Result<Signal> {
        let weights = self.own(&signal).map_or(0, |n| if let Layer::Dense(d) = &n.layer { d.w.data.len() } else { 0 });
        self.model.take(weights)?;
        let map = |v: &mut [f64]| v.iter_mut().zip(scale).zip(offset).for_each(|((v, s), o)| *v = *v * s + o);
        match self.own(&signal).map(|n| &mut n.layer) {
            Some(Layer::Dense(Dense { w, b, activation: Activation::Linear })) => {
                for (row, s) in w.data.chunks_mut(w.cols.max(1)).zip(scale) {
                    for v in row {
                        *v *= s;
                    }
                }
                map(b);
                Ok(signal)
            }
            Some(Layer::Affine { scale: first, offset: then }) => {
                first.iter_mut().zip(scale).for_each(|(v, s)| *v *= s);
                map(then);
                Ok(signal)
            }
            _ => {
                let layer = Layer::Affine { scale: scale.to_vec(), offset: offset.to_vec() };
                let width = signal.width;
                self.push(name, layer, &signal, width)
            }
        }
    }

    /// One step of a sequence. What walks towards it need only yield its last; another end of it is out of reach.
    pub(super) fn step(&mut self, name: &str, end: End, signal: &Signal, axes: Vec<Axis>) -> Result<Signal> {
        let latest = (end == End::Last) != signal.reversed;
        let left = Signal { axes, reversed: false, ..signal.clone() };
        if let Some(node) = self.own(signal)
            && node.backward != latest
        {
            node.last = true;
            return Ok(left);
        }
        if !latest {
            return Err(fault("it takes the first step of a sequence", "take the last one, or walk backwards"));
        }
        let left = self.diagonal(name, &[1.0], &left)?;
        if let Some(node) = self.node(&left) {
            node.last = true;
        }
        Ok(left)
    }

    /// All steps of a sequence in one vector.
    pub(super) fn flatten(&mut self, name: &str, signal: &Signal, axes: Vec<Axis>) -> Result<Signal> {
        let ordered = signal.axes.iter().filter(|&&a| a != Axis::One).eq(&[Axis::Time, Axis::Features]);
        let taps = signal.steps.filter(|_| ordered && !signal.reversed && signal.steps == self.input.steps);
        let width = taps.and_then(|t| t.checked_mul(signal.width));
        let (Some(taps), Some(width)) = (taps, width) else {
            return Err(fault("it reorders a sequence", "convert a model that flattens all steps, or none"));
        };
        let layer = Layer::Window { taps, dilation: 1, stride: taps, causal: false };
        self.windowed = true;
        self.push(name, layer, &Signal { axes, ..signal.clone() }, width)
    }

    /// The network, once all operators are in it.
    pub(super) fn finish(mut self, name: &str) -> Result<Network> {
        let mut heads = Vec::new();
        for tensor in self.model.outputs()? {
            let Some(Value::Signal(signal)) = self.values.get(&tensor).cloned() else {
                return Err(fault("an output does not depend on the input", "convert the model again"));
            };
            if signal.reversed && signal.has_time() {
                return Err(fault("an output runs from its last step to its first", "reverse it in the model"));
            }
            let node = if let [Source::Node(node)] = signal.from[..] {
                node
            } else {
                self.diagonal(&format!("output_{}", heads.len()), &[1.0], &signal)?;
                self.nodes.len() - 1
            };
            heads.push(Head { node, labels: Vec::new() });
        }
        let window = self.input.steps.filter(|_| self.windowed);
        let input = InputMap::identity(self.input.width);
        Ok(Network { name: name.to_owned(), nodes: self.nodes, heads, input, streams: Vec::new(), window, mask: None })
    }
}

fn not_constant() -> Fault {
    fault("its weights are not constants", "convert a trained model with its variables frozen, as the converter does")
}
