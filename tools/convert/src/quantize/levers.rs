//! What may be done for the accuracy of a layer, and what is done for each.

use cellstate::model::header::Weights;
use cellstate_reference::Network;
use std::fmt;

/// How a layer's weights are rounded. Nothing of it costs the device anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Levers {
    /// Each row's scale is the one of least error, rather than the one that holds its largest weight.
    pub ranges: bool,
    /// Errors of weights make up for one another, the covariance being damped by this share of its mean diagonal.
    pub compensated: Option<f64>,
    /// What an error costs is weighted by how much the gate then tells in the cell state or in the hidden state.
    pub weighted: bool,
}

impl Levers {
    /// All that is tried, simplest first; the first is rounding to the nearest.
    pub const ALL: [Self; 14] = [
        Self { ranges: false, compensated: None, weighted: false },
        Self { ranges: true, compensated: None, weighted: false },
        Self { ranges: false, compensated: Some(0.001), weighted: false },
        Self { ranges: false, compensated: Some(0.01), weighted: false },
        Self { ranges: false, compensated: Some(0.1), weighted: false },
        Self { ranges: true, compensated: Some(0.001), weighted: false },
        Self { ranges: true, compensated: Some(0.01), weighted: false },
        Self { ranges: true, compensated: Some(0.1), weighted: false },
        Self { ranges: false, compensated: Some(0.001), weighted: true },
        Self { ranges: false, compensated: Some(0.01), weighted: true },
        Self { ranges: false, compensated: Some(0.1), weighted: true },
        Self { ranges: true, compensated: Some(0.001), weighted: true },
        Self { ranges: true, compensated: Some(0.01), weighted: true },
        Self { ranges: true, compensated: Some(0.1), weighted: true },
    ];
}

impl fmt::Display for Levers {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let weighted = if self.weighted { ", weighted" } else { "" };
        match (self.ranges, self.compensated) {
            (false, None) => f.write_str("nearest"),
            (true, None) => write!(f, "ranges{weighted}"),
            (false, Some(damping)) => write!(f, "compensated ({damping}{weighted})"),
            (true, Some(damping)) => write!(f, "ranges and compensated ({damping}{weighted})"),
        }
    }
}

/// What is done with one layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct How {
    /// Format of its weights.
    pub weights: Weights,
    /// Their rounding.
    pub levers: Levers,
}

/// What is done with each node of a network.
pub type Plan = Vec<How>;

/// One format for all, rounded to the nearest.
pub fn uniform(network: &Network, weights: Weights) -> Plan {
    vec![How { weights, levers: Levers::default() }; network.nodes.len()]
}
