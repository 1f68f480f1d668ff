//! Layers with several inputs: joins and sums.

use super::builder::Builder;
use super::config::Entry;
use super::flow::{Flow, Mix, Steps};
use crate::error::Result;
use cellstate_reference::Layer;

impl Builder<'_> {
    /// Concatenate, Add, Subtract, Average or Multiply.
    pub(super) fn merge(&mut self, entry: &Entry, inputs: &[Flow]) -> Result<Flow> {
        let [first, rest @ ..] = inputs else {
            return Err(self.refuse(entry, "it has no inputs", "give it two layers or more"));
        };
        if entry.class == "Concatenate" {
            let axis = entry.config["axis"].as_i64().unwrap_or(0);
            if axis != -1 && usize::try_from(axis) != Ok(first.rank() - 1) {
                return Err(self.refuse(entry, format!("its axis is {axis}"), "join features: give axis=-1"));
            }
            return self.join(entry, inputs);
        }
        if rest.iter().any(|f| f.width != first.width) {
            let widths: Vec<usize> = inputs.iter().map(|f| f.width).collect();
            return Err(self.refuse(entry, format!("its inputs have widths {widths:?}"), "give all the same width"));
        }
        let whole = |f: &Flow| f.from.len() == 1 && f.mix.is_none();
        let joined = self.join(entry, inputs)?;
        let layer = match entry.class {
            "Multiply" => Some(Layer::Product),
            "Add" | "Average" if inputs.iter().all(whole) => Some(Layer::Sum),
            _ => None,
        };
        if let Some(layer) = layer.filter(|_| inputs.len() > 1) {
            let mut from = Vec::new();
            for input in inputs {
                from.push(self.single(entry, input)?);
            }
            let node = self.push(entry.name, layer, from);
            let flow = joined.to(node, first.width);
            let mean = 1.0 / inputs.len() as f64;
            return Ok(if entry.class == "Average" { sums(&flow, &[mean]) } else { flow });
        }
        let others = match entry.class {
            "Average" => 1.0 / inputs.len() as f64,
            "Subtract" => -1.0,
            _ => 1.0,
        };
        let mut factors = vec![others; inputs.len()];
        if entry.class == "Subtract" {
            factors[0] = 1.0;
        }
        Ok(sums(&joined, &factors))
    }

    /// The features of all inputs, step by step.
    pub(super) fn join(&mut self, entry: &Entry, inputs: &[Flow]) -> Result<Flow> {
        let first = &inputs[0];
        let same = |f: &Flow| (f.steps == Steps::One) == (first.steps == Steps::One);
        if !inputs.iter().all(same) {
            let cause = "one of its inputs is a sequence and another only a last step";
            return Err(self.refuse(entry, cause, "join sequences with sequences"));
        }
        if inputs.iter().any(|f| f.reversed != first.reversed) {
            let remedy = "use Bidirectional, which turns the one that runs backwards";
            return Err(self.refuse(entry, "one of its inputs runs backwards in time and another does not", remedy));
        }
        if inputs.iter().any(|f| f.masked != first.masked) {
            let remedy = "put the Masking or Embedding before all branches";
            return Err(self.refuse(entry, "one of its inputs is masked and another is not", remedy));
        }
        let apart = inputs.iter().any(|f| f.stream != first.stream);
        if apart && first.steps != Steps::One {
            let remedy = "join what their last steps yield, or let attention look one up from the other";
            return Err(self.refuse(
                entry,
                "its inputs are sequences of different Inputs, each with its own steps",
                remedy,
            ));
        }
        // Outputs of a window are counted; in a stream they meet only if they come at the same time.
        let meet = |f: &Flow| match first.steps {
            Steps::Every(_) => f.grid == first.grid,
            Steps::One => f.grid.1 == first.grid.1 && f.grid.0 % f.grid.1 == first.grid.0 % f.grid.1,
        };
        self.windowed |= !apart && !inputs.iter().all(meet);
        let mut offset = 0;
        let mut rows = Vec::new();
        let mut from = Vec::new();
        for f in inputs {
            if f.joined + offset > u16::MAX as usize {
                return Err(self.refuse(entry, "it joins too many values", "give widths from 1 to 65535"));
            }
            let shifted =
                |k| f.row(k).into_iter().map(|(column, factor)| (column + offset, factor)).collect::<Vec<_>>();
            rows.extend((0..f.width).map(shifted));
            from.extend(&f.from);
            offset += f.joined;
        }
        Ok(Flow {
            from,
            joined: offset,
            width: rows.len(),
            mix: inputs.iter().any(|f| f.mix.is_some()).then_some(Mix(rows)),
            grid: inputs.iter().map(|f| f.grid).max().unwrap_or(first.grid),
            anchored: inputs.iter().any(|f| f.anchored),
            ..first.clone()
        })
    }
}

/// Sums of as many equal parts of a flow as there are factors.
pub(super) fn sums(joined: &Flow, factors: &[f64]) -> Flow {
    let width = joined.width / factors.len();
    let scaled = |k: usize| {
        let parts = factors.iter().enumerate();
        let rows = parts.map(|(part, factor)| (joined.row(part * width + k), factor));
        rows.flat_map(|(row, factor)| row.into_iter().map(move |(c, f)| (c, f * factor))).collect()
    };
    Flow { mix: Some(Mix((0..width).map(scaled).collect())), width, ..joined.clone() }
}
