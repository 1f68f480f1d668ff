//! Weights in HDF5, in the two ways in which Keras writes them.
//!
//! * By place: `layers/CLASS[_N]/.../vars/K`, where N counts the layers of a class in the order of the configuration and K
//!   the layer's variables. The user's names are not used there. Since 2.12 in `.keras` and `.weights.h5`.
//! * By name: a group a layer, whose attribute `weight_names` lists its datasets in order. `.h5` of all versions; in a whole
//!   model below `model_weights`.

use super::config::Entry;
use crate::error::{Error, Result};
use hdf5_pure::{AttrValue, DType, File};
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::path::Path;
use std::rc::Rc;

/// The most weights that are read: 128 MiB of 64-bit floats. No microcontroller holds as many.
const MOST: usize = 1 << 24;

pub(super) struct Weights<'a> {
    path: &'a Path,
    file: File,
    layout: Layout,
    attributes: HashMap<String, AttrValue>,
    read: Cell<usize>,
}

/// In place of `layers` in the first files by place, of Keras 2.12. Layers with weights are counted twice there.
const FIRST: &str = "_layer_checkpoint_dependencies";

enum Layout {
    /// The group with the layers' groups.
    Places(&'static str),
    /// What stands before a layer's group.
    Names(&'static str),
}

/// Where a layer's weights are.
#[derive(Clone)]
pub(super) struct Place {
    /// The group by place; by name only what tells one place from another.
    at: String,
    by_name: Option<Rc<RefCell<Names>>>,
    /// By name: the layer within the outermost one.
    layer: Option<String>,
}

/// The datasets of a layer of the outermost model.
struct Names {
    group: String,
    /// Such as no place has taken yet.
    left: Vec<String>,
    /// What each place took: a shared layer asks again.
    taken: HashMap<(String, String), String>,
}

impl Place {
    /// A part of a layer, by the name of the attribute in Keras.
    pub(super) fn part(&self, name: &str) -> Self {
        Self { at: format!("{}/{name}", self.at), ..self.clone() }
    }

    /// A layer in a wrapper.
    pub(super) fn wrapped(&self, name: &str, entry: &Entry) -> Self {
        self.named(name, entry.name)
    }

    /// A part of a layer, by the name of the attribute and its own name.
    pub(super) fn named(&self, name: &str, layer: &str) -> Self {
        Self { layer: Some(layer.to_owned()), ..self.part(name) }
    }

    /// The places of the layers of a model that is itself a layer, or of cells.
    pub(super) fn inner(&self, group: &str, layers: &[Entry]) -> Vec<Self> {
        let group = if group == "layers" && self.at.starts_with(FIRST) { FIRST } else { group };
        let inner = places(&format!("{}/{group}", self.at), layers).into_iter().zip(layers);
        inner.map(|(p, e)| Self { by_name: self.by_name.clone(), layer: Some(e.name.to_owned()), ..p }).collect()
    }
}

impl<'a> Weights<'a> {
    pub(super) fn open(path: &'a Path, bytes: Vec<u8>) -> Result<Self> {
        let file = File::from_bytes(bytes).map_err(|e| Error::new(path, e, "save the model again with Keras"))?;
        let mut attributes = file.root().attrs().unwrap_or_default();
        let layout = if let Ok(group) = file.group("model_weights") {
            for (key, value) in group.attrs().unwrap_or_default() {
                attributes.entry(key).or_insert(value);
            }
            Layout::Names("model_weights/")
        } else if attributes.keys().any(|k| k.starts_with("layer_names")) {
            Layout::Names("")
        } else if file.group("_layer_checkpoint_dependencies").is_ok() {
            Layout::Places(FIRST)
        } else {
            Layout::Places("layers")
        };
        Ok(Self { path, file, layout, attributes, read: Cell::new(0) })
    }

    /// A text among the file's attributes.
    pub(super) fn attribute(&self, key: &str) -> Option<String> {
        texts(self.attributes.get(key)?).into_iter().next()
    }

    /// The places of the layers of the outermost model.
    pub(super) fn places(&self, layers: &[Entry]) -> Vec<Place> {
        match self.layout {
            Layout::Places(root) => places(root, layers),
            Layout::Names(root) => {
                let place = |e: &Entry| {
                    let group = format!("{root}{}", e.name);
                    let names = self.file.group(&group).and_then(|g| g.attrs()).map(|a| names(&a)).unwrap_or_default();
                    let names = Names { group: group.clone(), left: names, taken: HashMap::new() };
                    Place { at: group, by_name: Some(Rc::new(RefCell::new(names))), layer: None }
                };
                layers.iter().map(place).collect()
            }
        }
    }

    /// A layer of which some weights were read and others were not, for its configuration does not tell of them.
    pub(super) fn left_over(places: &[Place]) -> Option<(usize, String)> {
        const ALL: [&str; 8] =
            ["kernel", "recurrent_kernel", "bias", "embeddings", "gamma", "beta", "moving_mean", "moving_variance"];
        places.iter().enumerate().find_map(|(k, place)| {
            let names = place.by_name.as_ref()?.borrow();
            let known = |path: &&String| ALL.iter().any(|name| called(path, name));
            let left = names.left.iter().find(known).filter(|_| !names.taken.is_empty())?;
            Some((k, left.clone()))
        })
    }

    /// By place: whether there is a variable.
    pub(super) fn has(&self, place: &Place, index: usize) -> bool {
        place.by_name.is_none() && self.file.dataset(&format!("{}/vars/{index}", place.at)).is_ok()
    }

    /// A variable, the `index`-th and called `name`, of a shape.
    pub(super) fn read(
        &self,
        entry: &Entry,
        place: &Place,
        (index, name): (usize, &str),
        shape: &[usize],
    ) -> Result<Vec<f64>> {
        let at = match &place.by_name {
            None => format!("{}/vars/{index}", place.at),
            Some(names) => names.borrow_mut().take(place, name).ok_or_else(|| {
                let cause = format!("the file has no {name} of it");
                Error::new(self.path, cause, "give the weights of this model").in_layer(entry.name)
            })?,
        };
        let wrong = |e: &dyn std::fmt::Display| {
            let cause = format!("its weights at {at} cannot be read ({e})");
            Error::new(self.path, cause, "save the model again with Keras in float32").in_layer(entry.name)
        };
        let dataset = self.file.dataset(&at).map_err(|e| wrong(&e))?;
        // Integers are the weights of a quantized model, and their scales stand elsewhere.
        let kind = dataset.dtype().map_err(|e| wrong(&e))?;
        if !matches!(kind, DType::F32 | DType::F64) {
            return Err(wrong(&format!("type {kind}")));
        }
        let found = dataset.shape().map_err(|e| wrong(&e))?;
        if found != shape.iter().map(|&d| d as u64).collect::<Vec<_>>() {
            let cause = format!("its weights at {at} have shape {found:?} where the configuration says {shape:?}");
            return Err(Error::new(self.path, cause, "save the model again with Keras").in_layer(entry.name));
        }
        let count = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d)).unwrap_or(usize::MAX);
        self.read.set(self.read.get().saturating_add(count));
        if self.read.get() > MOST {
            return Err(Error::new(self.path, "it has more than 16 million weights", "give a smaller model")
                .in_layer(entry.name));
        }
        let data = dataset.read_f64().map_err(|e| wrong(&e))?;
        if data.len() != count {
            return Err(wrong(&"the values do not fill the shape"));
        }
        Ok(data)
    }
}

