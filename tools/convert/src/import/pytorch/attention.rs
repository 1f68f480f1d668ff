//! `nn.MultiheadAttention`, attention of `Linear` modules of one's own, and attention without weights.

use super::graph::{Graph, Value};
use super::kind::{Kind, is_of};
use super::tensors::{Tensors, join};
use crate::error::{Error, Result};
use crate::import::map::Entry;
use cellstate_reference::{Activation, Attention, Dense, Layer, Matrix, Node, Score, Source};

/// The longest ring, and the widest vector.
const MOST: usize = u16::MAX as usize;

/// The modules within one of attention.
pub(super) const PARTS: [&str; 5] = ["q_proj", "k_proj", "v_proj", "o_proj", "out_proj"];

/// What neither the module's tensors nor its entry tell.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Steps of a window, if all of them are there at once.
    pub(super) window: Option<usize>,
    /// `--memory`.
    pub(super) memory: Option<usize>,
}

/// Query, key, value and output, as far as there are any.
type Projections = [Option<Dense>; 4];

/// Adds the node: of the query, or of that and the memory, or of query, keys and values.
pub(super) fn add(
    graph: &mut Graph,
    tensors: &Tensors,
    entry: &Entry,
    values: &[Value],
    place: Place,
) -> Result<Source> {
    let refuse = |cause: String, remedy: &str| tensors.refuse(&entry.name, cause, remedy);
    let [q, k, v, o] = projections(tensors, entry)?;
    let mut sources = Vec::new();
    for (n, value) in values.iter().enumerate() {
        sources.push(graph.single(&format!("{}_from{n}", entry.name), value)?);
    }
    let from = match sources[..] {
        [query] => vec![query, query],
        [query, keys, values] if keys == values => vec![query, keys],
        [_, _] | [_, _, _] => sources,
        _ => {
            let cause = format!("it takes {} inputs", values.len());
            return Err(refuse(cause, "say from = [query, memory] or [query, keys, values]"));
        }
    };
    let taken = [q.as_ref(), k.as_ref(), v.as_ref()];
    let mut widths = Vec::new();
    for (n, &source) in from.iter().enumerate() {
        let needed = taken[n].map(|d| d.w.cols);
        widths.push(graph.learn(&[source], needed).ok_or_else(|| {
            refuse("how many values it takes cannot be told".to_owned(), "put a layer with weights first")
        })?);
    }
    let out = |d: &Option<Dense>, width: usize| d.as_ref().map_or(width, |d| d.w.rows);
    let rows = [out(&q, widths[0]), out(&k, widths[1]), out(&v, widths[widths.len() - 1])];
    let [heads, kv_heads, key, value] = heads(tensors, entry, rows, q.is_some() || k.is_some())?;
    let (length, slots) = slots(tensors, entry, place)?;
    let attention = Attention {
        heads,
        kv_heads,
        key,
        value,
        slots,
        causal: causal(graph, tensors, entry, &from, place)?,
        score: score(tensors, entry, key)?,
        rotary: rotary(tensors, entry, key)?,
        ages: ages(tensors, entry, [heads, length, slots])?,
        query: widths[0],
        apart: widths.get(2).copied(),
        q,
        k,
        v,
        o,
    };
    graph.push(Node::new(&entry.name, Layer::Attention(Box::new(attention)), from), None)
}

