//! What the float network did on the calibration data, once, and how far an integer model is from it.

use crate::beside::Recurrent;
use crate::data::{Sequence, Sequences};
use crate::eval::{Units, run};
use cellstate::Model;
use cellstate_reference::{Evaluator, Network};

/// Models are stepped over so many multiplications of calibration data at most.
const MULTIPLICATIONS: usize = 1 << 29;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// The hidden state of a recurrent layer.
    Hidden(Recurrent),
    /// An output; of a softmax its logits.
    Head(usize),
}

/// The most dB, which are those of no noise, or of no signal.
const MOST_DB: f64 = 200.0;

/// How much of a signal an error leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quality {
    signal: f64,
    /// Step by step.
    noise: Vec<f64>,
}

impl Quality {
    /// Signal-to-noise ratio in dB, of the geometric mean of the noise over the steps: the typical error. In the arithmetic
    /// mean a few moments, at which a decision falls a step earlier or later, hide all else; which rounding serves a model
    /// best elsewhere they do not tell.
    pub fn db(&self) -> f64 {
        let count = self.noise.len().max(1) as f64;
        let signal = self.signal / count;
        let least = signal * libm::exp10(-MOST_DB / 10.0);
        if signal <= 0.0 {
            return MOST_DB;
        }
        let each = self.noise.iter().map(|noise| libm::log10(noise.max(least) / signal));
        -10.0 * each.sum::<f64>() / count
    }
}

/// The float network's values, step by step, beside the samples.
pub struct Recording {
    units: Units,
    data: Sequences,
    places: Vec<Place>,
    /// For each step each place's values, where the step made them.
    steps: Vec<Vec<Option<Vec<f64>>>>,
    /// Every so many sequences one is kept.
    stride: usize,
    most: usize,
    seen: usize,
}

impl Recording {
    /// Nothing yet, of data with so many sequences and steps.
    pub fn new(network: &Network, data: &Sequences, units: Units) -> Self {
        let recurrent = Recurrent::all(network).map(Place::Hidden);
        let weights: usize = (0..network.nodes.len()).map(|k| network.nodes[k].layer.weights()).sum();
        let most = (MULTIPLICATIONS / weights.max(1)).max(1);
        let steps: usize = data.sequences.iter().map(Sequence::len).sum();
        Self {
            units,
            data: Sequences { features: data.features, sequences: Vec::new() },
            places: recurrent.chain((0..network.heads.len()).map(Place::Head)).collect(),
            steps: Vec::new(),
            stride: steps.div_ceil(most).max(1),
            most,
            seen: 0,
        }
    }

    /// Begins a sequence, and says whether it is of those that are kept.
    pub fn begin(&mut self, sequence: &Sequence) -> bool {
        let room = self.most - self.steps.len();
        let kept = self.seen.is_multiple_of(self.stride) && room > 0;
        self.seen += 1;
        if kept {
            self.data.sequences.push(sequence.first(room));
        }
        kept
    }

    /// Takes a step of a sequence that is kept.
    pub fn observe(&mut self, network: &Network, float: &Evaluator) {
        if self.steps.len() == self.most {
            return;
        }
        let value = |place: &Place| match *place {
            Place::Hidden(layer) => layer.float(float).map(|t| t.output.clone()),
            Place::Head(h) => {
                let node = network.heads[h].node;
                let softmax = network.nodes[node].layer.is_softmax();
                float.traces(node).last().map(|t| if softmax { t.z.clone() } else { t.output.clone() })
            }
        };
        let values = self.places.iter().map(value).collect();
        self.steps.push(values);
    }

    /// How well a model does what rounding node `from` can change first: the hidden states of the recurrent nodes from
    /// there on, or the outputs if there are none.
    ///
    /// # Errors
    /// A sentence if the model cannot be run on the host.
    pub fn from(&self, model: &Model, from: usize) -> Result<Quality, String> {
        let hidden = |p: &Place| matches!(p, Place::Hidden(layer) if layer.node >= from);
        let recurrent = self.places.iter().any(hidden);
        self.compare(model, |p| if recurrent { hidden(p) } else { matches!(p, Place::Head(_)) })
    }

    /// How well a model's outputs are the network's.
    ///
    /// # Errors
    /// A sentence if the model cannot be run on the host.
    pub fn outputs(&self, model: &Model) -> Result<Quality, String> {
        self.compare(model, |p| matches!(p, Place::Head(_)))
    }

    fn compare(&self, model: &Model, counts: impl Fn(&Place) -> bool) -> Result<Quality, String> {
        let mut quality = Quality::default();
        let mut steps = self.steps.iter();
        run(model, &self.data, self.units, |session, _, _| {
            for (place, float) in self.places.iter().zip(steps.next().into_iter().flatten()) {
                let Some(float) = float.as_ref().filter(|_| counts(place)) else { continue };
                match *place {
                    Place::Hidden(layer) => quality.observe(float, layer.hidden(session)),
                    Place::Head(h) => {
                        let output = session.head(h);
                        quality.observe(float, (0..output.len()).map(|k| f64::from(output.value(k).unwrap_or(0.0))));
                    }
                }
            }
        })?;
        Ok(quality)
    }
}

impl Quality {
    fn observe(&mut self, float: &[f64], integer: impl Iterator<Item = f64>) {
        let mut noise = 0.0;
        for (f, i) in float.iter().zip(integer) {
            self.signal += f * f;
            noise += (i - f) * (i - f);
        }
        self.noise.push(noise);
    }
}
