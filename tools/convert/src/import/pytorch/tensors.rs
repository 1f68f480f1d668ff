//! The tensors of a file, whichever kind it is: names, shapes, and values in 64-bit floats.

use super::checkpoint;
use crate::error::{Error, Result};
use cellstate_reference::Matrix;
use safetensors::{Dtype, SafeTensors};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// The most that a file's tensors may take as 64-bit floats: 512 MiB.
const LIMIT: usize = 1 << 29;

/// The most tensors: each may be spread over the whole file.
const TENSORS: usize = 1024;

/// One tensor.
pub(in crate::import) struct Tensor {
    pub(in crate::import) shape: Vec<usize>,
    pub(in crate::import) values: Values,
}

/// What a tensor holds.
pub(in crate::import) enum Values {
    /// In row-major order.
    Floats(Vec<f64>),
    /// The name of another type.
    Other(String),
}

/// The float types that weights come in.
#[derive(Clone, Copy)]
pub(in crate::import) enum Float {
    F16,
    Bf16,
    F32,
    F64,
}

impl Float {
    /// Values from little-endian bytes.
    pub(in crate::import) fn decode(self, bytes: &[u8]) -> Values {
        Values::Floats(match self {
            Float::F16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).into()).collect(),
            Float::Bf16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).into()).collect(),
            Float::F32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
            Float::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        })
    }
}

/// All tensors of a file, by names without the prefixes that wrappers add.
pub(in crate::import) struct Tensors<'a> {
    pub(in crate::import) path: &'a Path,
    all: BTreeMap<String, Tensor>,
    modules: BTreeSet<String>,
}

impl<'a> Tensors<'a> {
    pub(in crate::import) fn load(path: &'a Path) -> Result<Self> {
        let all = match path.extension().and_then(|e| e.to_str()) {
            Some("safetensors") => safetensors(path)?,
            _ => checkpoint::load(path)?,
        };
        let mut tensors = Self { path, all: BTreeMap::new(), modules: BTreeSet::new() };
        let prefixed = all.iter().all(|(name, _)| plain(name).starts_with("module."));
        for (name, tensor) in all {
            let plain = plain(&name);
            let plain = if prefixed { plain.trim_start_matches("module.") } else { &plain };
            if plain.contains(char::is_control) {
                return Err(Error::new(path, "a tensor's name has a line break", "give it a name of one line"));
            }
            if let Some((module, _)) = plain.split_once(".parametrizations.") {
                let cause = "its weights are computed from others";
                let remedy = "before you save it, call torch.nn.utils.parametrize.remove_parametrizations";
                return Err(Error::new(path, cause, remedy).in_layer(module));
            }
            tensors.modules.insert(split(plain).0.to_owned());
            if tensors.all.insert(plain.to_owned(), tensor).is_some() {
                let cause = format!("two of its tensors are \"{plain}\"");
                return Err(Error::new(path, cause, "save the model without its wrapper"));
            }
        }
        Ok(tensors)
    }

    /// The module of each tensor: what stands before the last dot.
    pub(in crate::import) fn modules(&self) -> &BTreeSet<String> {
        &self.modules
    }

    /// Every tensor's full name.
    pub(in crate::import) fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// The modules in quotes, for errors.
    pub(in crate::import) fn list(&self) -> String {
        self.modules.iter().map(|m| format!("\"{m}\"")).collect::<Vec<_>>().join(", ")
    }

    /// The names of a module's tensors within it.
    pub(in crate::import) fn of<'t>(&'t self, module: &'t str) -> impl Iterator<Item = &'t str> {
        let prefix = join(module, "");
        let inside = self.all.range(prefix.clone()..).map(|(name, _)| name).take_while(move |n| n.starts_with(&prefix));
        inside.map(|name| split(name)).filter(move |(of, _)| *of == module).map(|(_, short)| short)
    }

    pub(in crate::import) fn has(&self, module: &str, name: &str) -> bool {
        self.all.contains_key(&join(module, name))
    }