fn projections(tensors: &Tensors, entry: &Entry) -> Result<Projections> {
    let module = entry.name.as_str();
    let bias = |w: &Matrix, b: Vec<f64>| Dense { w: w.clone(), b, activation: Activation::Linear };
    let mut parts: Projections = [None, None, None, None];
    let mut known = vec!["in_proj_weight", "in_proj_bias", "q_proj_weight", "k_proj_weight", "v_proj_weight"];
    known.extend([&entry.v, &entry.ages].into_iter().flatten().filter_map(|full| tensors.within(module, full)));
    tensors.only(module, &known)?;
    if tensors.has(module, "in_proj_weight") {
        let joint = tensors.matrix(module, "in_proj_weight", [0, 0])?;
        let width = joint.cols;
        if Some(joint.rows) != width.checked_mul(3) {
            let cause =
                format!("\"in_proj_weight\" has shape [{}, {width}] and not three times as many rows", joint.rows);
            return Err(tensors.refuse(module, cause, "save the state dict again"));
        }
        let b = tensors.vector(module, "in_proj_bias", joint.rows, 0.0)?;
        for (n, part) in parts.iter_mut().take(3).enumerate() {
            let w = joint.gather(width, |row| n * width + row);
            *part = Some(bias(&w, b[n * width..][..width].to_vec()));
        }
    } else if tensors.has(module, "q_proj_weight") {
        let q = tensors.matrix(module, "q_proj_weight", [0, 0])?;
        let width = q.rows;
        let b = tensors.vector(module, "in_proj_bias", width.saturating_mul(3), 0.0)?;
        for (n, name) in ["q_proj_weight", "k_proj_weight", "v_proj_weight"].into_iter().enumerate() {
            let w = tensors.matrix(module, name, [width, 0])?;
            parts[n] = Some(bias(&w, b[n * width..][..width].to_vec()));
        }
    }
    for (name, place) in PARTS.iter().zip([0, 1, 2, 3, 3]) {
        let module = join(module, name);
        if !tensors.modules().contains(&module) {
            continue;
        }
        tensors.only(&module, &["weight", "bias"])?;
        let w = tensors.matrix(&module, "weight", [0, 0])?;
        let b = tensors.vector(&module, "bias", w.rows, 0.0)?;
        if parts[place].replace(bias(&w, b)).is_some() {
            return Err(tensors.refuse(&module, "another tensor is in its place", "save the state dict again"));
        }
    }
    Ok(parts)
}

/// Heads, those of keys and values, and the widths of a key and a value, from the widths of all heads together.
fn heads(tensors: &Tensors, entry: &Entry, [query, keys, values]: [usize; 3], projected: bool) -> Result<[usize; 4]> {
    let refuse = |cause: String, remedy: &str| Err(tensors.refuse(&entry.name, cause, remedy));
    let Some(heads) = entry.heads.or((!projected).then_some(1)) else {
        return refuse(
            "how many heads it has cannot be told".to_owned(),
            "say heads = N in its [[layer]] of model.toml",
        );
    };
    if heads == 0 || !query.is_multiple_of(heads) {
        return refuse(format!("its query of {query} values has no {heads} heads"), "say heads as the model was made");
    }
    let key = query / heads;
    let shared = if keys.is_multiple_of(key) { keys / key } else { 0 };
    if shared == 0 || !heads.is_multiple_of(shared) || !values.is_multiple_of(shared) {
        let cause = format!("its keys of {keys} values do not fit {heads} heads of {key}");
        return refuse(cause, "say heads as the model was made");
    }
    if let Some(said) = entry.kv_heads.filter(|n| *n != shared) {
        return refuse(format!("its keys have {shared} heads, and kv_heads is {said}"), "leave out kv_heads");
    }
    Ok([heads, shared, key, values / shared])
}

/// How many memories the model has, and how many are kept.
fn slots(tensors: &Tensors, entry: &Entry, place: Place) -> Result<(usize, usize)> {
    let Some(length) = entry.window.or(place.window).or(place.memory) else {
        let cause = "how many memories it keeps cannot be told";
        let remedy = "say window = N in its [[layer]] of model.toml, or --memory";
        return Err(tensors.refuse(&entry.name, cause, remedy));
    };
    if length == 0 || length > MOST {
        return Err(tensors.refuse(&entry.name, format!("its window is {length}"), "say 1 to 65535"));
    }
    Ok((length, place.memory.map_or(length, |m| m.min(length))))
}

