//! The order in which operators run, which of them matter, and the model's inputs.

use super::signal::{Axis, Row};
use super::size::{BATCH, STEPS, Size};
use super::{proto, read, tensor::Tensor};
use crate::error::{Error, Result};
use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

const AGAIN: &str = "export the model again";

pub(super) struct Graph<'a> {
    pub(super) path: &'a Path,
    pub(super) opset: i64,
    /// The operators that the outputs need, each after those whose values it takes.
    pub(super) order: Vec<&'a proto::Node>,
    /// How many times each value is taken, by operators or as an output.
    pub(super) uses: HashMap<&'a str, usize>,
    pub(super) outputs: Vec<&'a str>,
    /// Inputs that are no initializers.
    pub(super) inputs: Vec<&'a proto::ValueInfo>,
    initializers: HashMap<&'a str, &'a proto::Tensor>,
    read: RefCell<HashMap<&'a str, Rc<Tensor>>>,
    /// Which of the inputs is the sequence.
    main: Option<&'a proto::ValueInfo>,
}

/// Names and messages stay on one line.
pub(super) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A node's name, or what it makes if it has none.
pub(super) fn name(node: &proto::Node) -> String {
    let name = if node.name.is_empty() { node.output.first().map_or("", String::as_str) } else { &node.name };
    plain(name)
}

impl<'a> Graph<'a> {
    pub(super) fn new(path: &'a Path, graph: &'a proto::Graph, opset: i64) -> Result<Self> {
        let mut makers: HashMap<&str, usize> = HashMap::new();
        for (k, node) in graph.node.iter().enumerate() {
            for output in node.output.iter().filter(|o| !o.is_empty()) {
                if makers.insert(output, k).is_some() {
                    let cause = format!("the value {:?} is made twice", plain(output));
                    return Err(Error::new(path, cause, AGAIN).in_layer(&name(node)));
                }
            }
        }
        let outputs: Vec<&str> = graph.output.iter().map(|o| o.name.as_str()).collect();
        let order = order(path, &graph.node, &makers, &outputs)?;
        let mut uses = HashMap::new();
        let taken = order.iter().flat_map(|n| &n.input).map(String::as_str);
        taken.chain(outputs.iter().copied()).for_each(|v| *uses.entry(v).or_default() += 1);
        let initializers: HashMap<&str, &proto::Tensor> =
            graph.initializer.iter().map(|t| (t.name.as_str(), t)).collect();
        let inputs: Vec<_> = graph.input.iter().filter(|i| !initializers.contains_key(i.name.as_str())).collect();
        let mut this =
            Self { path, opset, order, uses, outputs, inputs, initializers, read: RefCell::default(), main: None };
        let states = this.states(&makers, &graph.node);
        let sequence = |i: &&proto::ValueInfo| !states.contains(i.name.as_str());
        this.main = this.inputs.iter().copied().find(sequence).or(this.inputs.first().copied());
        Ok(this)
    }

