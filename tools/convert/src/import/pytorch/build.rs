//! Each `[[layer]]` in its turn: its tensors to nodes, joined as `model.toml` says.

use super::attention::Place;
use super::graph::{Graph, Value};
use super::kind::{Kind, decide};
use super::tensors::Tensors;
use super::{attention, recurrent, stateless};
use crate::error::Result;
use crate::import::map::{Entry, Last, Map};
use crate::import::{ACTIVATIONS, activation};
use cellstate_reference::{Activation, Layer, Network, Node, Source};
use std::collections::HashMap;

/// Which steps of a layer go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Take {
    /// All of them, as far as the map tells.
    Every,
    /// The last.
    Last,
    /// The final states of both directions.
    Hidden,
    /// The last step of both directions, which for the backward one is its first.
    Output,
}

struct Builder<'a> {
    tensors: &'a Tensors<'a>,
    entries: &'a [Entry],
    outputs: &'a [&'a str],
    streams: &'a [(&'a str, usize)],
    place: Place,
    graph: Graph<'a>,
    /// What each entry hands on.
    values: HashMap<&'a str, Value>,
}

/// The network of entries in the order in which they run; without outputs the last one is the output.
pub(super) fn build(
    tensors: &Tensors,
    entries: &[Entry],
    map: Option<&Map>,
    place: Place,
    name: String,
) -> Result<Network> {
    let outputs: &[&str] = &map.into_iter().flat_map(Map::outputs).collect::<Vec<_>>();
    let streams: &[(&str, usize)] = &map.map(Map::streams).unwrap_or_default();
    attention::streams(tensors, entries, streams)?;
    let graph = Graph::new(tensors, streams.iter().map(|s| s.1).collect());
    let mut builder = Builder { tensors, entries, outputs, streams, place, graph, values: HashMap::new() };
    let mut before: Option<&Entry> = None;
    for entry in entries {
        if builder.add(entry, before)? {
            before = Some(entry);
        }
    }
    let last: Vec<&str> = before.iter().map(|e| e.name.as_str()).collect();
    for (k, output) in if outputs.is_empty() { &last } else { outputs }.iter().enumerate() {
        let value = builder.values.get(output).filter(|_| !outputs[..k.min(outputs.len())].contains(output));
        let Some(value) = value.cloned() else {
            let cause = "an [[output]] names it, and it is no [[layer]] or an output already";
            return Err(tensors.refuse(output, cause, "name each output's [[layer]] once"));
        };
        builder.graph.head(output, &value, !outputs.is_empty())?;
    }
    Ok(builder.graph.finish(name))
}

impl<'a> Builder<'a> {
    fn refuse(
        &self,
        entry: &Entry,
        cause: impl std::fmt::Display,
        remedy: impl std::fmt::Display,
    ) -> crate::error::Error {
        self.tensors.refuse(&entry.name, cause, remedy)
    }

    /// The nodes of one entry; false if it has none.
    fn add(&mut self, entry: &'a Entry, before: Option<&Entry>) -> Result<bool> {
        let values = self.from(entry, before)?;
        let first = matches!(&values[..], [one] if matches!(one.sources[..], [Source::Input | Source::Stream(_)]));
        let kind = decide(self.tensors, entry, first)?;
        if kind == Kind::Unused {
            return Ok(false);
        }
        let take = self.take(entry)?;
        let value = if kind.takes_several() {
            self.several(kind, entry, &values, take)?
        } else {
            let from = self.graph.join(&entry.name, &values)?;
            if from.final_step && (kind.is_recurrent() || matches!(kind, Kind::Conv1d | Kind::Flatten)) {
                let cause = "it takes a sequence, and of the layer before it only the last step goes on";
                return Err(self.refuse(entry, cause, "leave out that one's last"));
            }
            if kind.is_recurrent() {
                self.recurrent(kind, entry, from, take)?
            } else {
                self.stateless(kind, entry, before, from, take)?
            }
        };
        self.values.insert(&entry.name, value);
        Ok(true)
    }

