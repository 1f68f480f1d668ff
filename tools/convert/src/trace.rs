//! What happens inside a model over time: gates, states and attention weights of the first steps of a sequence, as maps whose
//! rows are units, or memories by age, and whose columns are steps.

use crate::data::{Sequence, Sequences};
use crate::eval::{Units, run};
use crate::inspect::rows;
use cellstate::model::layer::{Layer, More};
use cellstate::{Model, Session};
use serde::Serialize;

/// The most steps of a trace.
pub const MOST_STEPS: usize = 300;
/// The most rows of a map: of more units an even choice, of more memories the newest.
pub const MOST_ROWS: usize = 48;
/// The most heads of an attention layer that are shown.
pub const MOST_HEADS: usize = 8;

/// Values over time.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Map {
    /// What they are.
    pub title: String,
    /// The rows' names.
    pub rows: Vec<String>,
    /// Row by row a value a step, or none where a step brought none.
    pub values: Vec<Vec<Option<f64>>>,
    /// The largest magnitude that the values can have, or had, where they have no bound.
    pub limit: f64,
}

/// One layer's maps.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LayerTrace {
    /// Its place and kind.
    pub layer: String,
    /// Gates, cell state and hidden state of a recurrent layer; attention weights, head by head.
    pub maps: Vec<Map>,
}

/// The trace.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Trace {
    /// The stream of each step.
    pub streams: Vec<usize>,
    /// The decision of each step that brought one: the label or number of the first output's largest value.
    pub decisions: Vec<Option<String>>,
    /// The first output: probabilities after a softmax, else real values.
    pub outputs: Map,
    /// The layers that have something to see.
    pub layers: Vec<LayerTrace>,
}

/// Steps a model over the first `steps` samples of a sequence, [`MOST_STEPS`] at most.
///
/// # Errors
/// A sentence as of [`run`].
pub fn trace(model: &Model, sequence: &Sequence, features: usize, units: Units, steps: usize) -> Result<Trace, String> {
    let sequence = sequence.first(steps.min(MOST_STEPS));
    let streams: Vec<usize> = (0..sequence.len()).map(|t| sequence.stream(t)).collect();
    let data = Sequences { features, sequences: vec![sequence] };
    let names = (0..model.outputs()).map(|k| name(model, k)).collect();
    let mut trace = Trace {
        streams: streams.clone(),
        decisions: Vec::new(),
        outputs: Map::new("output", names, 1.0),
        layers: rows(model).iter().enumerate().filter_map(|(k, row)| layer(model, k, row.kind)).map(|l| l.1).collect(),
    };
    let watched: Vec<usize> = (0..model.nodes().count()).filter(|&k| layer(model, k, "").is_some()).collect();
    run(model, &data, units, |session, _, t| {
        let output = session.output();
        let mut values = vec![0.0f32; output.len()];
        output.probabilities(&mut values);
        let new = output.is_new();
        trace.decisions.push(new.then(|| name(model, output.argmax())));
        trace.outputs.push(|row| new.then(|| f64::from(values[row])));
        for (&k, layer) in watched.iter().zip(&mut trace.layers) {
            observe(session, k, streams[t], &mut layer.maps);
        }
    })?;
    trace.outputs.keep_largest();
    for map in trace.layers.iter_mut().flat_map(|l| &mut l.maps).chain([&mut trace.outputs]) {
        map.fit();
    }
    Ok(trace)
}

fn name(model: &Model, k: usize) -> String {
    model.label(k).map_or_else(|| k.to_string(), str::to_owned)
}

/// An even choice of at most [`MOST_ROWS`] of `width` units.
fn chosen(width: usize) -> impl Iterator<Item = usize> {
    let count = width.min(MOST_ROWS);
    (0..count).map(move |n| n * width / count)
}

