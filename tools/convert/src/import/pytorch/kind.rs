//! Which layer a module is, by the names and shapes of its tensors, and by what `model.toml` says of it.

use super::tensors::Tensors;
use crate::error::Result;
use crate::import::map::Entry;

/// What a module may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Lstm,
    Gru,
    Rnn,
    Linear,
    Embedding,
    LayerNorm,
    RmsNorm,
    BatchNorm,
    Conv1d,
    Attention,
    /// A table of positions, added.
    Position,
    /// An activation of its own, without tensors.
    Activation,
    /// Several steps joined, without tensors.
    Flatten,
    /// Several layers added, without tensors.
    Sum,
    /// Several layers multiplied, without tensors.
    Product,
    /// Of the training only.
    Unused,
}

/// Every kind: its name in `model.toml`, and the options that an entry of it may have.
const KINDS: [(Kind, &str, &[&str]); 16] = [
    (Kind::Lstm, "lstm", &["last", "initial"]),
    (Kind::Gru, "gru", &["last", "initial"]),
    (Kind::Rnn, "rnn", &["last", "initial", "nonlinearity"]),
    (Kind::Linear, "linear", &["activation", "last"]),
    (Kind::Embedding, "embedding", &[]),
    (Kind::LayerNorm, "layernorm", &["activation", "epsilon", "last"]),
    (Kind::RmsNorm, "rmsnorm", &["activation", "epsilon", "last"]),
    (Kind::BatchNorm, "batchnorm", &["activation", "epsilon", "last"]),
    (Kind::Conv1d, "conv1d", &["activation", "stride", "dilation", "padding", "groups", "last"]),
    (
        Kind::Attention,
        "attention",
        &["heads", "kv_heads", "window", "causal", "score", "v", "rope", "ages", "activation", "last"],
    ),
    (Kind::Position, "position", &["activation", "last"]),
    (Kind::Activation, "activation", &["activation", "last"]),
    (Kind::Flatten, "flatten", &["steps"]),
    (Kind::Sum, "sum", &["activation", "last"]),
    (Kind::Product, "product", &["activation", "last"]),
    (Kind::Unused, "unused", &[]),
];

impl Kind {
    pub(super) fn is_recurrent(self) -> bool {
        matches!(self, Kind::Lstm | Kind::Gru | Kind::Rnn)
    }

    /// Whether the entry takes its inputs apart and not joined.
    pub(super) fn takes_several(self) -> bool {
        matches!(self, Kind::Sum | Kind::Product | Kind::Attention)
    }

    /// Whether the module has no tensors.
    fn is_bare(self) -> bool {
        matches!(self, Kind::Activation | Kind::Flatten | Kind::Sum | Kind::Product)
    }

    fn name(self) -> &'static str {
        KINDS.iter().find(|k| k.0 == self).map_or("", |k| k.1)
    }

    fn options(self) -> &'static [&'static str] {
        KINDS.iter().find(|k| k.0 == self).map_or(&[], |k| k.2)
    }
}

/// What a module's tensors tell.
pub(super) enum Guess {
    /// One kind.
    Sure(Kind),
    /// A table without a bias: `Linear` or `Embedding`.
    Table,
    /// A list without statistics: `LayerNorm`, or a layer that is not supported.
    List,
}

/// What the tensors of a module that has some tell of it.
pub(super) fn guess(tensors: &Tensors, module: &str) -> Result<Guess> {
    for name in ["weight_hh_l0", "weight_hh"] {
        // Of a projection the matrix is not square gate by gate.
        if tensors.has(module, "weight_hr_l0") {
            return Ok(Guess::Sure(Kind::Lstm));
        }
        if let Some(&[rows, cols]) = tensors.shape(module, name) {
            let kind = [(4, Kind::Lstm), (3, Kind::Gru), (1, Kind::Rnn)];
            let kind = kind.into_iter().find(|(gates, _)| cols > 0 && cols.checked_mul(*gates) == Some(rows));
            return kind.map(|(_, kind)| Guess::Sure(kind)).ok_or_else(|| {
                let cause = format!("\"{name}\" has shape [{rows}, {cols}], which is that of no LSTM, GRU or RNN");
                tensors.refuse(module, cause, "save the state dict again")
            });
        }
    }
    if tensors.has(module, "in_proj_weight") || tensors.has(module, "q_proj_weight") {
        return Ok(Guess::Sure(Kind::Attention));
    }
    if tensors.has(module, "weight_ih_l0") || tensors.has(module, "weight_ih") {
        return Ok(Guess::Sure(Kind::Lstm));
    }
    let weight = tensors.shape(module, "weight").map(<[usize]>::len);
    if let Some(name) = ["running_mean", "running_var"].into_iter().find(|n| tensors.has(module, n)) {
        return if weight.is_none_or(|n| n == 1) {
            Ok(Guess::Sure(Kind::BatchNorm))
        } else {
            Err(tensors.unknown(module, name))
        };
    }
    match (weight, tensors.has(module, "bias")) {
        (Some(3), _) => Ok(Guess::Sure(Kind::Conv1d)),
        (Some(2), true) => Ok(Guess::Sure(Kind::Linear)),
        (Some(2), false) => Ok(Guess::Table),
        (Some(1), _) => Ok(Guess::List),
        _ => {
            let name = tensors.of(module).find(|n| *n != "bias").unwrap_or("bias");
            Err(tensors.unknown(module, name))
        }
    }
}

