//! A network in motion.

use crate::attention::Attention;
use crate::cell::{Memory, Trace};
use crate::layer::Layer;
use crate::network::{Network, Node, Source};

/// A network with its state.
///
/// A streaming network runs on every sample, with its state carried on; a windowed one collects a window of samples, then
/// runs over all of it from its initial state. Both are the same walk, over one step or over many.
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    network: &'a Network,
    memories: Vec<Memory>,
    /// What each node did in the latest step, step by step of what it ran over.
    traces: Vec<Vec<Trace>>,
    /// What each node yielded in its latest run.
    values: Values,
    /// The samples of a window that is not full yet.
    samples: Vec<Vec<f64>>,
    outputs: Vec<Vec<f64>>,
}

/// The values of every source: of the stream that steps those of this run, of others their latest.
#[derive(Clone, Debug, Default)]
struct Values {
    streams: Vec<Vec<Vec<f64>>>,
    nodes: Vec<Vec<Vec<f64>>>,
}

impl Values {
    fn of(&self, source: Source) -> &[Vec<f64>] {
        match source {
            Source::Input => &self.streams[0],
            Source::Stream(k) => &self.streams[k],
            Source::Node(k) => &self.nodes[k],
        }
    }

    /// How many steps all of these sources have.
    fn count<'s>(&self, sources: impl IntoIterator<Item = &'s Source>) -> usize {
        sources.into_iter().map(|&s| self.of(s).len()).min().unwrap_or(0)
    }

    /// The sources at step `t`, one after the other.
    fn at(&self, sources: &[Source], t: usize) -> Vec<f64> {
        sources.iter().flat_map(|&s| &self.of(s)[t]).copied().collect()
    }
}

impl<'a> Evaluator<'a> {
    /// Begins with the initial state.
    pub fn new(network: &'a Network) -> Self {
        let outputs = network.heads.iter().map(|h| vec![0.0; network.width(Source::Node(h.node))]).collect();
        let traces = vec![Vec::new(); network.nodes.len()];
        let values = Values {
            streams: vec![Vec::new(); network.streams.len().max(1)],
            nodes: vec![Vec::new(); network.nodes.len()],
        };
        Self { network, memories: fresh(network), traces, values, samples: Vec::new(), outputs }
    }

    /// Back to the initial state.
    pub fn reset(&mut self) {
        *self = Self::new(self.network);
    }

    /// One time step on a sample in model units, of the first stream if there are several. Returns the first output, and
    /// whether this step made it: a window or a convolution may wait for more samples, and a masked one is skipped.
    ///
    /// # Panics
    /// If the sample is shorter than the network's input.
    pub fn step(&mut self, x: &[f64]) -> (&[f64], bool) {
        self.step_stream(0, x)
    }

    /// The same on a sample of any stream.
    ///
    /// # Panics
    /// If there is no such stream, or the sample is shorter than its features.
    pub fn step_stream(&mut self, stream: usize, x: &[f64]) -> (&[f64], bool) {
        self.traces.iter_mut().for_each(Vec::clear);
        let masked = |x: &[f64]| self.network.mask.is_some_and(|mask| x.iter().all(|v| v.total_cmp(&mask).is_eq()));
        if let Some(steps) = self.network.window {
            self.samples.push(x.to_vec());
            if self.samples.len() == steps {
                let samples = std::mem::take(&mut self.samples);
                self.memories = fresh(self.network);
                self.run(0, samples.into_iter().filter(|x| !masked(x)).collect());
            }
        } else if !masked(x) {
            self.run(stream, vec![x.to_vec()]);
        }
        let new = self.traces[self.network.heads[0].node].last().is_some_and(|t| !t.output.is_empty());
        (&self.outputs[0], new)
    }

    /// Clears what a stream left: the states of the nodes that run on it, and memories of it.
    pub fn reset_stream(&mut self, stream: usize) {
        let network = self.network;
        self.values.streams[stream].clear();
        for (k, node) in network.nodes.iter().enumerate() {
            let runs = network.stream(node.from[0]) == stream;
            if runs {
                self.values.nodes[k].clear();
            }
            if memories(node).map_or(runs, |sources| network.stream(sources[0]) == stream) {
                self.memories[k] = Memory::new(&node.layer, network.input_width(k));
            }
        }
    }

