//! What happens while samples are streamed.

use cellstate_app::protocol::{Counts, Prediction, Ready};
use cellstate_app::server::Stack;
use cellstate_link::Traffic;
use std::path::PathBuf;

/// The board that answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Board {
    /// What it says of itself and of its model.
    pub ready: Ready,
    /// The names of all outputs, head by head: their labels, or a number.
    pub names: Vec<String>,
    /// The outputs of each head.
    pub widths: Vec<usize>,
}

impl Board {
    /// What a prediction decided: the name of the first head's largest output.
    pub fn decision(&self, prediction: &Prediction) -> &str {
        self.names.get(usize::from(prediction.argmax)).map_or("", String::as_str)
    }
}

/// A prediction, and what there is to say of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Shot {
    /// The sample, counted from 0 over all that were sent.
    pub sample: u64,
    /// Its sequence in the file.
    pub sequence: usize,
    /// Its step in the sequence.
    pub step: usize,
    /// Its label, where the file has one and it counts: at each new output if labels stand at steps, else at a sequence's end.
    pub label: Option<i64>,
    /// What the board answered.
    pub prediction: Prediction,
    /// Of all outputs, where the host has the model: probabilities after a softmax, else real values.
    pub scores: Option<Vec<f32>>,
    /// Whether the host's own session has the same outputs, decision and state, where the host has the model.
    pub equal: Option<bool>,
}

/// What host and board have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// By the board, since it started.
    pub counts: Counts,
    /// Of the board.
    pub stack: Option<Stack>,
    /// By the host, over all connections.
    pub traffic: Traffic,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// Samples of all up to this number were sent.
    Sent(u64),
    /// A sample was predicted.
    Predicted(Shot),
    /// Host and board were asked for their counts.
    Told(Told),
    /// What the board's counter advanced in each layer of one step.
    Layers(Vec<u32>),
    /// Layers are looked at from now on, or no longer.
    Profiling(bool),
    /// Streaming rests, or goes on.
    Paused(bool),
    /// The state was reset by hand.
    Reset,
    /// The state was written to a file.
    Saved(PathBuf),
    /// Something that was asked for could not be done.
    Failed(String),
    /// The line broke, and it is tried to connect again.
    Lost(String),
    /// It is connected again.
    Back {
        /// Whether the board began anew, with its initial state.
        restarted: bool,
        /// Samples that were stepped, and of which the predictions were lost.
        unheard: u64,
    },
    /// All samples were streamed.
    Ended,
}