    /// What an entry takes; never empty.
    fn from(&self, entry: &Entry, before: Option<&Entry>) -> Result<Vec<Value>> {
        let mut values = Vec::new();
        for name in &entry.from {
            let stream = self.streams.iter().position(|s| s.0 == name);
            let value = match (self.values.get(name.as_str()), stream) {
                (Some(value), _) => value.clone(),
                (None, Some(k)) => Value::of(if k == 0 { Source::Input } else { Source::Stream(k) }),
                (None, None) if name == "input" && self.streams.is_empty() => Value::of(Source::Input),
                (None, None) => {
                    let cause = format!("its from names \"{name}\", which is no [[layer]] before it");
                    let remedy = if self.streams.is_empty() { "\"input\"" } else { "a [[stream]]" };
                    return Err(self.refuse(entry, cause, format_args!("name earlier layers, or {remedy}")));
                }
            };
            values.push(value);
        }
        if values.is_empty() {
            let value = before.and_then(|b| self.values.get(b.name.as_str()));
            values.push(value.cloned().unwrap_or_else(|| Value::of(Source::Input)));
        }
        Ok(values)
    }

    /// A sum, a product or attention: a node that takes its sources apart.
    fn several(&mut self, kind: Kind, entry: &Entry, values: &[Value], take: Take) -> Result<Value> {
        let name = entry.name.as_str();
        if take == Take::Hidden {
            return Err(self.refuse(entry, "last = \"hidden\" is of recurrent layers", "say last = true"));
        }
        let mut open = values[0].open.clone();
        let source = if kind == Kind::Attention {
            attention::add(&mut self.graph, self.tensors, entry, values, self.place)?
        } else {
            self.equal_width(entry, values)?;
            open = values.iter().find_map(|v| v.open.clone());
            let mut from = Vec::new();
            for (k, value) in values.iter().enumerate() {
                from.push(self.graph.single(&format!("{name}_from{k}"), value)?);
            }
            let layer = if kind == Kind::Sum { Layer::Sum } else { Layer::Product };
            self.graph.push(Node::new(name, layer, from), None)?
        };
        let mut value = Value { open, ..Value::of(source) };
        if let Some(function) = self.activation(entry)?.filter(|f| *f != Activation::Linear) {
            value.sources = vec![self.graph.identity(&format!("{name}_activation"), &value, function)?];
        }
        if take != Take::Every {
            self.graph.set_last(&value);
            value.open = None;
        }
        Ok(value)
    }

    fn take(&self, entry: &Entry) -> Result<Take> {
        Ok(match &entry.last {
            None | Some(Last::Plain(false)) => Take::Every,
            Some(Last::Plain(true)) => Take::Last,
            Some(Last::Named(name)) if name == "hidden" => Take::Hidden,
            Some(Last::Named(name)) if name == "output" => Take::Output,
            Some(Last::Named(name)) => {
                return Err(self.refuse(
                    entry,
                    format!("its last is \"{name}\""),
                    "use true, \"hidden\" or \"output\"",
                ));
            }
        })
    }

    /// Every level in its turn; both directions of one feed both of the next.
    fn recurrent(&mut self, kind: Kind, entry: &Entry, from: Value, take: Take) -> Result<Value> {
        let name = entry.name.as_str();
        let levels = recurrent::levels(self.tensors, kind, entry)?;
        let both = levels.iter().any(|l| l.backward.is_some());
        if both && take == Take::Last {
            let cause = "it is bidirectional, and its last step is not its final states";
            return Err(self.refuse(entry, cause, "say last = \"hidden\" (h_n) or last = \"output\" (output[:, -1])"));
        }
        let mut sources = from.sources;
        for (k, level) in levels.into_iter().enumerate() {
            let name = if k == 0 { name.to_owned() } else { format!("{name}_l{k}") };
            let mut next = Vec::new();
            for (layer, backward) in [(Some(level.forward), false), (level.backward, true)] {
                let Some(layer) = layer else { continue };
                let name = if backward { format!("{name}_reverse") } else { name.clone() };
                let needed = layer.inputs();
                next.push(self.graph.push(Node { backward, ..Node::new(&name, layer, sources.clone()) }, needed)?);
            }
            sources = next;
        }
        let mut value = Value { sources, final_step: false, open: None };
        match take {
            Take::Every => value.open = both.then(|| name.to_owned()),
            // At the last step the backward layer has seen that step alone: all steps are there for the next layer's last.
            Take::Output if both => value.final_step = true,
            Take::Last | Take::Hidden | Take::Output => self.graph.set_last(&value),
        }
        Ok(value)
    }

