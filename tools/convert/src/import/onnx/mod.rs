//! ONNX `.onnx`: a graph of operators, which is walked with what is known of each value: [`signal`] says which of its axes are
//! time, batch and features and where each feature comes from, [`tensor`] holds constants and the shapes that exporters compute.
//!
//! So the transposes, reshapes and slices that exporters put around layers are understood and not matched, and what does not
//! keep time and features apart is refused at the operator that does it.
//!
//! * [`proto`], [`read`]: the file, and weights inside and beside it;
//! * [`graph`]: the order of the operators, and the model's inputs;
//! * [`walk`]: one operator after another: [`fold`] constants, [`glue`] and [`slice`] move values, [`point`] maps each by itself,
//!   [`dense`], [`conv`], [`norm`] and [`recurrent`] make layers;
//! * [`build`], [`finish`]: the network out of them.

mod build;
mod conv;
mod dense;
mod finish;
mod fold;
mod glue;
mod graph;
mod norm;
mod op;
mod point;
mod proto;
mod read;
mod recurrent;
mod signal;
mod size;
mod slice;
mod tensor;
mod walk;

use crate::error::{Error, Result};
use cellstate_reference::Network;
use prost::Message;
use std::path::Path;

/// What is wrong at an operator: the cause and the remedy.
#[derive(Clone, Debug)]
struct Fault {
    cause: String,
    remedy: String,
    /// The order of the axes is wrong: with another order the rest may be right.
    order: bool,
}

impl Fault {
    /// About the order of axes.
    fn of_order(self) -> Self {
        Self { order: true, ..self }
    }
}

fn fault(cause: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { cause: cause.into(), remedy: remedy.into(), order: false }
}

pub(super) fn load(path: &Path) -> Result<Network> {
    let bytes = prost::bytes::Bytes::from(crate::error::read(path)?);
    let model = proto::Model::decode(bytes)
        .map_err(|e| Error::new(path, format!("not a whole ONNX file ({e})"), "export the model again"))?;
    let graph = model.graph.filter(|g| !g.node.is_empty());
    let graph = graph.ok_or_else(|| Error::new(path, "it holds no operators", "export the model again"))?;
    let opset = model.opset_import.iter().find(|o| ["", "ai.onnx"].contains(&o.domain.as_str()));
    let graph = graph::Graph::new(path, &graph, opset.map_or(1, |o| o.version))?;
    let mut furthest: Option<(usize, Error)> = None;
    for layout in graph.layouts()? {
        match walk::walk(&graph, layout) {
            Ok(network) => return Ok(network),
            // Only what is wrong with the order of axes may be right in another: nothing else is tried until it fits.
            Err(((_, true), error)) => return Err(error),
            Err(((done, false), error)) => {
                if furthest.as_ref().is_none_or(|(most, _)| done > *most) {
                    furthest = Some((done, error));
                }
            }
        }
    }
    Err(furthest.map_or_else(|| graph.no_input(), |(_, error)| error))
}