/// The kind of an entry's module. `first` tells whether it takes the network's input, which an embedding must.
pub(super) fn decide(tensors: &Tensors, entry: &Entry, first: bool) -> Result<Kind> {
    let said = said(tensors, entry)?;
    let kind = match said {
        Some(kind) if kind.is_bare() && !tensors.modules().contains(entry.name.as_str()) => kind,
        // Its tensors may be elsewhere.
        Some(kind @ (Kind::Attention | Kind::Position)) => kind,
        _ => of_tensors(tensors, entry, said, first)?,
    };
    heeded(tensors, entry, kind)?;
    Ok(kind)
}

/// Whether an entry says that it is of a kind.
pub(super) fn is_of(entry: &Entry, kind: Kind) -> bool {
    entry.kind.as_deref().and_then(named) == Some(kind)
}

/// The kind by the name of this module or that of `torch.nn`.
fn named(name: &str) -> Option<Kind> {
    let plain = name.to_lowercase().replace("batchnorm1d", "batchnorm").replace("cell", "").replace("multihead", "");
    KINDS.iter().find(|k| k.1 == plain).map(|k| k.0)
}

/// What `model.toml` says.
fn said(tensors: &Tensors, entry: &Entry) -> Result<Option<Kind>> {
    let Some(name) = &entry.kind else { return Ok(None) };
    named(name).map(Some).ok_or_else(|| {
        let kinds: Vec<&str> = KINDS.iter().map(|k| k.1).collect();
        let remedy = format!("use {}", kinds.join(", "));
        tensors.refuse(&entry.name, format!("unknown kind \"{name}\""), remedy)
    })
}

fn of_tensors(tensors: &Tensors, entry: &Entry, said: Option<Kind>, first: bool) -> Result<Kind> {
    let module = entry.name.as_str();
    if !tensors.modules().contains(module) {
        let cause = format!("model.toml names it and the file has {}", tensors.list());
        return Err(tensors.refuse(module, cause, "name each of the file's layers once"));
    }
    if said == Some(Kind::Unused) {
        return Ok(Kind::Unused);
    }
    match (guess(tensors, module)?, said) {
        (Guess::Sure(sure), said) if said.is_none_or(|kind| kind == sure) => Ok(sure),
        (Guess::Table, Some(kind @ (Kind::Linear | Kind::Embedding)))
        | (Guess::List, Some(kind @ (Kind::LayerNorm | Kind::RmsNorm))) => Ok(kind),
        // A table of the values of another layer, or with an activation behind it.
        (Guess::Table, None) if !first || entry.activation.is_some() => Ok(Kind::Linear),
        (Guess::Table, None) => {
            let cause = "its only tensor may be a Linear layer's without bias or an Embedding's";
            let remedy = "say kind = \"linear\" or kind = \"embedding\" in its [[layer]] of model.toml";
            Err(tensors.refuse(module, cause, remedy))
        }
        (Guess::List, None) => {
            let shape = tensors.shape(module, "weight").unwrap_or_default();
            let cause = format!("its \"weight\" of shape {shape:?} may be that of a LayerNorm or of other layers");
            let remedy = "say kind = \"layernorm\" or kind = \"rmsnorm\" in its [[layer]] of model.toml, if it is one";
            Err(tensors.refuse(module, cause, remedy))
        }
        (_, said) => {
            let cause = format!("its tensors are not those of kind \"{}\"", said.map_or("", Kind::name));
            Err(tensors.refuse(module, cause, "say what it is, or leave the kind out"))
        }
    }
}

/// An option that is not heeded is an error.
fn heeded(tensors: &Tensors, entry: &Entry, kind: Kind) -> Result<()> {
    let said = [
        ("activation", entry.activation.is_some()),
        ("nonlinearity", entry.nonlinearity.is_some()),
        ("stride", entry.stride.is_some()),
        ("dilation", entry.dilation.is_some()),
        ("padding", entry.padding.is_some()),
        ("groups", entry.groups.is_some()),
        ("epsilon", entry.epsilon.is_some()),
        ("steps", entry.steps.is_some()),
        ("last", entry.last.is_some()),
        ("initial", !entry.initial.is_empty()),
        ("heads", entry.heads.is_some()),
        ("kv_heads", entry.kv_heads.is_some()),
        ("window", entry.window.is_some()),
        ("causal", entry.causal.is_some()),
        ("score", entry.score.is_some()),
        ("v", entry.v.is_some()),
        ("rope", entry.rope.is_some()),
        ("ages", entry.ages.is_some()),
    ];
    let stray = said.iter().find(|(name, said)| *said && !kind.options().contains(name));
    let Some((name, _)) = stray else { return Ok(()) };
    let remedy = match (kind, *name) {
        (Kind::Rnn, "activation") => "say nonlinearity = \"tanh\" or \"relu\" instead",
        (Kind::Lstm | Kind::Gru, "activation") => {
            "remove it; one behind the layer is a [[layer]] of its own with kind = \"activation\""
        }
        _ => "remove it from model.toml",
    };
    Err(tensors.refuse(&entry.name, format!("a layer of kind \"{}\" takes no {name}", kind.name()), remedy))
}
