//! From layers that name their inputs to the order in which they run.

use super::attention;
use super::builder::{Builder, WIDEST};
use super::config::{Call, Entry, Fault, Model, Tensor};
use super::flow::Flow;
use super::weights::Place;
use crate::error::{Error, Result};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// The most calls of layers, in all models within the model together.
const MOST_CALLS: usize = 1000;
/// How deep models may be within models.
const MOST_DEPTH: usize = 8;
impl Builder<'_> {
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
                    flows = self.call(entry, place, &taken, (false, depth))?;
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
            for &from in &sources {
                takers[from].push(at);
            }
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
            for (output, flow) in self.call(entry, &places[*k], &inputs, (call.causal, depth))?.into_iter().enumerate()
            {
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

    /// One call of a layer, perhaps with a causal mask.
    fn call(
        &mut self,
        entry: &Entry,
        place: &Place,
        inputs: &[Flow],
        (causal, depth): (bool, usize),
    ) -> Result<Vec<Flow>> {
        self.calls += 1;
        if self.calls > MOST_CALLS {
            return Err(self.refuse(entry, "it has too many layers before it", "give a smaller model"));
        }
        let flows = if attention::CLASSES.contains(&entry.class) {
            self.known(entry)?;
            vec![self.attention(entry, place, inputs, causal)?]
        } else {
            self.layer(entry, place, inputs, depth)?
        };
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
pub(super) fn calls<'v>(
    model: &Model<'v>,
    outputs: &[Tensor<'v>],
) -> Vec<(usize, usize, std::result::Result<Call<'v>, Fault>)> {
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
