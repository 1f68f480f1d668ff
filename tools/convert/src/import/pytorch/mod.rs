//! PyTorch state dicts, in `.safetensors` or as `torch.save` writes them: layers by the standard names of their tensors.
//!
//! * [`tensors`]: the tensors of a file, whichever kind it is; [`checkpoint`]: those of `torch.save`.
//! * [`kind`]: which layer a module is.
//! * [`recurrent`], [`attention`], [`stateless`]: its tensors as layers of the network.
//! * [`build`], [`graph`]: how they are joined.

mod attention;
mod build;
mod checkpoint;
mod graph;
mod kind;
mod recurrent;
mod stateless;
pub(super) mod tensors;

use super::Options;
use super::map::{Entry, Map};
use crate::error::{Error, Result};
use attention::{Place, owns};
use cellstate_reference::Network;
use kind::{Guess, Kind, guess, is_of};
use std::collections::HashSet;
use std::path::Path;
use tensors::{Tensors, join};

pub(super) fn load(path: &Path, map: Option<&Map>, options: Options) -> Result<Network> {
    let tensors = Tensors::load(path)?;
    let deduced;
    let entries = match map.map(Map::layers) {
        Some(entries) if !entries.is_empty() => {
            named_once(&tensors, entries)?;
            entries
        }
        _ => {
            deduced = deduce(&tensors)?;
            &deduced
        }
    };
    let place = Place { window: options.window.or(map.and_then(Map::window)), memory: options.memory };
    let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    build::build(&tensors, entries, map, place, stem)
}

/// The most entries of a map, so that no file takes long.
const ENTRIES: usize = 1024;

/// Every layer of the file has one entry.
fn named_once(tensors: &Tensors, entries: &[Entry]) -> Result<()> {
    if entries.len() > ENTRIES {
        let cause = format!("model.toml has {} layers", entries.len());
        return Err(Error::new(tensors.path, cause, format_args!("give at most {ENTRIES}")));
    }
    let mut names = HashSet::new();
    if let Some(twice) = entries.iter().find(|e| !names.insert(e.name.as_str())) {
        let cause = "model.toml names it twice";
        return Err(tensors.refuse(&twice.name, cause, "name each of the file's layers once"));
    }
    // Parameters of the model itself that are states or other parts of its layers.
    let positions = entries.iter().filter(|e| is_of(e, Kind::Position)).map(|e| &e.name);
    let parts = entries.iter().flat_map(|e| e.initial.iter().chain(&e.v).chain(&e.ages)).chain(positions);
    let parts: HashSet<&str> = parts.map(String::as_str).collect();
    let part = |module: &str| tensors.of(module).all(|name| parts.contains(join(module, name).as_str()));
    let inside = |module: &str| entries.iter().any(|e| owns(tensors, e, module));
    match tensors.modules().iter().find(|m| !names.contains(m.as_str()) && !part(m) && !inside(m)) {
        Some(unused) => {
            let remedy = "add a [[layer]] for it, with kind = \"unused\" if only the training needs it";
            Err(tensors.refuse(unused, "model.toml does not name it", remedy))
        }
        None => Ok(()),
    }
}

/// The order of a file that can have but one: a recurrent layer, and a table before it or a linear layer behind it.
fn deduce(tensors: &Tensors) -> Result<Vec<Entry>> {
    let mut kinds = Vec::new();
    for module in tensors.modules() {
        kinds.push((module.as_str(), guess(tensors, module)?));
    }
    let entry = |name: &str, kind: Option<&str>| Entry {
        name: name.to_owned(),
        kind: kind.map(str::to_owned),
        ..Entry::default()
    };
    let recurrent = |guess: &Guess| matches!(guess, Guess::Sure(kind) if kind.is_recurrent());
    match &kinds[..] {
        // What is wrong with one of a list, or of a kind that needs more, is said where it is read.
        [] => Ok(Vec::new()),
        [(one, Guess::Table)] => Ok(vec![entry(one, Some("linear"))]),
        [(one, _)] => Ok(vec![entry(one, None)]),
        [(a, one), (b, two)] if recurrent(one) != recurrent(two) => {
            let (rnn, other, guess) = if recurrent(one) { (a, b, two) } else { (b, a, one) };
            match guess {
                Guess::Sure(Kind::Linear) | Guess::List => Ok(vec![entry(rnn, None), entry(other, None)]),
                Guess::Table => Ok(match fits(tensors, rnn, other) {
                    (true, true) => return Err(ambiguous(tensors)),
                    (true, false) => vec![entry(other, Some("embedding")), entry(rnn, None)],
                    (false, _) => vec![entry(rnn, None), entry(other, Some("linear"))],
                }),
                Guess::Sure(_) => Err(ambiguous(tensors)),
            }
        }
        _ => Err(ambiguous(tensors)),
    }
}

/// Whether a table's width is what a recurrent layer takes, as an embedding's must be, and what it yields, as a linear one's.
fn fits(tensors: &Tensors, rnn: &str, table: &str) -> (bool, bool) {
    let columns = |module: &str, names: &[&str]| names.iter().find_map(|n| tensors.shape(module, n)?.get(1).copied());
    let width = columns(table, &["weight"]);
    let taken = columns(rnn, &["weight_ih_l0", "weight_ih"]);
    // The last of the stacked layers is as wide as the first.
    let yielded = columns(rnn, &["weight_hh_l0", "weight_hh"]);
    let twice = tensors.has(rnn, "weight_ih_l0_reverse");
    (width == taken, width == yielded.and_then(|n| n.checked_mul(1 + usize::from(twice))))
}

fn ambiguous(tensors: &Tensors) -> Error {
    let modules = tensors.modules();
    let example: Vec<String> = modules.iter().map(|m| format!("[[layer]] name = \"{m}\"")).collect();
    let cause = format!("the order of its layers cannot be told from the file: {}", tensors.list());
    let remedy = format!("give --map model.toml with, in the order in which they run: {}", example.join(", "));
    Error::new(tensors.path, cause, remedy)
}
