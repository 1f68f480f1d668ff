//! Layers that look at several steps, or at what a step is.

use super::builder::Builder;
use super::config::Entry;
use super::flow::{Flow, Steps};
use super::merge::sums;
use super::weights::Place;
use crate::error::Result;
use cellstate_reference::{Dense, Layer, Matrix, Node, Source};

impl Builder<'_> {
    /// A table whose rows are picked by the network's only input.
    pub(super) fn embedding(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        if !(input.is_input() && self.indices.contains(&input.from[0])) {
            let remedy = "feed it with the model's one input, of shape (steps,)";
            return Err(self.refuse(entry, "its input is not the model's only input of one index a step", remedy));
        }
        let (rows, cols) = (self.size(entry, "input_dim")?, self.size(entry, "output_dim")?);
        let data = self.weights.read(entry, place, (0, "embeddings"), &[rows, cols])?;
        let node = self.push(entry.name, Layer::Embedding(Matrix { rows, cols, data }), input.from.clone());
        let mut flow = input.to(node, cols);
        if entry.flag("mask_zero") {
            self.masked(entry, 0.0)?;
            flow.masked = true;
        }
        Ok(flow)
    }

    /// Samples all of whose values are one value are skipped.
    pub(super) fn masking(&mut self, entry: &Entry, input: &Flow) -> Result<Flow> {
        if !input.is_input() {
            return Err(self.refuse(entry, "it masks what a layer yields", "put it first, on the model's one input"));
        }
        // Keras compares 32-bit floats.
        let value = entry.config["mask_value"].as_f64().unwrap_or(0.0) as f32;
        self.masked(entry, value.into())?;
        Ok(Flow { masked: true, ..input.clone() })
    }

    fn masked(&mut self, entry: &Entry, value: f64) -> Result<()> {
        if self.mask.replace(value).is_some_and(|other| other.to_bits() != value.to_bits()) {
            return Err(self.refuse(entry, "another layer masks another value", "mask one value"));
        }
        Ok(())
    }

    /// What needs every step in its place and in the input's order.
    fn in_place(&self, entry: &Entry, input: &Flow) -> Result<()> {
        if input.masked {
            let remedy = "leave out the mask, or this layer";
            return Err(self.refuse(entry, "it counts steps of which a mask leaves some out", remedy));
        }
        if input.reversed {
            let remedy = "use Bidirectional, or train the layer before it without go_backwards";
            return Err(self.refuse(entry, "its input runs backwards in time", remedy));
        }
        Ok(())
    }

    /// The taps of a convolution, joined, and a dense layer on them.
    pub(super) fn convolution(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        let Steps::Every(steps) = input.steps else {
            let remedy = "give the layer before it return_sequences=True";
            return Err(self.refuse(entry, "it is fed with a single step", remedy));
        };
        self.in_place(entry, input)?;
        let taps = self.one_size(entry, "kernel_size")?;
        let stride = self.one_size(entry, "strides")?;
        let dilation = self.one_size(entry, "dilation_rate")?;
        let padding = entry.config["padding"].as_str().unwrap_or("valid");
        let causal = match padding {
            "causal" => true,
            "valid" => false,
            "same" if taps == 1 => false,
            _ => {
                let cause = format!("its padding \"{padding}\" looks ahead in time");
                return Err(self.refuse(entry, cause, "train it with padding=\"causal\""));
            }
        };
        if entry.config["groups"].as_u64().unwrap_or(1) != 1 {
            return Err(self.refuse(entry, "it has groups", "train it with groups=1"));
        }
        if entry.config["data_format"].as_str().unwrap_or("channels_last") != "channels_last" {
            return Err(self.refuse(entry, "its data_format is channels_first", "train it with channels_last"));
        }
        let filters = self.size(entry, "filters")?;
        let activation = self.activation_of(entry, "activation")?;
        let input = self.settle(entry, input)?;
        // By tap, the oldest first, then by feature: as the joined taps are.
        let w = self.weights.read(entry, place, (0, "kernel"), &[taps, input.width, filters])?;
        let w = Matrix { rows: taps * input.width, cols: filters, data: w }.transpose();
        let b = self.bias(entry, place, 1, filters)?;
        let reach = (taps - 1).saturating_mul(dilation);
        let from = if taps == 1 && stride == 1 {
            input.from.clone()
        } else {
            let window = Layer::Window { taps, dilation, stride, causal };
            vec![self.push(&format!("{}_window", entry.name), window, input.from.clone())]
        };
        let node = self.push(entry.name, Layer::Dense(Dense { w, b, activation }), from);
        let (first, distance) = input.grid;
        let wait = if causal { 0 } else { reach };
        Ok(Flow {
            steps: Steps::Every(steps.map(|s| s.saturating_sub(wait).div_ceil(stride))),
            grid: (first.saturating_add(wait.saturating_mul(distance)), distance.saturating_mul(stride)),
            anchored: input.anchored || (causal && taps > 1),
            ..input.to(node, filters)
        })
    }

    /// The mean of each feature over some steps, or over all of a window.
    pub(super) fn average(&mut self, entry: &Entry, input: &Flow) -> Result<Flow> {
        let Steps::Every(steps) = input.steps else {
            let remedy = "give the layer before it return_sequences=True";
            return Err(self.refuse(entry, "it is fed with a single step", remedy));
        };
        if entry.config["data_format"].as_str().unwrap_or("channels_last") != "channels_last" {
            return Err(self.refuse(entry, "its data_format is channels_first", "train it with channels_last"));
        }
        if entry.class == "GlobalAveragePooling1D" {
            if entry.flag("keepdims") {
                return Err(self.refuse(entry, "it has keepdims", "train it without"));
            }
            let flat = self.flatten(entry, input)?;
            let taps = steps.unwrap_or(1);
            return Ok(sums(&flat, &vec![1.0 / taps as f64; taps]));
        }
        self.in_place(entry, input)?;
        if entry.config["padding"].as_str().unwrap_or("valid") != "valid" {
            return Err(self.refuse(entry, "its padding looks ahead in time", "train it with padding=\"valid\""));
        }
        let taps = self.one_size(entry, "pool_size")?;
        let stride = if entry.config["strides"].is_null() { taps } else { self.one_size(entry, "strides")? };
        let input = self.settle(entry, input)?;
        let window = Layer::Window { taps, dilation: 1, stride, causal: false };
        let node = self.push(&format!("{}_window", entry.name), window, input.from.clone());
        let (first, distance) = input.grid;
        let joined = Flow {
            steps: Steps::Every(steps.map(|s| s.saturating_sub(taps - 1).div_ceil(stride))),
            grid: (first.saturating_add((taps - 1).saturating_mul(distance)), distance.saturating_mul(stride)),
            ..input.to(node, taps.saturating_mul(input.width))
        };
        if joined.width > u16::MAX as usize {
            return Err(self.refuse(entry, "it joins too many values", "give a smaller pool_size"));
        }
        Ok(sums(&joined, &vec![1.0 / taps as f64; taps]))
    }

    /// All steps of a window, joined.
    pub(super) fn flatten(&mut self, entry: &Entry, input: &Flow) -> Result<Flow> {
        let Steps::Every(steps) = input.steps else { return Ok(input.clone()) };
        self.in_place(entry, input)?;
        let Some(taps) = steps else {
            let cause = "it joins all steps, and the model does not say how many they are";
            return Err(self.refuse(entry, cause, "give --window with the number of steps"));
        };
        if taps == 0 {
            return Err(self.refuse(entry, "no step is left for it", "give a longer window"));
        }
        if taps == 1 {
            return Ok(Flow { steps: Steps::One, ..input.clone() });
        }
        // In a stream each step would be the end of a window of its own.
        self.windowed |= input.anchored;
        let input = self.settle(entry, input)?;
        let width = taps.saturating_mul(input.width);
        if width > u16::MAX as usize {
            return Err(self.refuse(entry, "it joins too many values", "give a shorter window"));
        }
        let window = Layer::Window { taps, dilation: 1, stride: 1, causal: false };
        self.nodes.push(Node { last: true, ..Node::new(entry.name, window, input.from.clone()) });
        let node = Source::Node(self.nodes.len() - 1);
        Ok(Flow { steps: Steps::One, ..input.to(node, width) })
    }

    /// A reshape that leaves the shape as it is, or that makes a column of the input.
    pub(super) fn reshape(&mut self, entry: &Entry, input: &Flow) -> Result<Flow> {
        let shape: Vec<i64> = entry.config["target_shape"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(serde_json::Value::as_i64)
            .collect();
        let is = |dim: i64, size: usize| dim == -1 || usize::try_from(dim) == Ok(size);
        let steps = match (&shape[..], input.steps) {
            (&[width], Steps::One) if is(width, input.width) => Steps::One,
            // The query of attention is a sequence, if of one step.
            (&[1, width], Steps::One) if is(width, input.width) => Steps::Every(Some(1)),
            // A window of one step loses its dimension of time.
            (&[width], Steps::Every(Some(1))) if is(width, input.width) => Steps::One,
            (&[steps, width], Steps::Every(known))
                if is(width, input.width) && (steps == -1 || known.is_some_and(|k| is(steps, k))) =>
            {
                Steps::Every(known)
            }
            _ => {
                let cause = format!("it changes the shape to {shape:?}");
                return Err(self.refuse(entry, cause, "feed the data as (steps, features) and leave it out"));
            }
        };
        Ok(Flow { steps, ..input.clone() })
    }

    /// A number, alone or in a list of one.
    fn one_size(&self, entry: &Entry, key: &str) -> Result<usize> {
        let value = &entry.config[key];
        let number = value.as_array().filter(|list| list.len() == 1).map_or(value, |list| &list[0]);
        number
            .as_u64()
            .filter(|n| (1..=65535).contains(n))
            .map(|n| n as usize)
            .ok_or_else(|| self.refuse(entry, format!("its {key} is {value}"), "give a number from 1 to 65535"))
    }
}