/// Whether a step sees no later ones. In a stream there are none, and memories of another stream are all there.
fn causal(graph: &Graph, tensors: &Tensors, entry: &Entry, from: &[Source], place: Place) -> Result<bool> {
    let refuse = |cause: &str, remedy: &str| Err(tensors.refuse(&entry.name, cause, remedy));
    let apart = graph.stream(from[0]) != graph.stream(from[1]);
    match (entry.causal, place.window) {
        (Some(true), _) if apart => {
            refuse("its memories are of another stream, which has no steps before", "leave out causal")
        }
        (Some(false), None) if !apart => {
            let remedy =
                "say window = N at the top of model.toml if the model runs over N steps at once, or causal = true";
            refuse("without causal it sees later steps, which a stream has not yet", remedy)
        }
        (said, window) => Ok(!apart && said.unwrap_or(window.is_none())),
    }
}

fn score(tensors: &Tensors, entry: &Entry, key: usize) -> Result<Score> {
    let refuse = |cause: String, remedy: &str| Err(tensors.refuse(&entry.name, cause, remedy));
    match (entry.score.as_deref().unwrap_or("scaled"), &entry.v) {
        ("additive", Some(v)) => Ok(Score::Additive { v: tensors.vectors(&entry.name, v, 1, key)?.to_vec() }),
        ("additive", None) => refuse("it has no weights of its scores".to_owned(), "say v = \"the tensor's name\""),
        (_, Some(_)) => refuse("v is of additive scores".to_owned(), "say score = \"additive\", or leave out v"),
        ("dot", None) => Ok(Score::Dot { scale: 1.0 }),
        ("scaled", None) => Ok(Score::Dot { scale: 1.0 / (key as f64).sqrt() }),
        (other, None) => refuse(format!("its score is \"{other}\""), "use \"scaled\", \"dot\" or \"additive\""),
    }
}

/// `theta^(-2 i / key)`.
fn rotary(tensors: &Tensors, entry: &Entry, key: usize) -> Result<Vec<f64>> {
    let refuse = |cause: String, remedy: &str| -> Result<Vec<f64>> { Err(tensors.refuse(&entry.name, cause, remedy)) };
    match entry.rope {
        None => Ok(Vec::new()),
        Some(theta) if !(theta.is_finite() && theta > 0.0) => {
            refuse(format!("its rope is {theta}"), "say the base of its angles, such as 10000.0")
        }
        Some(_) if !key.is_multiple_of(2) => {
            refuse(format!("its heads have {key} values, and rope turns pairs"), "leave out rope")
        }
        Some(theta) => Ok((0..key / 2).map(|i| theta.powf(-2.0 * i as f64 / key as f64)).collect()),
    }
}

/// What is added to scores by age: of `length` the `slots` newest.
fn ages(tensors: &Tensors, entry: &Entry, [heads, length, slots]: [usize; 3]) -> Result<Vec<f64>> {
    let Some(name) = &entry.ages else { return Ok(Vec::new()) };
    let all = tensors.vectors(&entry.name, name, heads, length)?;
    Ok(all.chunks_exact(length).flat_map(|head| &head[..slots]).copied().collect())
}

/// Whether a module belongs to an entry of attention.
pub(super) fn owns(tensors: &Tensors, entry: &Entry, module: &str) -> bool {
    let part = module.strip_prefix(entry.name.as_str()).and_then(|rest| rest.strip_prefix('.'));
    let own = |name: &str| tensors.has(&entry.name, name);
    part.is_some_and(|p| PARTS.contains(&p))
        && (is_of(entry, Kind::Attention) || own("in_proj_weight") || own("q_proj_weight"))
}

/// Streams of a map: names that are no layer's, and features.
pub(super) fn streams(tensors: &Tensors, entries: &[Entry], streams: &[(&str, usize)]) -> Result<()> {
    let refuse = |name: &str, cause: &str, remedy: &str| {
        Err(Error::new(tensors.path, cause, remedy).at(format!("stream \"{name}\"")))
    };
    for (k, (name, features)) in streams.iter().enumerate() {
        if entries.iter().any(|e| e.name == *name) || streams[..k].iter().any(|s| s.0 == *name) {
            return refuse(name, "model.toml has its name twice", "give each stream and layer a name of its own");
        }
        if !(1..=MOST).contains(features) {
            return refuse(name, "it has no features or too many", "say features = N, from 1 to 65535");
        }
    }
    Ok(())
}
