//! A recurrent layer of the float network beside the same layer of the integer model.

use crate::lower::device_index;
use cellstate::Session;
use cellstate_reference::cell::Trace;
use cellstate_reference::{Evaluator, Network};

/// A recurrent layer, on both sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recurrent {
    /// Its node in the lowered network.
    pub node: usize,
    /// Its node in the model.
    pub device: usize,
    backward: bool,
}

impl Recurrent {
    /// All of a lowered network, first to last.
    pub fn all(network: &Network) -> impl Iterator<Item = Self> + '_ {
        let recurrent = network.nodes.iter().enumerate().filter(|(_, n)| n.layer.is_recurrent());
        recurrent.map(|(node, n)| Self { node, device: device_index(network, node), backward: n.backward })
    }

    /// What it did in the latest step; of a window in the step that it walked last, which is what the model keeps.
    pub fn float<'e>(&self, float: &'e Evaluator) -> Option<&'e Trace> {
        let traces = float.traces(self.node);
        if self.backward { traces.first() } else { traces.last() }
    }

    /// The model's hidden state, as real values.
    pub fn hidden<'s>(&self, session: &'s Session) -> impl Iterator<Item = f64> + 's {
        let scale = session.model().node(self.device).map_or(0.0, |(n, _)| f64::from(n.layer.scale()));
        let hidden = session.hidden(self.device).unwrap_or_default();
        hidden.iter().map(move |h| f64::from(h.to_bits()) * scale)
    }
}
