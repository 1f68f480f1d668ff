//! Which class is imported by what, and the layers that treat each step alone.

use super::builder::Builder;
use super::config::{Entry, Model};
use super::flow::{Flow, Steps};
use super::weights::Place;
use crate::error::Result;
use crate::import::{ACTIVATIONS, activation};
use cellstate_reference::{Activation, Dense, Layer, Matrix, Source};
use serde_json::Value;

impl Builder<'_> {
    /// One call of a layer: what it yields, output by output.
    pub(super) fn layer(&mut self, entry: &Entry, place: &Place, inputs: &[Flow], depth: usize) -> Result<Vec<Flow>> {
        self.known(entry)?;
        match entry.class {
            "Concatenate" | "Add" | "Average" | "Multiply" | "Subtract" => return Ok(vec![self.merge(entry, inputs)?]),
            "Sequential" | "Functional" | "Model" => {
                let model = Model::read(self.path, entry.value).map_err(|e| e.in_layer(entry.name))?;
                let places = place.inner("layers", &model.layers);
                return self.run(&model, &places, inputs.to_vec(), depth + 1);
            }
            _ => {}
        }
        let [input] = inputs else {
            let cause = match inputs.len() {
                0 => "it has no input".to_owned(),
                n => format!("it takes {n} inputs, such as an initial state"),
            };
            return Err(self.refuse(entry, cause, "feed it with one sequence: states begin at zero"));
        };
        if entry.class == "Bidirectional" {
            return self.bidirectional(entry, place, input);
        }
        if let Some(flow) = self.pointwise(entry, place, input, input.rank())? {
            return Ok(vec![flow]);
        }
        let flow = match entry.class {
            "LSTM" | "GRU" | "SimpleRNN" | "RNN" | "CuDNNLSTM" | "CuDNNGRU" => {
                let flow = self.recurrent(entry, entry.name, place, input, entry.flag("go_backwards"))?;
                return Ok(self.with_state(entry, flow));
            }
            "TimeDistributed" => self.time_distributed(entry, place, input)?,
            "Embedding" => self.embedding(entry, place, input)?,
            "Masking" => self.masking(entry, input)?,
            "Conv1D" | "Convolution1D" => self.convolution(entry, place, input)?,
            "Flatten" => self.flatten(entry, input)?,
            "AveragePooling1D" | "GlobalAveragePooling1D" => self.average(entry, input)?,
            "Reshape" => self.reshape(entry, input)?,
            class => return Err(self.refuse(entry, format!("its class {class} takes no input"), instead(class))),
        };
        Ok(vec![flow])
    }

    /// Whether the class is supported, and Keras's own.
    pub(super) fn known(&self, entry: &Entry) -> Result<()> {
        if let Some(own) = entry.custom() {
            let cause = format!("its class {own} is not Keras's own, and its code is not in the file");
            return Err(self.refuse(entry, cause, "train with the layer of keras.layers"));
        }
        if entry.is_operation() {
            let cause = format!("it is the operation {} on tensors", entry.class);
            return Err(self.refuse(entry, cause, "use a layer of keras.layers"));
        }
        if CLASSES.split(' ').any(|known| known == entry.class) {
            return Ok(());
        }
        let cause = format!("layers of class {} are not supported", entry.class);
        Err(self.refuse(entry, cause, instead(entry.class)))
    }

    /// A layer that treats each step alone; none if it is of another kind. `rank` counts the dimensions that it sees.
    fn pointwise(&mut self, entry: &Entry, place: &Place, input: &Flow, rank: usize) -> Result<Option<Flow>> {
        Ok(Some(match entry.class {
            "Dropout"
            | "SpatialDropout1D"
            | "GaussianDropout"
            | "AlphaDropout"
            | "GaussianNoise"
            | "ActivityRegularization"
            | "Identity" => input.clone(),
            "Dense" => self.dense(entry, place, input)?,
            "Activation" => {
                let own = self.activation_of(entry, "activation")?;
                self.activate(entry, input, own)?
            }
            "ReLU" => {
                let plain = |key: &str| entry.config[key].as_f64().unwrap_or(0.0) == 0.0;
                if !entry.config["max_value"].is_null() || !plain("negative_slope") || !plain("threshold") {
                    return Err(self.refuse(entry, "it is no plain ReLU", "use ReLU() without arguments"));
                }
                self.activate(entry, input, Activation::Relu)?
            }
            "Softmax" => {
                self.last_axis(entry, rank)?;
                self.activate(entry, input, Activation::Softmax)?
            }
            "LayerNormalization" => {
                self.last_axis(entry, rank)?;
                self.layer_norm(entry, place, input)?
            }
            "RMSNormalization" => {
                self.last_axis(entry, rank)?;
                self.rms_norm(entry, place, input)?
            }
            "BatchNormalization" | "BatchNormalizationV1" | "BatchNormalizationV2" => {
                self.last_axis(entry, rank)?;
                self.batch_norm(entry, place, input)?
            }
            "Normalization" => self.normalization(entry, place, input, rank)?,
            "Rescaling" => {
                let scale = self.numbers(entry, "scale", input.width)?;
                let offset = self.numbers(entry, "offset", input.width)?;
                self.affine(entry, input, scale, offset)?
            }
            _ => return Ok(None),
        }))
    }

    /// A layer applied to each step: the layers for which this is allowed treat each step alone anyway.
    fn time_distributed(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        let inner = Entry { name: entry.name, ..Entry::read(&entry.config["layer"]) };
        let foreign = inner.custom().is_some() || input.steps == Steps::One;
        let place = place.wrapped("layer", &Entry::read(&entry.config["layer"]));
        if !foreign && let Some(flow) = self.pointwise(&inner, &place, input, 2)? {
            return Ok(flow);
        }
        let cause = format!("it applies a {} to each step", inner.class);
        Err(self.refuse(entry, cause, "apply Dense, Activation or a normalization"))
    }

    fn dense(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        let units = self.size(entry, "units")?;
        let activation = self.activation_of(entry, "activation")?;
        let w = self.weights.read(entry, place, (0, "kernel"), &[input.width, units])?;
        let w = self.absorb(entry, Matrix { rows: input.width, cols: units, data: w }.transpose(), input)?;
        let b = self.bias(entry, place, 1, units)?;
        let node = self.push(entry.name, Layer::Dense(Dense { w, b, activation }), input.from.clone());
        Ok(input.to(node, units))
    }

    /// A bias of a layer that may do without.
    pub(super) fn bias(&self, entry: &Entry, place: &Place, index: usize, width: usize) -> Result<Vec<f64>> {
        self.biases(entry, place, index, &[width])
    }

    /// One of several dimensions, behind the kernel.
    pub(super) fn bias_of(&self, entry: &Entry, place: &Place, shape: &[usize]) -> Result<Vec<f64>> {
        self.biases(entry, place, 1, shape)
    }

    fn biases(&self, entry: &Entry, place: &Place, index: usize, shape: &[usize]) -> Result<Vec<f64>> {
        if entry.config["use_bias"].as_bool() == Some(false) {
            if self.weights.has(place, index) {
                let cause = "its weights hold a bias, of which the configuration does not tell";
                return Err(self.refuse(entry, cause, "give the configuration of this model"));
            }
            return Ok(vec![0.0; shape.iter().product()]);
        }
        self.weights.read(entry, place, (index, "bias"), shape)
    }

    /// An activation on its own becomes a part of the linear dense layer before it, or a dense layer of ones.
    fn activate(&mut self, entry: &Entry, input: &Flow, activation: Activation) -> Result<Flow> {
        if activation == Activation::Linear {
            return Ok(input.clone());
        }
        if let ([Source::Node(k)], None) = (&input.from[..], &input.mix)
            && let Layer::Dense(dense) = &self.nodes[*k].layer
            && dense.activation == Activation::Linear
        {
            // A copy, for the layer's plain output may be used too. If it is not, it does not stay.
            let layer = Layer::Dense(Dense { activation, ..dense.clone() });
            let (name, from, size) = (self.nodes[*k].name.clone(), self.nodes[*k].from.clone(), dense.w.data.len());
            self.make_room(entry, size, 1)?;
            let node = self.push(&name, layer, from);
            return Ok(input.to(node, input.width));
        }
        self.identity(entry, input, activation)
    }

    fn layer_norm(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        if entry.flag("rms_scaling") {
            let cause = "its rms_scaling divides by the deviation from a mean that it leaves in";
            return Err(self.refuse(entry, cause, "use RMSNormalization"));
        }
        let input = self.settle(entry, input)?;
        let (scale, offset, _) = self.gamma_beta(entry, place, input.width)?;
        let epsilon = entry.config["epsilon"].as_f64().unwrap_or(1e-3);
        let node = self.push(entry.name, Layer::LayerNorm { scale, offset, epsilon, rms: false }, input.from.clone());
        Ok(input.to(node, input.width))
    }

    fn rms_norm(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        let input = self.settle(entry, input)?;
        let scale = self.weights.read(entry, place, (0, "scale"), &[input.width])?;
        let epsilon = entry.config["epsilon"].as_f64().unwrap_or(1e-6);
        let layer = Layer::LayerNorm { scale, offset: vec![0.0; input.width], epsilon, rms: true };
        let node = self.push(entry.name, layer, input.from.clone());
        Ok(input.to(node, input.width))
    }

    fn batch_norm(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Flow> {
        let (gamma, beta, index) = self.gamma_beta(entry, place, input.width)?;
        let mean = self.weights.read(entry, place, (index, "moving_mean"), &[input.width])?;
        let variance = self.weights.read(entry, place, (index + 1, "moving_variance"), &[input.width])?;
        let epsilon = entry.config["epsilon"].as_f64().unwrap_or(1e-3);
        let scale: Vec<f64> = gamma.iter().zip(&variance).map(|(g, v)| g / (v + epsilon).sqrt()).collect();
        let offset = beta.iter().zip(&mean).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        self.affine(entry, input, scale, offset)
    }

    /// The trained scale and offset, if there are any, and the index of the next variable.
    fn gamma_beta(&self, entry: &Entry, place: &Place, width: usize) -> Result<(Vec<f64>, Vec<f64>, usize)> {
        let mut index = 0;
        let mut next = |key: &str, name: &str, without: f64| {
            if entry.config[key].as_bool() == Some(false) {
                return Ok(vec![without; width]);
            }
            index += 1;
            self.weights.read(entry, place, (index - 1, name), &[width])
        };
        let scale = next("scale", "gamma", 1.0)?;
        let offset = next("center", "beta", 0.0)?;
        Ok((scale, offset, index))
    }

    /// `(x - mean) / max(sqrt(variance), 1e-7)`, with statistics that were given or learned.
    fn normalization(&mut self, entry: &Entry, place: &Place, input: &Flow, rank: usize) -> Result<Flow> {
        if entry.flag("invert") {
            return Err(self.refuse(
                entry,
                "it inverts a normalization",
                "leave it out and scale the outputs yourself",
            ));
        }
        let axis = &entry.config["axis"];
        let all = axis.is_null() || axis.as_array().is_some_and(Vec::is_empty);
        if !all {
            self.last_axis(entry, rank)?;
        }
        let learned = entry.config["mean"].is_null();
        let statistic = |index: usize, name: &str| match (learned, all) {
            (true, true) => Ok(vec![self.weights.read(entry, place, (index, name), &[])?[0]; input.width]),
            (true, false) => self.weights.read(entry, place, (index, name), &[input.width]),
            (false, _) => self.numbers(entry, name, input.width),
        };
        let (mean, variance) = (statistic(0, "mean")?, statistic(1, "variance")?);
        let scale: Vec<f64> = variance.iter().map(|v| 1.0 / v.sqrt().max(1e-7)).collect();
        let offset = mean.iter().zip(&scale).map(|(m, s)| -m * s).collect();
        self.affine(entry, input, scale, offset)
    }

    fn affine(&mut self, entry: &Entry, input: &Flow, scale: Vec<f64>, offset: Vec<f64>) -> Result<Flow> {
        let input = self.settle(entry, input)?;
        let node = self.push(entry.name, Layer::Affine { scale, offset }, input.from.clone());
        Ok(input.to(node, input.width))
    }

    /// A number, or one a feature.
    fn numbers(&self, entry: &Entry, key: &str, width: usize) -> Result<Vec<f64>> {
        let mut out = Vec::new();
        flat(&entry.config[key], &mut out);
        match out[..] {
            [one] => Ok(vec![one; width]),
            _ if out.len() == width => Ok(out),
            _ => {
                let cause = format!("its {key} has {} numbers for {width} features", out.len());
                Err(self.refuse(entry, cause, "give one number, or one a feature"))
            }
        }
    }

    /// Normalizations and softmax are over the features.
    fn last_axis(&self, entry: &Entry, rank: usize) -> Result<()> {
        let mut axes = Vec::new();
        flat(&entry.config["axis"], &mut axes);
        let last = (rank - 1) as f64;
        if axes.is_empty() || axes == [-1.0] || axes == [last] {
            return Ok(());
        }
        Err(self.refuse(entry, format!("its axis is {}", entry.config["axis"]), "give axis=-1, the features"))
    }

    /// A width, small enough that a multiple of it is no overflow.
    pub(super) fn size(&self, entry: &Entry, key: &str) -> Result<usize> {
        let value = &entry.config[key];
        let width = value.as_u64().and_then(|n| u16::try_from(n).ok());
        width.filter(|&n| n > 0).map(usize::from).ok_or_else(|| {
            let cause = format!("its {key} is {value}");
            self.refuse(entry, cause, "give a number from 1 to 65535")
        })
    }

    /// An activation by name.
    pub(super) fn activation_of(&self, entry: &Entry, key: &str) -> Result<Activation> {
        let value = &entry.config[key];
        let known = match value.as_str() {
            None if value.is_null() => Some(Activation::Linear),
            Some("hard_sigmoid") => Some(Activation::HardSigmoid { slope: self.slope }),
            name => name.and_then(activation),
        };
        known.ok_or_else(|| {
            let shown = value["registered_name"].as_str().or_else(|| value["class_name"].as_str());
            let shown = shown.map_or_else(|| value.to_string(), |name| format!("\"{name}\""));
            self.refuse(entry, format!("its {key} {shown} is not supported"), format_args!("use {ACTIVATIONS}"))
        })
    }
}

