//! A network in motion.

use crate::cell::{Memory, Trace};
use crate::network::{Network, Source};

/// A network with its state.
///
/// A streaming network runs on every sample, with its state carried on; a windowed one collects a window of samples, then
/// runs over all of it from its initial state. Both are the same walk, over one step or over many.
#[derive(Clone, Debug)]
pub struct Evaluator<'a> {
    network: &'a Network,
    memories: Vec<Memory>,
    /// What each node yielded in the latest run, step by step.
    traces: Vec<Vec<Trace>>,
    /// The samples of a window that is not full yet.
    samples: Vec<Vec<f64>>,
    outputs: Vec<Vec<f64>>,
}

impl<'a> Evaluator<'a> {
    /// Begins with the initial state.
    pub fn new(network: &'a Network) -> Self {
        let outputs = network.heads.iter().map(|h| vec![0.0; network.width(Source::Node(h.node))]).collect();
        let traces = vec![Vec::new(); network.nodes.len()];
        Self { network, memories: fresh(network), traces, samples: Vec::new(), outputs }
    }

    /// Back to the initial state.
    pub fn reset(&mut self) {
        *self = Self::new(self.network);
    }

    /// One time step on a sample in model units. Returns the first output, and whether this step made it: a window or a
    /// convolution may wait for more samples, and a masked one is skipped.
    ///
    /// # Panics
    /// If the sample is shorter than the network's input.
    pub fn step(&mut self, x: &[f64]) -> (&[f64], bool) {
        self.traces.iter_mut().for_each(Vec::clear);
        let masked = |x: &[f64]| self.network.mask.is_some_and(|mask| x.iter().all(|v| v.total_cmp(&mask).is_eq()));
        if let Some(steps) = self.network.window {
            self.samples.push(x.to_vec());
            if self.samples.len() == steps {
                let samples = std::mem::take(&mut self.samples);
                self.memories = fresh(self.network);
                self.run(&samples.into_iter().filter(|x| !masked(x)).collect::<Vec<_>>());
            }
        } else if !masked(x) {
            self.run(&[x.to_vec()]);
        }
        (&self.outputs[0], self.traces[self.network.heads[0].node].last().is_some())
    }

    /// All nodes over a sequence of samples.
    fn run(&mut self, samples: &[Vec<f64>]) {
        for (k, node) in self.network.nodes.iter().enumerate() {
            let steps = node.from.iter().map(|s| match s {
                Source::Input => samples.len(),
                Source::Node(n) => self.traces[*n].len(),
            });
            let steps = steps.min().unwrap_or(0);
            let mut done = Vec::new();
            for step in 0..steps {
                let t = if node.backward { steps - 1 - step } else { step };
                let input: Vec<f64> = node.from.iter().flat_map(|s| self.value(*s, samples, t)).copied().collect();
                done.extend(self.memories[k].step(&node.layer, &input));
            }
            if node.last {
                done.drain(..done.len().saturating_sub(1));
            }
            if node.backward {
                done.reverse();
            }
            self.traces[k] = done;
        }
        for (output, head) in self.outputs.iter_mut().zip(&self.network.heads) {
            if let Some(trace) = self.traces[head.node].last() {
                output.clone_from(&trace.output);
            }
        }
    }

    fn value<'v>(&'v self, source: Source, samples: &'v [Vec<f64>], t: usize) -> &'v [f64] {
        match source {
            Source::Input => &samples[t],
            Source::Node(k) => &self.traces[k][t].output,
        }
    }

    /// What node `k` did in the latest step, step by step of what it ran over: one for a streaming network, and none for a
    /// node that waits.
    pub fn traces(&self, k: usize) -> &[Trace] {
        &self.traces[k]
    }

    /// The latest value of output `head`.
    pub fn output(&self, head: usize) -> &[f64] {
        &self.outputs[head]
    }
}

fn fresh(network: &Network) -> Vec<Memory> {
    network.nodes.iter().enumerate().map(|(k, n)| Memory::new(&n.layer, network.input_width(k))).collect()
}
