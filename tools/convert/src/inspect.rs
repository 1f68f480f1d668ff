//! What a blob holds, layer by layer: what `cellstate inspect` and the report show.

use crate::quantize::levers;
use cellstate::Model;
use cellstate::model::Place;
use cellstate::model::header::{FORMAT_VERSION, Node};
use cellstate::model::layer::Layer;
use cellstate::model::more::More;
use serde_json::{Value, json};

/// One layer.
#[derive(Clone, Debug)]
pub struct Row {
    /// `lstm`, `gru`, `rnn`, `dense`, `embedding`, `norm`, `window` or `concat`.
    pub kind: &'static str,
    /// Values that it takes at each step.
    pub inputs: usize,
    /// Values that it yields.
    pub outputs: usize,
    /// Format of the weights, or `-`.
    pub weights: String,
    /// Formats of its values, in words.
    pub formats: String,
    /// Bytes in the blob.
    pub flash: usize,
    /// Bytes in the state.
    pub state: usize,
}

/// The layers, first to last.
pub fn rows(model: &Model) -> Vec<Row> {
    let header = model.header();
    let row = |(node, place): (&Node, &Place)| {
        let (layer, inputs) = (node.layer, place.inputs);
        let (kind, mut formats) = describe(&layer);
        if node.backward {
            formats.push_str(", backward");
        }
        if node.last {
            formats.push_str(", last step");
        }
        let flash = (place.record_words + place.extra_words) * 4;
        let weights = levers::formats(&layer).map_or("-".to_owned(), levers::name);
        let joins = matches!(layer, Layer::More(More::Concat { .. }));
        let inputs = inputs + layer.second().filter(|_| joins).map_or(0, |second| header.width(second));
        Row { kind, inputs, outputs: layer.width(), weights, formats, flash, state: place.state_words() * 4 }
    };
    model.nodes().map(row).collect()
}

/// A layer's kind and the formats of its values.
fn describe(layer: &Layer) -> (&'static str, String) {
    let cell = |frac: u8| format!("c Q{}.{frac}", 31 - frac);
    match *layer {
        Layer::Lstm { cell_frac, z_shift, .. } => ("lstm", format!("h Q0.15, {}{}", cell(cell_frac), shift(z_shift))),
        Layer::More(More::LstmVariant { cell_frac, z_shift, hard, peephole, projection, scale, .. }) => {
            let mut formats = format!("h unit {scale:e}, {}{}", cell(cell_frac), shift(z_shift));
            let has = [(hard, "hard sigmoid"), (peephole.is_some(), "peepholes"), (projection > 0, "projection")];
            for (_, what) in has.iter().filter(|(has, _)| *has) {
                formats.push_str(", ");
                formats.push_str(what);
            }
            ("lstm", formats)
        }
        Layer::More(More::Gru { z_shift, reset_after, .. }) => {
            let reset = if reset_after { "after" } else { "before" };
            ("gru", format!("h Q0.15, reset {reset} the product{}", shift(z_shift)))
        }
        Layer::More(More::Rnn { activation, scale, z_shift, .. }) => {
            ("rnn", format!("{activation:?}, unit {scale:e}{}", shift(z_shift)).to_lowercase())
        }
        Layer::Dense { activation, scale, z_shift, .. } => {
            ("dense", format!("{activation:?}, unit {scale:e}{}", shift(z_shift)).to_lowercase())
        }
        Layer::More(More::Embedding { rows, scale, .. }) => ("embedding", format!("{rows} rows, unit {scale:e}")),
        Layer::More(More::Norm { scale, .. }) => ("norm", format!("unit {scale:e}")),
        Layer::More(More::Window { taps, dilation, stride, causal, .. }) => {
            let causal = if causal { ", causal" } else { "" };
            ("window", format!("{taps} taps, dilation {dilation}, stride {stride}{causal}"))
        }
        Layer::More(More::Concat { second, .. }) => ("concat", format!("with layer {second}")),
        Layer::More(More::Join { second, product, scale, .. }) => {
            (if product { "product" } else { "sum" }, format!("with layer {second}, unit {scale:e}"))
        }
        Layer::More(More::Position { rows, scale, .. }) => ("position", format!("{rows} steps, unit {scale:e}")),
        Layer::More(More::Attention(a)) => {
            let heads =
                if a.heads == a.kv_heads { a.heads.to_string() } else { format!("{} of {}", a.heads, a.kv_heads) };
            let has = [(a.additive, "additive"), (a.causal, "causal"), (a.rotary, "rotary"), (a.ages, "ages")];
            let has: Vec<&str> = has.iter().filter(|h| h.0).flat_map(|h| [", ", h.1]).collect();
            let has = has.concat();
            (
                "attention",
                format!("{heads} heads of {}, {} slots of layer {}{has}, unit {:e}", a.key, a.slots, a.memory, a.scale),
            )
        }
    }
}

fn shift(z_shift: u8) -> String {
    if z_shift == 0 { String::new() } else { format!(", z << {z_shift}") }
}

/// The JSON object that `docs/cli.md` documents.
pub fn as_json(model: &Model, flash: usize) -> Value {
    let header = model.header();
    let layers = rows(model).into_iter().map(|r| {
        json!({
            "kind": r.kind, "inputs": r.inputs, "outputs": r.outputs, "weights": r.weights, "formats": r.formats,
            "flash_bytes": r.flash, "state_bytes": r.state,
        })
    });
    json!({
        "name": header.name,
        "provenance": header.provenance,
        "format_version": FORMAT_VERSION,
        "crc32": format!("{:08x}", model.id()),
        "inputs": model.inputs(),
        "outputs": model.outputs(),
        "features": header.features.lines().collect::<Vec<_>>(),
        "labels": header.labels.lines().collect::<Vec<_>>(),
        "flash_bytes": flash,
        "state_bytes": model.state_bytes(),
        "saved_bytes": model.saved_bytes(),
        "self_test_steps": header.tests,
        "self_test_bytes": header.test_words() * 4,
        "layers": layers.collect::<Vec<_>>(),
    })
}