    /// The shape of a tensor, if there is one.
    pub(in crate::import) fn shape(&self, module: &str, name: &str) -> Option<&[usize]> {
        self.all.get(&join(module, name)).map(|t| &t.shape[..])
    }

    /// The values of a tensor of `shape`; zero stands for any number.
    pub(in crate::import) fn values<const N: usize>(
        &self,
        module: &str,
        name: &str,
        shape: [usize; N],
    ) -> Result<([usize; N], &[f64])> {
        let full = join(module, name);
        let wrong = |cause: String| self.refuse(module, cause, "save the state dict again, in float32");
        let tensor = self.all.get(&full).ok_or_else(|| wrong(format!("it has no tensor \"{full}\"")))?;
        let found = <[usize; N]>::try_from(&tensor.shape[..]).ok();
        // Of no elements the other dimension may be anything, and biases would be allocated for it.
        let fits = |s: &[usize; N]| s.iter().zip(&shape).all(|(&s, &due)| s > 0 && (due == 0 || s == due));
        let Some(found) = found.filter(fits) else {
            let due = shape.map(|n| if n == 0 { "any".to_owned() } else { n.to_string() }).join(", ");
            return Err(wrong(format!("\"{full}\" has shape {:?} where [{due}] is due", tensor.shape)));
        };
        match &tensor.values {
            Values::Floats(values) if values.len() == found.iter().product::<usize>() => Ok((found, values)),
            Values::Floats(_) => Err(wrong(format!("the values of \"{full}\" do not fill its shape"))),
            Values::Other(kind) => Err(wrong(format!("\"{full}\" has type {kind}"))),
        }
    }

    /// Vectors of `width` values, `count` of them, in a tensor by its full name, whatever its other dimensions are.
    pub(in crate::import) fn vectors(&self, module: &str, full: &str, count: usize, width: usize) -> Result<&[f64]> {
        let wrong = |cause: String| self.refuse(module, cause, "name tensors as the state dict does");
        let tensor = self.all.get(full).ok_or_else(|| wrong(format!("the file has no tensor \"{full}\"")))?;
        match &tensor.values {
            Values::Floats(values)
                if tensor.shape.last() == Some(&width) && count.checked_mul(width) == Some(values.len()) =>
            {
                Ok(values)
            }
            _ => Err(wrong(format!(
                "\"{full}\" has shape {:?} and not {count} times {width} floats in its last dimension",
                tensor.shape
            ))),
        }
    }

    /// A table by its full name: two dimensions, beside such as are 1.
    pub(in crate::import) fn table(&self, full: &str) -> Result<Matrix> {
        let wrong = |cause: String| self.refuse(full, cause, "name a table of positions as the state dict does");
        let tensor = self.all.get(full).ok_or_else(|| wrong(format!("the file has no tensor \"{full}\"")))?;
        let rows = tensor.shape.iter().rev().skip(1).copied();
        match (&tensor.values, tensor.shape.last()) {
            (Values::Floats(values), Some(&cols))
                if tensor.shape.len() > 1
                    && !values.is_empty()
                    && rows.clone().filter(|d| *d != 1).count() <= 1
                    && rows.clone().product::<usize>().checked_mul(cols) == Some(values.len()) =>
            {
                Ok(Matrix { rows: rows.product(), cols, data: values.clone() })
            }
            _ => Err(wrong(format!("\"{full}\" of shape {:?} is no table of floats", tensor.shape))),
        }
    }

