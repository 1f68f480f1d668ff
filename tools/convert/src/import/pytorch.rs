//! PyTorch state dicts in `.safetensors`: layers by the standard names of `torch.nn.LSTM` and `torch.nn.Linear`.
//!
//! Rows are gate by gate in the order i, f, g, o; the two biases of an LSTM add.

use super::map::Map;
use crate::error::{Error, Result};
use cellstate_reference::{Activation, Dense, Layer, Lstm, Matrix, Network};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeSet;
use std::path::Path;

/// Positions of i, f, g, o.
const GATES: [usize; 4] = [0, 1, 2, 3];

struct Tensors<'a> {
    path: &'a Path,
    all: SafeTensors<'a>,
}

pub(super) fn load(path: &Path, map: Option<&Map>) -> Result<Network> {
    let bytes = crate::error::read(path)?;
    let all = SafeTensors::deserialize(&bytes).map_err(|e| {
        Error::new(path, format!("not a whole .safetensors file ({e})"), "save it again with safetensors")
    })?;
    let tensors = Tensors { path, all };
    // The module of each tensor: what stands before the last dot.
    let modules: BTreeSet<String> =
        tensors.all.names().iter().map(|n| n.rsplit_once('.').map_or("", |(m, _)| m).to_owned()).collect();
    let is_lstm = |m: &String| tensors.all.tensor(&join(m, "weight_ih_l0")).is_ok();
    let (recurrent, linear): (Vec<&String>, Vec<&String>) = modules.iter().partition(|m| is_lstm(m));
    let named = map.map(Map::layers).transpose()?.unwrap_or_default();
    let order: Vec<(&str, Activation)> = if !named.is_empty() {
        named
    } else if recurrent.len() <= 1 && linear.len() <= 1 {
        recurrent.iter().chain(&linear).map(|m| (m.as_str(), Activation::Linear)).collect()
    } else {
        return Err(ambiguous(path, &modules));
    };
    for (k, (name, _)) in order.iter().enumerate() {
        if !modules.contains(*name) || order[..k].iter().any(|(n, _)| n == name) {
            let cause = format!("model.toml names it and the file has {}", list(&modules));
            return Err(Error::new(path, cause, "name each of the file's layers once").in_layer(name));
        }
    }
    if let Some(unused) = modules.iter().find(|m| order.iter().all(|(n, _)| n != m)) {
        return Err(Error::new(path, "model.toml does not name it", "add a [[layer]] for it").in_layer(unused));
    }
    let mut layers = Vec::new();
    for (name, activation) in order {
        if is_lstm(&name.to_owned()) {
            if activation != Activation::Linear {
                return Err(Error::new(path, "an LSTM takes no activation", "remove it from model.toml").in_layer(name));
            }
            tensors.lstm(name, &mut layers)?;
        } else {
            layers.push(tensors.linear(name, activation)?);
        }
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Ok(super::chain(&stem, layers))
}

fn join(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") }
}

fn list(modules: &BTreeSet<String>) -> String {
    modules.iter().map(|m| format!("\"{m}\"")).collect::<Vec<_>>().join(", ")
}

fn ambiguous(path: &Path, modules: &BTreeSet<String>) -> Error {
    let example: Vec<String> = modules.iter().map(|m| format!("[[layer]] name = \"{m}\"")).collect();
    let cause = format!("the order of its layers cannot be told from the file: {}", list(modules));
    let remedy = format!("give --map model.toml with, in the order in which they run: {}", example.join(", "));
    Error::new(path, cause, remedy)
}

impl Tensors<'_> {
    /// A tensor of `dimensions` dimensions; a list is a column.
    fn tensor(&self, module: &str, name: &str, dimensions: usize) -> Result<Matrix> {
        let full = join(module, name);
        let wrong = |cause: String| {
            Error::new(self.path, cause, "save the state dict of torch.nn.LSTM and torch.nn.Linear in float32")
                .in_layer(module)
        };
        let view = self.all.tensor(&full).map_err(|_| wrong(format!("it has no tensor \"{full}\"")))?;
        let (rows, cols) = match *view.shape() {
            [rows] if dimensions == 1 => (rows, 1),
            [rows, cols] if dimensions == 2 => (rows, cols),
            ref shape => return Err(wrong(format!("\"{full}\" has shape {shape:?}"))),
        };
        // Of no elements one dimension may be anything, and biases would be allocated for it.
        if rows == 0 || cols == 0 {
            return Err(wrong(format!("\"{full}\" has shape [{rows}, {cols}]")));
        }
        let data = match view.dtype() {
            Dtype::F32 => view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
            Dtype::F64 => view.data().as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
            Dtype::F16 => view.data().as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).into()).collect(),
            Dtype::BF16 => view.data().as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).into()).collect(),
            other => return Err(wrong(format!("\"{full}\" has type {other:?}"))),
        };
        Ok(Matrix { rows, cols, data })
    }

    fn expect(&self, module: &str, m: &Matrix, rows: usize, cols: usize) -> Result<()> {
        if (m.rows, m.cols) == (rows, cols) {
            return Ok(());
        }
        let cause = format!("a tensor has shape [{}, {}] where [{rows}, {cols}] is due", m.rows, m.cols);
        Err(Error::new(self.path, cause, "save the state dict again").in_layer(module))
    }

    /// No tensor of a module is left out: another one means another kind of module, or a layer that is missing.
    fn only(&self, module: &str, known: &[String]) -> Result<()> {
        let names = self.all.names();
        let own = names.iter().filter_map(|n| match n.rsplit_once('.') {
            Some((of, short)) => (of == module).then_some(short),
            None => module.is_empty().then_some(*n),
        });
        let unused: BTreeSet<&str> = own.filter(|n| known.iter().all(|k| k != n)).collect();
        unused.first().map_or(Ok(()), |name| {
            let cause = format!("its tensor \"{name}\" belongs to no supported layer");
            let remedy = "save a model of torch.nn.LSTM and torch.nn.Linear, all of its layers";
            Err(Error::new(self.path, cause, remedy).in_layer(module))
        })
    }

    /// All stacked layers of one `torch.nn.LSTM`.
    fn lstm(&self, module: &str, layers: &mut Vec<(String, Layer)>) -> Result<()> {
        let names: BTreeSet<String> = self.all.names().into_iter().map(str::to_owned).collect();
        for name in names.iter().filter(|n| n.rsplit_once('.').map_or("", |(m, _)| m) == module) {
            let short = name.rsplit('.').next().unwrap_or_default();
            let (known, index) = short.rsplit_once("_l").unwrap_or(("", ""));
            if !["weight_ih", "weight_hh", "bias_ih", "bias_hh"].contains(&known) || index.parse::<usize>().is_err() {
                let cause = format!("\"{short}\" is not supported: only unidirectional LSTMs without projection are");
                return Err(Error::new(self.path, cause, "train without bidirectional and proj_size").in_layer(module));
            }
        }
        let mut known = Vec::new();
        for k in (0..).take_while(|k| names.contains(&join(module, &format!("weight_ih_l{k}")))) {
            let w = self.tensor(module, &format!("weight_ih_l{k}"), 2)?;
            let u = self.tensor(module, &format!("weight_hh_l{k}"), 2)?;
            if u.rows == 3 * u.cols {
                let cause = "its shapes are those of a GRU";
                return Err(Error::new(self.path, cause, "train a torch.nn.LSTM").in_layer(module));
            }
            self.expect(module, &u, 4 * u.cols, u.cols)?;
            self.expect(module, &w, 4 * u.cols, w.cols)?;
            let mut b = vec![0.0; u.rows];
            for name in ["bias_ih", "bias_hh"].map(|n| format!("{n}_l{k}")) {
                if names.contains(&join(module, &name)) {
                    let part = self.tensor(module, &name, 1)?;
                    self.expect(module, &part, u.rows, 1)?;
                    b.iter_mut().zip(&part.data).for_each(|(b, p)| *b += p);
                }
            }
            let name = if k == 0 { module.to_owned() } else { format!("{module}_l{k}") };
            layers.push((name, Layer::Lstm(Lstm::from_gate_major(GATES, &w, &u, &b))));
            let kinds = ["weight_ih", "weight_hh", "bias_ih", "bias_hh"];
            known.extend(kinds.map(|kind| format!("{kind}_l{k}")));
        }
        self.only(module, &known)
    }

    fn linear(&self, module: &str, activation: Activation) -> Result<(String, Layer)> {
        self.only(module, &["weight".to_owned(), "bias".to_owned()])?;
        let w = self.tensor(module, "weight", 2)?;
        let mut b = vec![0.0; w.rows];
        if self.all.tensor(&join(module, "bias")).is_ok() {
            let bias = self.tensor(module, "bias", 1)?;
            self.expect(module, &bias, w.rows, 1)?;
            b = bias.data;
        }
        Ok((module.to_owned(), Layer::Dense(Dense { w, b, activation })))
    }
}
