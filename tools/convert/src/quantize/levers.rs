//! What may be done for the accuracy of a layer, and what is done for each.

use cellstate::model::header::Weights;
use cellstate::model::layer as device;
use cellstate::model::more::{Formats, More};
use cellstate_reference::{Layer, Network};
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
    /// Formats of its weights; a layer of one matrix has the first.
    pub formats: Formats,
    /// Their rounding.
    pub levers: Levers,
}

/// What is done with each node of a network.
pub type Plan = Vec<How>;

/// What all matrices of a network shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Their weights.
    pub weights: Weights,
    /// Columns of recurrent layers' 4-bit weights that have a multiplier of their own; 0 for all.
    pub group: usize,
}

impl From<Weights> for Format {
    fn from(weights: Weights) -> Self {
        Self { weights, group: 0 }
    }
}

/// One format for all, rounded to the nearest.
pub fn uniform(network: &Network, format: impl Into<Format>) -> Plan {
    let Format { weights, group } = format.into();
    let formats = |k| {
        let all = Formats::of(weights);
        matrices(network, k).map_or(all, |widths| grouped(all, group, widths))
    };
    (0..network.nodes.len()).map(|k| How { formats: formats(k), levers: Levers::default() }).collect()
}

/// The widths of a layer's input and hidden state, if it has two matrices whose formats may differ.
pub fn matrices(network: &Network, k: usize) -> Option<[usize; 2]> {
    match &network.nodes[k].layer {
        Layer::Lstm(l) => Some([l.w.cols, l.u.cols]),
        Layer::Gru(g) => Some([g.w.cols, g.u.cols]),
        Layer::Rnn(r) => Some([r.w.cols, r.u.cols]),
        _ => None,
    }
}

/// Formats with groups of so many columns or, if a step cannot hold all of them, of the fewest that it can; without groups
/// where no matrix of 4 bits is wider than one.
pub fn grouped(formats: Formats, columns: usize, widths: [usize; 2]) -> Formats {
    let four = |(w, columns): (Weights, usize)| if w == Weights::W4 { columns } else { 0 };
    let widest = [formats.w, formats.u].into_iter().zip(widths).map(four).max().unwrap_or(0);
    let tries = (columns.next_multiple_of(4)..widest).step_by(4).filter(|_| columns > 0);
    let mut fit = tries.map(|group| Formats { group: group as u16, ..formats }).filter(|f| f.fit(widths));
    fit.next().unwrap_or(Formats { group: 0, ..formats })
}

/// The formats of a layer on the device, if it has matrices or a table.
pub fn formats(layer: &device::Layer) -> Option<Formats> {
    match *layer {
        device::Layer::Lstm { weights, .. }
        | device::Layer::Dense { weights, .. }
        | device::Layer::More(More::Embedding { weights, .. }) => Some(Formats::of(weights)),
        device::Layer::More(
            More::Gru { formats, .. } | More::Rnn { formats, .. } | More::LstmVariant { formats, .. },
        ) => Some(formats),
        device::Layer::More(More::Attention(a)) if a.projections > 0 => Some(Formats::of(a.weights)),
        device::Layer::More(_) => None,
    }
}

/// The formats' name on the command line and in reports.
pub fn name(formats: Formats) -> String {
    let Formats { w, u, group } = formats;
    let groups = if group > 0 { format!(" in groups of {group}") } else { String::new() };
    if w == u { format!("{}{groups}", w.name()) } else { format!("{} and {}{groups}", w.name(), u.name()) }
}