    fn stateless(
        &mut self,
        kind: Kind,
        entry: &Entry,
        before: Option<&Entry>,
        from: Value,
        take: Take,
    ) -> Result<Value> {
        let name = entry.name.as_str();
        if take == Take::Hidden {
            return Err(self.refuse(entry, "last = \"hidden\" is of recurrent layers", "say last = true"));
        }
        let function = self.activation(entry)?;
        let mut value = from;
        match kind {
            Kind::Activation => {
                let Some(function) = function else {
                    return Err(self.refuse(
                        entry,
                        "it does not say which",
                        format_args!("say activation = {ACTIVATIONS}"),
                    ));
                };
                // Of a layer with other readers, what they read would change; a linear one would be a second name of it.
                let alone = function != Activation::Linear && before.is_some_and(|b| self.is_read_once(b, entry));
                if !(alone && !value.final_step && self.graph.fold(&value, function)) {
                    let source = self.graph.identity(name, &value, function)?;
                    value = Value { sources: vec![source], final_step: false, ..value };
                }
            }
            Kind::Flatten => {
                let Some(taps) = entry.steps.filter(|n| *n > 0) else {
                    let cause = "how many steps it joins cannot be told";
                    return Err(self.refuse(entry, cause, "say steps = N in its [[layer]] of model.toml"));
                };
                let window = Layer::Window { taps, dilation: 1, stride: 1, causal: false };
                value = Value::of(self.graph.push(Node::new(name, window, value.sources), None)?);
            }
            _ => {
                let (layers, inputs) = stateless::layers(self.tensors, kind, entry)?;
                let mut needed = Some(inputs);
                for layer in layers {
                    let window = matches!(layer, Layer::Window { .. });
                    let own = if window { format!("{name}_window") } else { name.to_owned() };
                    let node = Node { last: value.final_step, ..Node::new(&own, layer, value.sources.clone()) };
                    let source = self.graph.push(node, needed.take())?;
                    let open = value.open.filter(|_| !window);
                    value = Value { sources: vec![source], final_step: false, open };
                }
                if let Some(function) = function.filter(|f| *f != Activation::Linear)
                    && !self.graph.fold(&value, function)
                {
                    let source = self.graph.identity(&format!("{name}_activation"), &value, function)?;
                    value.sources = vec![source];
                }
            }
        }
        if take != Take::Every {
            self.graph.set_last(&value);
            value.open = None;
        }
        Ok(value)
    }

    /// That all layers which an entry adds or multiplies have the same width.
    fn equal_width(&self, entry: &Entry, values: &[Value]) -> Result<()> {
        let mut widths: Vec<usize> = values.iter().filter_map(|v| self.graph.width(&v.sources)).collect();
        let count = widths.len();
        widths.dedup();
        if widths.len() == 1 && count == entry.from.len() && count > 1 {
            return Ok(());
        }
        let cause = format!("it joins {} layers of widths {widths:?}", entry.from.len());
        Err(self.refuse(entry, cause, "name two or more of the same width in its from"))
    }

    /// Whether `reader` is the only one that takes what `entry`, the one before it, hands on.
    fn is_read_once(&self, entry: &Entry, reader: &Entry) -> bool {
        let named = |e: &Entry| e.from.contains(&entry.name);
        let takes = reader.from.is_empty() || reader.from == [entry.name.as_str()];
        takes
            && !self.outputs.contains(&entry.name.as_str())
            && self.entries.iter().all(|e| e.name == reader.name || !named(e))
    }

    fn activation(&self, entry: &Entry) -> Result<Option<Activation>> {
        let Some(name) = entry.activation.as_deref() else { return Ok(None) };
        let known = match name {
            "hardsigmoid" => Some(Activation::HardSigmoid { slope: 1.0 / 6.0 }),
            "gelu_tanh" => Some(Activation::Gelu { tanh: true }),
            name => activation(name),
        };
        known.map(Some).ok_or_else(|| {
            self.refuse(
                entry,
                format!("unknown activation \"{name}\""),
                format_args!("use hardsigmoid, gelu_tanh, {ACTIVATIONS}"),
            )
        })
    }
}