    /// All nodes over a sequence of samples of a stream.
    fn run(&mut self, stream: usize, samples: Vec<Vec<f64>>) {
        let Self { network, memories: states, traces, values, .. } = self;
        values.streams[stream] = samples;
        for (k, node) in network.nodes.iter().enumerate() {
            let runs = network.stream(node.from[0]) == stream;
            let done = match &node.layer {
                Layer::Attention(a) => {
                    let remembers = memories(node).is_some_and(|sources| network.stream(sources[0]) == stream);
                    if !runs && !remembers {
                        continue;
                    }
                    attend(a, node, values, &mut states[k], [runs, remembers])
                }
                _ if runs => walk(node, values, &mut states[k]),
                _ => continue,
            };
            if runs {
                values.nodes[k] = done.iter().map(|t| t.output.clone()).collect();
            }
            traces[k] = done;
        }
        for (output, head) in self.outputs.iter_mut().zip(&self.network.heads) {
            if let Some(value) = self.traces[head.node].last().filter(|t| !t.output.is_empty()) {
                output.clone_from(&value.output);
            }
        }
    }

    /// What node `k` did in the latest step, step by step of what it ran over: one for a streaming network, and none for a
    /// node that waits. One that only took in a memory has no output.
    pub fn traces(&self, k: usize) -> &[Trace] {
        &self.traces[k]
    }

    /// The latest value of output `head`.
    pub fn output(&self, head: usize) -> &[f64] {
        &self.outputs[head]
    }
}

/// The sources of a node's memories, if it has some.
fn memories(node: &Node) -> Option<&[Source]> {
    matches!(node.layer, Layer::Attention(_)).then(|| &node.from[1..])
}

/// All steps of a node.
fn walk(node: &Node, values: &Values, memory: &mut Memory) -> Vec<Trace> {
    let steps = values.count(&node.from);
    let mut done = Vec::new();
    for step in 0..steps {
        let t = if node.backward { steps - 1 - step } else { step };
        let input = match node.layer {
            Layer::Sum => pointwise(node, values, t, |a, b| a + b),
            Layer::Product => pointwise(node, values, t, |a, b| a * b),
            _ => values.at(&node.from, t),
        };
        done.extend(memory.step(&node.layer, &input));
    }
    if node.last {
        done.drain(..done.len().saturating_sub(1));
    }
    if node.backward {
        done.reverse();
    }
    done
}

fn pointwise(node: &Node, values: &Values, t: usize, f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut parts = node.from.iter().map(|&s| values.of(s)[t].clone());
    let first = parts.next().unwrap_or_default();
    parts.fold(first, |sum, part| sum.iter().zip(&part).map(|(a, b)| f(*a, *b)).collect())
}

/// All steps of attention, which takes in memories, answers, or both: what is causal by turns.
fn attend(a: &Attention, node: &Node, values: &Values, memory: &mut Memory, [runs, takes]: [bool; 2]) -> Vec<Trace> {
    let ring = &mut memory.memories;
    let sources = &node.from[1..];
    let count = if takes { values.count(sources) } else { 0 };
    if !runs {
        let entry = |t| {
            let input = values.at(sources, t);
            let [key, value] = a.remember(ring, &input);
            Trace { memories: vec![[input, key, value]], ..Trace::default() }
        };
        return (0..count).map(entry).collect();
    }
    let mut taken = 0;
    let mut done: Vec<Trace> = Vec::new();
    for t in 0..values.count(&node.from[..1]) {
        let mut new = Vec::new();
        while taken < if a.causal { count.min(t + 1) } else { count } {
            let input = values.at(sources, taken);
            let [key, value] = a.remember(ring, &input);
            new.push([input, key, value]);
            taken += 1;
        }
        done.push(Trace { memories: new, ..a.ask(ring, &values.of(node.from[0])[t]) });
    }
    if node.last {
        done.drain(..done.len().saturating_sub(1));
    }
    done
}

fn fresh(network: &Network) -> Vec<Memory> {
    network.nodes.iter().enumerate().map(|(k, n)| Memory::new(&n.layer, network.input_width(k))).collect()
}