    /// A tensor's name within a module, if it is in that.
    pub(in crate::import) fn within<'n>(&self, module: &str, full: &'n str) -> Option<&'n str> {
        let (of, short) = split(full);
        (of == module && self.all.contains_key(full)).then_some(short)
    }

    pub(in crate::import) fn matrix(&self, module: &str, name: &str, shape: [usize; 2]) -> Result<Matrix> {
        let ([rows, cols], values) = self.values(module, name, shape)?;
        Ok(Matrix { rows, cols, data: values.to_vec() })
    }

    /// A list of `count` values, or of `default` if the file has none.
    pub(in crate::import) fn vector(&self, module: &str, name: &str, count: usize, default: f64) -> Result<Vec<f64>> {
        if !self.has(module, name) {
            return Ok(vec![default; count]);
        }
        Ok(self.values(module, name, [count])?.1.to_vec())
    }

    /// No tensor of a module is left out: another one means another kind of module, or a layer that is missing.
    pub(in crate::import) fn only(&self, module: &str, known: &[impl AsRef<str>]) -> Result<()> {
        let unused = self.of(module).find(|name| known.iter().all(|k| k.as_ref() != *name));
        unused.map_or(Ok(()), |name| Err(self.unknown(module, name)))
    }

    /// A tensor that no supported layer has.
    pub(in crate::import) fn unknown(&self, module: &str, name: &str) -> Error {
        let remedy = if name.ends_with("weight_g") || name.ends_with("weight_v") {
            "before you save it, call torch.nn.utils.remove_weight_norm"
        } else if name.ends_with("_orig") || name.ends_with("_mask") {
            "before you save it, call torch.nn.utils.prune.remove"
        } else {
            "save a model of LSTM, GRU, RNN, Linear, Embedding, LayerNorm, BatchNorm1d and Conv1d, all of its layers"
        };
        self.refuse(module, format!("its tensor \"{name}\" belongs to no supported layer"), remedy)
    }

    pub(in crate::import) fn refuse(
        &self,
        module: &str,
        cause: impl std::fmt::Display,
        remedy: impl std::fmt::Display,
    ) -> Error {
        Error::new(self.path, cause, remedy).in_layer(module)
    }
}

/// Whether tensors of these sizes may be read; none of them if their number overflows.
pub(in crate::import) fn bounded<'s>(path: &Path, shapes: impl Iterator<Item = &'s [usize]>) -> Result<()> {
    let count = |shape: &[usize]| shape.iter().try_fold(size_of::<f64>(), |n, d| n.checked_mul(*d));
    let shapes: Vec<&[usize]> = shapes.collect();
    if shapes.len() > TENSORS {
        let cause = format!("it has {} tensors", shapes.len());
        return Err(Error::new(path, cause, format_args!("give a model of at most {TENSORS}")));
    }
    // One of no elements takes nothing, whatever its other dimensions are.
    let mut shapes = shapes.into_iter().filter(|shape| !shape.contains(&0));
    let total = shapes.try_fold(0usize, |sum, shape| sum.checked_add(count(shape)?));
    if total.is_some_and(|bytes| bytes <= LIMIT) {
        return Ok(());
    }
    Err(Error::new(path, "its tensors take more than 512 MiB as 64-bit floats", "give a smaller model"))
}

fn safetensors(path: &Path) -> Result<Vec<(String, Tensor)>> {
    let bytes = crate::error::read(path)?;
    let file = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::new(path, format!("not a whole .safetensors file ({e})"), "save it again with safetensors")
    })?;
    let views = file.tensors();
    bounded(path, views.iter().map(|(_, v)| v.shape()))?;
    let tensor = |view: &safetensors::tensor::TensorView| {
        let float = match view.dtype() {
            Dtype::F16 => Float::F16,
            Dtype::BF16 => Float::Bf16,
            Dtype::F32 => Float::F32,
            Dtype::F64 => Float::F64,
            other => return Values::Other(format!("{other:?}")),
        };
        float.decode(view.data())
    };
    Ok(views.iter().map(|(n, v)| (n.clone(), Tensor { shape: v.shape().to_vec(), values: tensor(v) })).collect())
}

/// The name without what `torch.compile` adds.
fn plain(name: &str) -> String {
    name.split('.').filter(|part| *part != "_orig_mod").collect::<Vec<_>>().join(".")
}

/// A tensor's module and its name within it.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

/// A tensor's name from its module and its name within it.
pub(in crate::import) fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") }
}
