//! A model's configuration: its layers, and which takes whose output.

use crate::error::{Error, Result};
use serde_json::Value;
use std::path::Path;

/// An output of one call of a layer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Tensor<'v> {
    pub(super) layer: &'v str,
    /// Which call of the layer: a shared one has several.
    pub(super) call: usize,
    pub(super) output: usize,
}

/// One use of a layer.
#[derive(Default)]
pub(super) struct Call<'v> {
    pub(super) inputs: Vec<Tensor<'v>>,
    /// Keras 3 writes a mask that follows from a Masking or Embedding layer as if it were an input.
    pub(super) mask: Option<Tensor<'v>>,
    /// Inputs by name: where they stand in the order of attention's arguments.
    named: Vec<(usize, Tensor<'v>)>,
    /// Called with `use_causal_mask`.
    pub(super) causal: bool,
}

/// The names of attention's arguments.
const ARGUMENTS: [&str; 3] = ["query", "value", "key"];

/// What cannot be read of a call: the cause.
pub(super) type Fault = String;

/// A Sequential or a Functional model.
pub(super) struct Model<'v> {
    pub(super) name: &'v str,
    pub(super) layers: Vec<Entry<'v>>,
    /// None for a Sequential model: each layer takes the output of the one before it.
    pub(super) ends: Option<Ends<'v>>,
    value: &'v Value,
}

/// Where a Functional model begins and ends.
pub(super) struct Ends<'v> {
    pub(super) inputs: Vec<Tensor<'v>>,
    pub(super) outputs: Vec<Tensor<'v>>,
}

/// A layer's configuration.
#[derive(Clone, Copy)]
pub(super) struct Entry<'v> {
    pub(super) class: &'v str,
    pub(super) name: &'v str,
    pub(super) config: &'v Value,
    /// The whole of it.
    pub(super) value: &'v Value,
}

impl<'v> Model<'v> {
    /// A `class_name` and a `config` of layers.
    pub(super) fn read(path: &Path, value: &'v Value) -> Result<Self> {
        let class = value["class_name"].as_str().unwrap_or("unknown");
        let config = &value["config"];
        let custom = Entry { class, name: "", config, value }.custom();
        if !["Sequential", "Functional", "Model"].contains(&class) || custom.is_some() {
            let cause = format!("it is a {class} model, whose code is not in the file");
            return Err(Error::new(path, cause, "save a Sequential or a Functional model"));
        }
        // Until 2.2.3 the configuration of a Sequential model was the list of its layers.
        let list = config.as_array().or_else(|| config["layers"].as_array());
        let Some(list) = list else {
            return Err(Error::new(path, "missing field `layers`", "save the model again with Keras").at("config.json"));
        };
        let ends = (class != "Sequential").then(|| {
            let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
            tensors(&config["input_layers"], &mut inputs);
            tensors(&config["output_layers"], &mut outputs);
            Ends { inputs, outputs }
        });
        let layers = list.iter().map(Entry::read).collect();
        Ok(Self { name: config["name"].as_str().unwrap_or("model"), layers, ends, value })
    }

    /// The shape of the input of a Sequential model, with the batch.
    pub(super) fn input_shape(&self) -> Option<Vec<Option<usize>>> {
        let first = self.layers.first();
        let built = [
            &self.value["config"]["build_input_shape"],
            &self.value["build_config"]["input_shape"],
            first.map_or(&Value::Null, |f| &f.value["build_config"]["input_shape"]),
        ];
        let inner = first.map(|f| Entry::read(&f.config["layers"][0]).input_shape());
        first.and_then(Entry::input_shape).or(inner.flatten()).or_else(|| built.into_iter().find_map(shape))
    }

    /// Keras 3 calls an input's shape `batch_shape`.
    pub(super) fn is_of_keras_2(&self) -> bool {
        self.layers.iter().any(|l| !l.config["batch_input_shape"].is_null())
    }
}

impl<'v> Entry<'v> {
    /// A layer in a model or in a wrapper.
    pub(super) fn read(value: &'v Value) -> Self {
        let class = value["class_name"].as_str().unwrap_or("unknown");
        let config = &value["config"];
        let name = value["name"].as_str().or_else(|| config["name"].as_str()).unwrap_or(class);
        Self { class, name, config, value }
    }

    /// The shape that a first layer asks for, with the batch.
    pub(super) fn input_shape(&self) -> Option<Vec<Option<usize>>> {
        ["batch_shape", "batch_input_shape"].iter().find_map(|key| shape(&self.config[key]))
    }

