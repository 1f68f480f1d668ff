//! Keras 3 `.keras`: a zip of `config.json` and `model.weights.h5`.
//!
//! Weights stand under `layers/CLASS[_N]/...` where N counts the layers of a class in the order of the configuration; the
//! user's names are not used there. Kernels are (inputs, outputs), gate by gate in the order i, f, c, o.

use super::{ACTIVATIONS, activation, chain};
use crate::error::{Archive, Error, Result};
use cellstate_reference::{Activation, Dense, Layer, Lstm, Matrix, Network};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::Path;

/// Positions of i, f, g, o.
const GATES: [usize; 4] = [0, 1, 2, 3];

#[derive(Deserialize)]
struct Config {
    class_name: String,
    config: ModelConfig,
}

#[derive(Deserialize)]
struct ModelConfig {
    #[serde(default)]
    name: String,
    layers: Vec<Entry>,
    #[serde(default)]
    output_layers: Value,
}

#[derive(Deserialize)]
struct Entry {
    class_name: String,
    config: Value,
    #[serde(default)]
    inbound_nodes: Value,
}

impl Entry {
    fn name(&self) -> &str {
        self.config["name"].as_str().unwrap_or(&self.class_name)
    }
}

pub(super) fn load(path: &Path) -> Result<Network> {
    let mut archive = Archive::open(path)?;
    let config: Config = serde_json::from_slice(&archive.unpack("config.json")?)
        .map_err(|e| Error::new(path, e, "save the model again with Keras 3").at("config.json"))?;
    if !["Sequential", "Functional"].contains(&config.class_name.as_str()) {
        let cause = format!("it is a {} model", config.class_name);
        return Err(Error::new(path, cause, "save a Sequential model or a Functional chain"));
    }
    let weights = hdf5_pure::File::from_bytes(archive.unpack("model.weights.h5")?)
        .map_err(|e| Error::new(path, e, "save the model again with Keras 3").at("model.weights.h5"))?;
    let mut importer = Importer { path, weights, counts: HashMap::new(), layers: Vec::new(), open: true };
    let mut before: Option<&Entry> = None;
    for entry in &config.config.layers {
        importer.in_chain(before, entry)?;
        importer.add(entry)?;
        before = Some(entry);
    }
    let mut outputs = Vec::new();
    names(&config.config.output_layers, &mut outputs);
    if let Some(last) = before
        && !outputs.is_empty()
        && outputs != [last.name()]
    {
        let cause = format!("its outputs are those of {}", outputs.join(", "));
        let remedy = format!("save a model whose one output is its last layer, {}", last.name());
        return Err(Error::new(path, cause, remedy));
    }
    Ok(chain(&config.config.name, importer.layers))
}

struct Importer<'a> {
    path: &'a Path,
    weights: hdf5_pure::File,
    /// How many layers of each class came before.
    counts: HashMap<String, usize>,
    layers: Vec<(String, Layer)>,
    /// Whether the values still form a sequence: no LSTM has returned only its last state.
    open: bool,
}