    /// Inputs out of which the initial states of recurrent layers are taken.
    fn states(&self, makers: &HashMap<&str, usize>, nodes: &'a [proto::Node]) -> HashSet<&'a str> {
        let recurrent = self.order.iter().filter(|n| ["LSTM", "GRU", "RNN"].contains(&n.op_type.as_str()));
        let initial = recurrent.flat_map(|n| n.input.iter().skip(5).take(2)).map(String::as_str);
        let mut states = HashSet::new();
        for mut value in initial {
            // A bound on a way back that might go round in circles.
            for _ in 0..64 {
                let Some(&k) = makers.get(value) else { break };
                let node = &nodes[k];
                let moves =
                    ["Slice", "Gather", "Squeeze", "Unsqueeze", "Transpose", "Reshape", "Identity", "Split", "Cast"];
                match node.input.first().filter(|_| moves.contains(&node.op_type.as_str())) {
                    Some(first) => value = first,
                    None => break,
                }
            }
            states.insert(value);
        }
        states
    }

    /// A constant of the file, read once.
    pub(super) fn initializer(&self, name: &'a str) -> Option<Result<Rc<Tensor>>> {
        if let Some(done) = self.read.borrow().get(name) {
            return Some(Ok(Rc::clone(done)));
        }
        let tensor = self.initializers.get(name)?;
        let tensor = read::tensor(self.path, tensor)
            .map_err(|f| Error::new(self.path, f.cause, f.remedy).at(format_args!("tensor {:?}", plain(name))));
        Some(tensor.map(|t| {
            let t = Rc::new(t);
            self.read.borrow_mut().insert(name, Rc::clone(&t));
            t
        }))
    }

    pub(super) fn no_input(&self) -> Error {
        Error::new(self.path, "it has no input of one, two or three axes", "export a model that takes a sequence")
    }

    /// The name of the sequence, and the axes that it may have: the likeliest first.
    pub(super) fn layouts(&self) -> Result<Vec<(&'a str, Vec<Axis>)>> {
        let main = self.main.ok_or_else(|| self.no_input())?;
        let refuse = |cause: String, remedy: &str| {
            Err(Error::new(self.path, cause, remedy).at(format_args!("input {:?}", plain(&main.name))))
        };
        let shape = main.r#type.as_ref().and_then(|t| t.tensor_type.as_ref());
        let Some(shape) = shape.and_then(|t| t.shape.as_ref()) else {
            return refuse("its shape is not in the file".into(), "export the model with the shape of its input");
        };
        let sizes: Vec<Option<i64>> = shape.dim.iter().map(|d| d.dim_value.filter(|&n| n > 0)).collect();
        let row = |row: Row, size: Option<i64>| {
            let unknown = if row == Row::Batch { BATCH } else { STEPS };
            let size = size.map_or(unknown, Size::of);
            if size == Size::of(1) { Axis::Features(1) } else { Axis::Rows(vec![(row, size)]) }
        };
        // A letter an axis: batch, time, features, or one feature without an axis.
        let letters: &[&str] = match sizes.len() {
            1 => &["F", "T"],
            2 => &["TF", "BT", "TB", "BF"],
            // Features come before time only where a convolution wants that, or something turns the axes.
            3 if self.order.iter().any(|n| ["Conv", "Transpose"].contains(&n.op_type.as_str())) => {
                &["BTF", "TBF", "BFT"]
            }
            3 => &["BTF", "TBF"],
            _ => {
                return refuse(
                    format!("it has {} axes", sizes.len()),
                    "export a model that takes (batch, time, features)",
                );
            }
        };
        let mut layouts = Vec::new();
        for letters in letters {
            let axes: Option<Vec<Axis>> = letters
                .chars()
                .zip(&sizes)
                .map(|(letter, &size)| match letter {
                    'B' => Some(row(Row::Batch, size)),
                    'T' => Some(row(Row::Time, size)),
                    _ => size.and_then(|n| usize::try_from(n).ok()).filter(|&n| n <= 65535).map(Axis::Features),
                })
                .collect();
            layouts
                .extend(axes.filter(|a| !layouts.iter().any(|(_, l)| l == a)).map(|axes| (main.name.as_str(), axes)));
        }
        if layouts.is_empty() {
            return refuse(
                "its number of features is not in the file".into(),
                "export the model with a fixed number of features",
            );
        }
        Ok(layouts)
    }
}

/// The operators that the outputs need, in an order in which each follows those whose values it takes.
fn order<'a>(
    path: &Path,
    nodes: &'a [proto::Node],
    makers: &HashMap<&str, usize>,
    outputs: &[&str],
) -> Result<Vec<&'a proto::Node>> {
    let mut needed = vec![false; nodes.len()];
    let mut open: Vec<usize> = outputs.iter().filter_map(|o| makers.get(o).copied()).collect();
    while let Some(k) = open.pop() {
        if !std::mem::replace(&mut needed[k], true) {
            open.extend(nodes[k].input.iter().filter_map(|i| makers.get(i.as_str()).copied()));
        }
    }
    // Kahn 1962: the file's order among those that may run.
    let mut waiting = vec![0usize; nodes.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for k in (0..nodes.len()).filter(|&k| needed[k]) {
        for maker in nodes[k].input.iter().filter_map(|i| makers.get(i.as_str())) {
            waiting[k] += 1;
            followers[*maker].push(k);
        }
    }
    let mut ready: BTreeSet<usize> = (0..nodes.len()).filter(|&k| needed[k] && waiting[k] == 0).collect();
    let mut order = Vec::new();
    while let Some(k) = ready.pop_first() {
        order.push(&nodes[k]);
        for &f in &followers[k] {
            waiting[f] -= 1;
            if waiting[f] == 0 {
                ready.insert(f);
            }
        }
    }
    match (0..nodes.len()).find(|&k| needed[k] && waiting[k] > 0) {
        Some(k) => {
            Err(Error::new(path, "it takes a value that is computed from its own", AGAIN).in_layer(&name(&nodes[k])))
        }
        None => Ok(order),
    }
}