    /// The name of a class that is not Keras's own, even if it is called as one of Keras's.
    pub(super) fn custom(&self) -> Option<String> {
        let module = self.value["module"].as_str();
        let registered = self.value["registered_name"].as_str().filter(|r| !r.is_empty());
        let own = |m: &str| {
            let m = m.strip_prefix("tf_").unwrap_or(m);
            let inner = m.strip_prefix("keras.").unwrap_or(if m == "keras" { "layers" } else { "" });
            let inner = inner.strip_prefix("src.").unwrap_or(inner);
            ["layers", "models", "engine", "legacy", "ops"].contains(&inner.split('.').next().unwrap_or_default())
        };
        // Of a class of the user's the module is null and the name is registered.
        let foreign = module.map_or(registered.is_some(), |m| !own(m));
        let renamed = registered.is_some_and(|r| r != self.class);
        (foreign || renamed || self.class.contains('>')).then(|| registered.unwrap_or(self.class).to_owned())
    }

    /// An operation on tensors in Keras 3. `a + b`, `a - b` and `a * b` mean the same as the layers.
    pub(super) fn is_operation(&self) -> bool {
        let module = self.value["module"].as_str().unwrap_or_default();
        module.starts_with("keras.src.ops") && !["Add", "Subtract", "Multiply"].contains(&self.class)
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.config[key].as_bool() == Some(true)
    }

    /// The calls of a layer of a Functional model: faults matter only if a call is needed.
    pub(super) fn calls(&self) -> Vec<std::result::Result<Call<'v>, Fault>> {
        self.value["inbound_nodes"].as_array().into_iter().flatten().map(call).collect()
    }
}

/// A shape with its batch; unknown numbers are none.
fn shape(value: &Value) -> Option<Vec<Option<usize>>> {
    let dims = value.as_array().filter(|d| d.len() > 1)?;
    Some(dims.iter().map(|d| d.as_u64().and_then(|d| usize::try_from(d).ok())).collect())
}

fn call(node: &Value) -> std::result::Result<Call<'_>, Fault> {
    let mut call = Call::default();
    if let Value::Object(fields) = node {
        arguments(&node["args"], &mut call.inputs)?;
        options(fields.get("kwargs").unwrap_or(&Value::Null), &mut call)?;
    } else {
        // Keras 2: lists of [layer, call, output, options], or one such list.
        let items: Vec<&Value> = match node.as_array() {
            Some(list) if list.first().is_some_and(Value::is_string) => vec![node],
            Some(list) => list.iter().collect(),
            None => Vec::new(),
        };
        for item in items {
            call.inputs.push(tensor(item).ok_or_else(|| "an input is no layer's output".to_owned())?);
            options(&item[3], &mut call)?;
        }
    }
    call.named.sort_by_key(|(place, _)| *place);
    call.inputs.extend(call.named.iter().map(|(_, tensor)| *tensor));
    Ok(call)
}

/// Tensors among the arguments of a call of Keras 3, in lists or not.
fn arguments<'v>(value: &'v Value, out: &mut Vec<Tensor<'v>>) -> std::result::Result<(), Fault> {
    match value {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::Array(items) => items.iter().try_for_each(|v| arguments(v, out)),
        Value::Object(_) if tensor(&value["config"]["keras_history"]).is_some() => {
            out.extend(tensor(&value["config"]["keras_history"]));
            Ok(())
        }
        _ => Err("an argument of its call is a constant or not known".to_owned()),
    }
}

/// Named arguments of a call: such as change what it computes are faults.
fn options<'v>(value: &'v Value, call: &mut Call<'v>) -> std::result::Result<(), Fault> {
    for (key, value) in value.as_object().into_iter().flatten() {
        let mut given = Vec::new();
        if key == "training" && value.as_bool() == Some(true) {
            return Err("it is called with training=True, which makes it random".to_owned());
        }
        call.causal |= key == "use_causal_mask" && value.as_bool() == Some(true);
        if let Some(place) = ARGUMENTS.iter().position(|a| a == key)
            && let Some(input) = tensor(value).or_else(|| tensor(&value["config"]["keras_history"]))
        {
            call.named.push((place, input));
            continue;
        }
        if key == "training" || (key != "mask" && value.is_boolean()) {
            continue;
        }
        if arguments(value, &mut given).is_ok() && (given.is_empty() || (key == "mask" && given.len() == 1)) {
            call.mask = call.mask.or(given.pop());
            continue;
        }
        return Err(format!("it is called with {key}"));
    }
    Ok(())
}

/// `[layer, call, output, ...]`.
fn tensor(value: &Value) -> Option<Tensor<'_>> {
    let index = |k: usize| value[k].as_u64().and_then(|n| usize::try_from(n).ok());
    Some(Tensor { layer: value[0].as_str()?, call: index(1)?, output: index(2)? })
}

/// One tensor, a list of them, or named ones.
fn tensors<'v>(value: &'v Value, out: &mut Vec<Tensor<'v>>) {
    match (tensor(value), value) {
        (Some(tensor), _) => out.push(tensor),
        (None, Value::Array(items)) => items.iter().for_each(|v| tensors(v, out)),
        (None, Value::Object(fields)) => fields.values().for_each(|v| tensors(v, out)),
        _ => {}
    }
}