impl Importer<'_> {
    fn refuse(&self, entry: &Entry, cause: impl std::fmt::Display, remedy: &str) -> Error {
        Error::new(self.path, cause, remedy).in_layer(entry.name())
    }

    /// In a Functional model each layer must follow the one before it, and nothing else.
    fn in_chain(&self, before: Option<&Entry>, entry: &Entry) -> Result<()> {
        let mut inputs = Vec::new();
        histories(&entry.inbound_nodes, &mut inputs);
        let expected: Vec<&str> = before.iter().map(|b| b.name()).collect();
        if inputs.is_empty() || inputs == expected {
            return Ok(());
        }
        let cause = format!("its inputs are {} and the layer before it is {}", inputs.join(", "), expected.join(", "));
        Err(self.refuse(entry, cause, "save a model whose layers form one chain"))
    }

    fn add(&mut self, entry: &Entry) -> Result<()> {
        match entry.class_name.as_str() {
            "InputLayer" | "Dropout" => Ok(()),
            "LSTM" => self.lstm(entry),
            "Dense" => self.dense(entry),
            "Activation" => self.activation(entry),
            class => {
                let cause = format!("layers of class {class} are not supported");
                Err(self.refuse(entry, cause, "use InputLayer, LSTM, Dense, Activation and Dropout"))
            }
        }
    }

    fn lstm(&mut self, entry: &Entry) -> Result<()> {
        let c = &entry.config;
        if !self.open {
            let cause = "the LSTM before it returns only its last state";
            return Err(self.refuse(entry, cause, "give that one return_sequences=True"));
        }
        for (key, needed) in [("activation", "tanh"), ("recurrent_activation", "sigmoid")] {
            if c[key].as_str() != Some(needed) {
                let cause = format!("its {key} is {} and only {needed} is supported", c[key]);
                return Err(self.refuse(entry, cause, "train it with Keras's default activations"));
            }
        }
        for key in ["go_backwards", "return_state"] {
            if c[key].as_bool() == Some(true) {
                let cause = format!("{key} is set, which streaming cannot do");
                return Err(self.refuse(entry, cause, "train without it"));
            }
        }
        self.open = c["return_sequences"].as_bool().unwrap_or(false);
        let group = self.group("lstm");
        let units = self.units(entry)?;
        let w = self.dataset(entry, &format!("layers/{group}/cell/vars/0"))?;
        let u = self.dataset(entry, &format!("layers/{group}/cell/vars/1"))?;
        self.expect(entry, &w, (w.rows, 4 * units))?;
        self.expect(entry, &u, (units, 4 * units))?;
        let b = if c["use_bias"].as_bool() == Some(false) {
            vec![0.0; 4 * units]
        } else {
            let b = self.dataset(entry, &format!("layers/{group}/cell/vars/2"))?;
            self.expect(entry, &b, (4 * units, 1))?;
            b.data
        };
        let lstm = Lstm::from_gate_major(GATES, &w.transpose(), &u.transpose(), &b);
        self.layers.push((entry.name().to_owned(), Layer::Lstm(lstm)));
        Ok(())
    }

    fn dense(&mut self, entry: &Entry) -> Result<()> {
        let c = &entry.config;
        let group = self.group("dense");
        let units = self.units(entry)?;
        let w = self.dataset(entry, &format!("layers/{group}/vars/0"))?;
        self.expect(entry, &w, (w.rows, units))?;
        let b = if c["use_bias"].as_bool() == Some(false) {
            vec![0.0; units]
        } else {
            let b = self.dataset(entry, &format!("layers/{group}/vars/1"))?;
            self.expect(entry, &b, (units, 1))?;
            b.data
        };
        let activation = self.named(entry)?;
        self.layers.push((entry.name().to_owned(), Layer::Dense(Dense { w: w.transpose(), b, activation })));
        Ok(())
    }

    /// An activation of its own, folded into the linear dense layer before it.
    fn activation(&mut self, entry: &Entry) -> Result<()> {
        let own = self.named(entry)?;
        if let Some((_, Layer::Dense(d))) = self.layers.last_mut()
            && d.activation == Activation::Linear
        {
            d.activation = own;
            return Ok(());
        }
        Err(self.refuse(entry, "it does not follow a linear Dense layer", "put it right behind one"))
    }

    /// The width, small enough that a multiple of it is no overflow.
    fn units(&self, entry: &Entry) -> Result<usize> {
        let units = &entry.config["units"];
        let width = units.as_u64().and_then(|n| u16::try_from(n).ok());
        width.filter(|&n| n > 0).map(usize::from).ok_or_else(|| {
            let cause = format!("its units are {units}");
            self.refuse(entry, cause, "give a width from 1 to 65535")
        })
    }

    fn named(&self, entry: &Entry) -> Result<Activation> {
        let name = entry.config["activation"].as_str().unwrap_or("");
        activation(name).ok_or_else(|| {
            let cause = format!("its activation {} is not supported", entry.config["activation"]);
            self.refuse(entry, cause, &format!("use {ACTIVATIONS}"))
        })
    }

    /// The weight group of the next layer of a class.
    fn group(&mut self, class: &str) -> String {
        let n = self.counts.entry(class.to_owned()).or_default();
        *n += 1;
        if *n == 1 { class.to_owned() } else { format!("{class}_{}", *n - 1) }
    }

    fn dataset(&self, entry: &Entry, at: &str) -> Result<Matrix> {
        let wrong = |e: &dyn std::fmt::Display| {
            self.refuse(
                entry,
                format!("its weights at {at} cannot be read ({e})"),
                "save the model again with Keras 3 in float32",
            )
        };
        let dataset = self.weights.dataset(at).map_err(|e| wrong(&e))?;
        // Integers are the weights of a quantized model, and their scales stand elsewhere.
        let kind = dataset.dtype().map_err(|e| wrong(&e))?;
        if !matches!(kind, hdf5_pure::DType::F32 | hdf5_pure::DType::F64) {
            return Err(wrong(&format!("type {kind}")));
        }
        let shape = dataset.shape().map_err(|e| wrong(&e))?;
        let data = dataset.read_f64().map_err(|e| wrong(&e))?;
        let (rows, cols) = match shape[..] {
            [rows] => (rows as usize, 1),
            [rows, cols] => (rows as usize, cols as usize),
            _ => return Err(wrong(&format!("shape {shape:?}"))),
        };
        if rows.checked_mul(cols) != Some(data.len()) {
            return Err(wrong(&"the values do not fill the shape"));
        }
        Ok(Matrix { rows, cols, data })
    }

    fn expect(&self, entry: &Entry, m: &Matrix, shape: (usize, usize)) -> Result<()> {
        if (m.rows, m.cols) == shape && m.cols > 0 {
            return Ok(());
        }
        let cause = format!("its weights have shape {:?} where the configuration says {shape:?}", (m.rows, m.cols));
        Err(self.refuse(entry, cause, "save the model again with Keras 3"))
    }
}

/// Names of the layers whose outputs a node of a Functional model takes.
fn histories<'v>(node: &'v Value, out: &mut Vec<&'v str>) {
    match node {
        Value::Array(items) => items.iter().for_each(|v| histories(v, out)),
        Value::Object(fields) => {
            if let Some(name) = fields.get("keras_history").and_then(|h| h[0].as_str()) {
                out.push(name);
            }
            fields.values().for_each(|v| histories(v, out));
        }
        _ => {}
    }
}

/// Names in `output_layers`: one `[name, node, tensor]` or a list of them.
fn names<'v>(outputs: &'v Value, out: &mut Vec<&'v str>) {
    match outputs {
        Value::Array(items) => items.iter().for_each(|v| names(v, out)),
        Value::Object(fields) => fields.values().for_each(|v| names(v, out)),
        Value::String(name) => out.push(name),
        _ => {}
    }
}