/// The places of a model's layers in a group: layers of a class are counted.
fn places(root: &str, layers: &[Entry]) -> Vec<Place> {
    let each = if root.ends_with(FIRST) { 2 } else { 1 };
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut place = |e: &Entry| {
        let class = snake_case(match e.class {
            "Model" => "Functional",
            // Its name to users is not that of its class.
            "GroupQueryAttention" => "GroupedQueryAttention",
            class => class,
        });
        let n = counts.entry(class.clone()).or_default();
        let group = if *n == 0 { format!("{root}/{class}") } else { format!("{root}/{class}_{n}") };
        *n += each;
        Place { at: group, by_name: None, layer: None }
    };
    layers.iter().map(&mut place).collect()
}

impl Names {
    /// The first dataset called `name`, of the place's layer if the names tell layers apart.
    fn take(&mut self, place: &Place, name: &str) -> Option<String> {
        let key = (place.at.clone(), name.to_owned());
        if let Some(taken) = self.taken.get(&key) {
            return Some(taken.clone());
        }
        let of_layer = |path: &str| place.layer.as_deref().is_some_and(|l| path.split('/').any(|part| part == l));
        let mut found = self.left.iter().position(|n| called(n, name) && of_layer(n));
        found = found.or_else(|| self.left.iter().position(|n| called(n, name)));
        let path = format!("{}/{}", self.group, self.left.remove(found?));
        self.taken.insert(key, path.clone());
        Some(path)
    }
}

/// Whether a dataset is a variable of a name, which Keras 2 follows with `:0`.
fn called(path: &str, name: &str) -> bool {
    path.rsplit('/').next().and_then(|n| n.split(':').next()) == Some(name)
}

/// `weight_names`, which Keras splits into `weight_names0`, `weight_names1` and so on if they are many.
fn names(attributes: &HashMap<String, AttrValue>) -> Vec<String> {
    if let Some(whole) = attributes.get("weight_names") {
        return texts(whole);
    }
    (0..).map_while(|k| attributes.get(&format!("weight_names{k}"))).flat_map(texts).collect()
}

/// Strings of whichever kind.
fn texts(value: &AttrValue) -> Vec<String> {
    match value {
        AttrValue::String(s)
        | AttrValue::AsciiString(s)
        | AttrValue::VarLenString(s)
        | AttrValue::VarLenAsciiString(s)
        | AttrValue::StringSized { value: s, .. }
        | AttrValue::AsciiStringSized { value: s, .. } => vec![s.clone()],
        AttrValue::StringArray(list)
        | AttrValue::AsciiStringArray(list)
        | AttrValue::VarLenStringArray(list)
        | AttrValue::VarLenAsciiStringArray(list)
        | AttrValue::VarLenAsciiCharArray(list)
        | AttrValue::StringArraySized { values: list, .. }
        | AttrValue::AsciiStringArraySized { values: list, .. } => list.clone(),
        // A layer without weights has a list of no numbers.
        _ => Vec::new(),
    }
}

/// As Keras turns class names into group names: `SimpleRNN` to `simple_rnn`, `Conv1D` to `conv1d`.
fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut out = String::new();
    for (k, c) in letters.iter().enumerate() {
        let (before, after) = (k.checked_sub(1).map(|k| letters[k]), letters.get(k + 1));
        let word = c.is_ascii_uppercase()
            && (before.is_some_and(|b| b.is_ascii_lowercase())
                || (before.is_some() && after.is_some_and(char::is_ascii_lowercase)));
        if word {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    out
}