/// What is imported.
const CLASSES: &str = "Activation ActivityRegularization Add AdditiveAttention AlphaDropout Attention Average AveragePooling1D BatchNormalization \
    BatchNormalizationV1 BatchNormalizationV2 Bidirectional Concatenate Conv1D Convolution1D CuDNNGRU CuDNNLSTM \
    Dense Dropout Embedding Flatten Functional GaussianDropout GaussianNoise GlobalAveragePooling1D GroupQueryAttention \
    GroupedQueryAttention GRU Identity \
    InputLayer LayerNormalization LSTM Masking Model MultiHeadAttention Multiply Normalization ReLU Rescaling Reshape RMSNormalization RNN Sequential SimpleRNN \
    Softmax SpatialDropout1D Subtract TimeDistributed";

/// The numbers in lists of lists.
fn flat(value: &Value, out: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|v| flat(v, out)),
        other => out.extend(other.as_f64()),
    }
}

/// What to use in place of a class.
fn instead(class: &str) -> &'static str {
    match class {
        "Permute" => "feed the data in the order (steps, features)",
        "Maximum" | "Minimum" | "Dot" => "join branches with Concatenate, Add, Subtract, Average or Multiply",
        "Lambda" | "TFOpLambda" | "SlicingOpLambda" => "use layers of keras.layers, for the file has no code of it",
        "RepeatVector" => "let each layer before it return sequences",
        "ConvLSTM1D" | "ConvLSTM2D" => "use Conv1D and LSTM",
        "LeakyReLU" | "PReLU" | "ELU" => "use ReLU",
        "GlobalMaxPooling1D" => "let the last recurrent layer return its last state only",
        "MaxPooling1D" => "use AveragePooling1D, or Conv1D with strides",
        _ => "use LSTM, GRU, SimpleRNN, Dense, Conv1D, Embedding, normalizations and what wraps and joins them",
    }
}