/// The maps of node `k`, without values yet; none of a layer in which there is nothing to see.
fn layer(model: &Model, k: usize, kind: &str) -> Option<(usize, LayerTrace)> {
    let (node, _) = model.node(k)?;
    let units =
        |title: &str, width: usize, limit: f64| Map::new(title, chosen(width).map(|u| u.to_string()).collect(), limit);
    let cells = node.layer.cells();
    let gates: &[&str] = match node.layer {
        Layer::Lstm { .. } | Layer::More(More::LstmVariant { .. }) => {
            &["input gate", "forget gate", "candidate", "output gate"]
        }
        Layer::More(More::Gru { .. }) => &["reset gate", "update gate", "candidate"],
        _ => &[],
    };
    let mut maps: Vec<Map> = gates.iter().map(|title| units(title, cells, 1.0)).collect();
    if !gates.is_empty() && !matches!(node.layer, Layer::More(More::Gru { .. })) {
        maps.push(units("cell state", cells, 0.0));
    }
    if node.layer.is_recurrent() {
        maps.push(units("hidden state", node.layer.width(), 0.0));
    }
    if let Layer::More(More::Attention(a)) = &node.layer {
        let ages: Vec<String> = (0..usize::from(a.slots).min(MOST_ROWS)).map(|age| age.to_string()).collect();
        let heads = 0..usize::from(a.heads).min(MOST_HEADS);
        maps.extend(heads.map(|head| Map::new(&format!("attention weights, head {head}"), ages.clone(), 1.0)));
    }
    (!maps.is_empty()).then(|| (k, LayerTrace { layer: format!("{k} {kind}"), maps }))
}

/// The column of the latest step in each map of node `k`.
fn observe(session: &Session, k: usize, stream: usize, maps: &mut [Map]) {
    let Some((node, place)) = session.model().node(k) else { return };
    if place.stream() != stream {
        for map in maps {
            map.push(|_| None);
        }
        return;
    }
    if let Layer::More(More::Attention(_)) = node.layer {
        for (head, map) in maps.iter_mut().enumerate() {
            let mut weights = vec![None; map.rows.len()];
            for (age, weight) in session.attention(k, head).into_iter().flatten() {
                if let Some(place) = weights.get_mut(age) {
                    *place = Some(f64::from(weight) / 32768.0);
                }
            }
            map.push(|row| weights[row]);
        }
        return;
    }
    let mut gates: Vec<Vec<f64>> = Vec::new();
    session.gates(k, |_, unit| gates.push(unit.iter().map(|g| f64::from(g.to_bits()) / 32768.0).collect()));
    let units: Vec<usize> = chosen(node.layer.cells()).collect();
    let outputs: Vec<usize> = chosen(node.layer.width()).collect();
    for (number, map) in maps.iter_mut().enumerate() {
        match map.title.as_str() {
            "cell state" => {
                let cell = session.cell(k);
                map.push(|row| cell.and_then(|c| c.get(units[row])).map(f64::from));
            }
            "hidden state" => {
                let (hidden, scale) = (session.hidden(k).unwrap_or_default(), f64::from(node.layer.scale()));
                map.push(|row| hidden.get(outputs[row]).map(|h| f64::from(h.to_bits()) * scale));
            }
            _ => map.push(|row| gates.get(units[row]).map(|unit| unit[number])),
        }
    }
}

impl Map {
    fn new(title: &str, rows: Vec<String>, limit: f64) -> Self {
        Self { title: title.to_owned(), values: vec![Vec::new(); rows.len()], rows, limit }
    }

    /// One more column.
    fn push(&mut self, value: impl Fn(usize) -> Option<f64>) {
        self.values.iter_mut().enumerate().for_each(|(row, values)| values.push(value(row)));
    }

    /// Of too many rows those with the largest values, in their order.
    fn keep_largest(&mut self) {
        let largest = |row: &Vec<Option<f64>>| row.iter().flatten().fold(0.0, |a: f64, v| a.max(v.abs()));
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by(|&a, &b| largest(&self.values[b]).total_cmp(&largest(&self.values[a])));
        order.truncate(MOST_ROWS);
        order.sort_unstable();
        self.rows = order.iter().map(|&k| self.rows[k].clone()).collect();
        self.values = order.iter().map(|&k| self.values[k].clone()).collect();
    }

    /// The limit of values without a bound, and of those beyond it.
    fn fit(&mut self) {
        let most = self.values.iter().flatten().flatten().fold(0.0, |a: f64, v| a.max(v.abs()));
        self.limit = self.limit.max(most);
    }
}
