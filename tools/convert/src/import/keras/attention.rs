//! `Attention`, `AdditiveAttention`, `MultiHeadAttention` and `GroupQueryAttention`.

use super::builder::Builder;
use super::config::Entry;
use super::flow::{Flow, Steps};
use super::weights::Place;
use crate::error::Result;
use cellstate_reference::{Activation, Attention, Dense, Layer, Matrix, Score, Source};

/// The most memories, and the widest vector.
const MOST: usize = u16::MAX as usize;

/// Classes that look up memories: their inputs are query, value and key.
pub(super) const CLASSES: [&str; 5] =
    ["AdditiveAttention", "Attention", "GroupQueryAttention", "GroupedQueryAttention", "MultiHeadAttention"];

/// What a class makes of its weights.
struct Parts {
    /// Query, key, value and output.
    projections: [Option<Dense>; 4],
    heads: [usize; 2],
    /// Of one head's key and value.
    widths: [usize; 2],
    score: Score,
}

impl Builder<'_> {
    /// Attention to a sequence: of a sequence, or of a single step that is the last.
    pub(super) fn attention(&mut self, entry: &Entry, place: &Place, inputs: &[Flow], causal: bool) -> Result<Flow> {
        let [query, value, rest @ ..] = inputs else {
            let cause = format!("it takes {} inputs", inputs.len());
            return Err(self.refuse(entry, cause, "call it on a query and a value"));
        };
        if rest.len() > 1 {
            let cause = format!("it takes {} inputs", inputs.len());
            return Err(self.refuse(entry, cause, "call it on a query, a value and a key"));
        }
        let key = rest.first().filter(|key| !key.is_same(value));
        if inputs.iter().any(|f| f.masked) {
            let remedy = "leave out Masking and mask_zero: a stream ends where it ends";
            return Err(self.refuse(entry, "its inputs are masked", remedy));
        }
        if inputs.iter().any(|f| f.reversed) {
            let remedy = "use Bidirectional, which turns the one that runs backwards";
            return Err(self.refuse(entry, "one of its inputs runs backwards in time", remedy));
        }
        if key.is_some_and(|k| (k.steps, k.grid, k.stream) != (value.steps, value.grid, value.stream)) {
            return Err(self.refuse(entry, "its keys and values are not of the same steps", "give one memory"));
        }
        let parts = match entry.class {
            "MultiHeadAttention" => self.multi_head(entry, place, query, value, key.unwrap_or(value))?,
            "GroupQueryAttention" | "GroupedQueryAttention" => {
                self.grouped(entry, place, query, value, key.unwrap_or(value))?
            }
            _ => self.plain(entry, place, query, value, key.unwrap_or(value))?,
        };
        let slots = self.slots(entry, query, value, causal)?;
        let mut from = vec![self.single(entry, query)?];
        let keys = key.map(|key| self.single(entry, key)).transpose()?;
        from.extend(keys);
        from.push(self.single(entry, value)?);
        let [q, k, v, o] = parts.projections;
        let attention = Attention {
            q,
            k,
            v,
            o,
            heads: parts.heads[0],
            kv_heads: parts.heads[1],
            key: parts.widths[0],
            value: parts.widths[1],
            slots,
            causal,
            score: parts.score,
            rotary: Vec::new(),
            ages: Vec::new(),
            query: query.width,
            apart: key.map(|_| value.width),
        };
        let width = attention.outputs();
        let node = self.push(entry.name, Layer::Attention(Box::new(attention)), from);
        Ok(Flow { anchored: true, ..query.to(node, width) })
    }

    /// A flow as the values of one source.
    pub(super) fn single(&mut self, entry: &Entry, flow: &Flow) -> Result<Source> {
        let flow = match (&flow.from[..], &flow.mix) {
            (&[source], None) => return Ok(source),
            (_, None) => self.identity(entry, flow, Activation::Linear)?,
            _ => self.settle(entry, flow)?,
        };
        Ok(flow.from[0])
    }

    /// How many memories there are at most. Sees to it that all are there when they are looked up.
    fn slots(&mut self, entry: &Entry, query: &Flow, value: &Flow, causal: bool) -> Result<usize> {
        let Steps::Every(length) = value.steps else {
            let remedy = "give the layer before it return_sequences=True";
            return Err(self.refuse(entry, "its value is a single step", remedy));
        };
        let apart = query.stream != value.stream;
        // A single step of the same stream is the last.
        let single = query.steps == Steps::One || (query.steps == Steps::Every(Some(1)) && length != Some(1));
        if causal && (apart || single || query.grid != value.grid) {
            let cause = "it is called with use_causal_mask, and its query and value are not of the same steps";
            return Err(self.refuse(entry, cause, "leave out use_causal_mask"));
        }
        let whole = !(apart || single || causal);
        self.windowed |= whole;
        let sliding = match &entry.config["sliding_window"] {
            serde_json::Value::Null => None,
            _ if causal => Some(self.size(entry, "sliding_window")?),
            _ => {
                return Err(self.refuse(
                    entry,
                    "its sliding_window looks ahead in time",
                    "call it with use_causal_mask",
                ));
            }
        };
        let slots = if whole { length } else { self.memory.or(length) };
        let Some(slots) = slots else {
            let cause = "how many memories it keeps is not known";
            let remedy = if whole {
                "--window with the number of steps"
            } else {
                "--memory with the most steps that it looks back to"
            };
            return Err(self.refuse(entry, cause, format_args!("give its Input a length, or {remedy}")));
        };
        if slots == 0 || slots > MOST {
            return Err(self.refuse(entry, format!("it has {slots} memories"), "give its Input 1 to 65535 steps"));
        }
        Ok(sliding.map_or(slots, |s| s.min(slots)))
    }

    /// `Attention` and `AdditiveAttention`: no projections, one head.
    fn plain(&mut self, entry: &Entry, place: &Place, query: &Flow, value: &Flow, key: &Flow) -> Result<Parts> {
        let width = query.width;
        if key.width != width {
            let cause = format!("its query has {width} values and its key {}", key.width);
            return Err(self.refuse(entry, cause, "give both the same width"));
        }
        let scaled = entry.config["use_scale"].as_bool().unwrap_or(entry.class == "AdditiveAttention");
        let mode = entry.config["score_mode"].as_str().unwrap_or("dot");
        let one = |index: usize, name: &str| Ok(self.weights.read(entry, place, (index, name), &[])?[0]);
        let mut projections = [None, None, None, None];
        let score = match (entry.class, mode) {
            ("AdditiveAttention", _) if scaled => {
                Score::Additive { v: self.weights.read(entry, place, (0, "scale"), &[width])? }
            }
            ("AdditiveAttention", _) => Score::Additive { v: vec![1.0; width] },
            (_, "dot") => Score::Dot { scale: if scaled { one(0, "scale")? } else { 1.0 } },
            (_, "concat") => {
                // w sum(tanh(s (q + k))): the scale goes into query and key.
                let scale = if scaled { Some(one(0, "scale")?) } else { None };
                let weight = one(usize::from(scaled), "concat_score_weight")?;
                if let Some(scale) = scale {
                    self.make_room(entry, width, 2 * width)?;
                    let w = Matrix::diagonal(&vec![scale; width]);
                    let by = Dense { w, b: vec![0.0; width], activation: Activation::Linear };
                    projections = [Some(by.clone()), Some(by), None, None];
                }
                Score::Additive { v: vec![weight; width] }
            }
            (_, mode) => {
                return Err(self.refuse(entry, format!("its score_mode is \"{mode}\""), "use \"dot\" or \"concat\""));
            }
        };
        Ok(Parts { projections, heads: [1, 1], widths: [width, value.width], score })
    }

    fn multi_head(&self, entry: &Entry, place: &Place, query: &Flow, value: &Flow, key: &Flow) -> Result<Parts> {
        let heads = self.size(entry, "num_heads")?;
        let width = self.size(entry, "key_dim")?;
        let values = if entry.config["value_dim"].is_null() { width } else { self.size(entry, "value_dim")? };
        let axes = &entry.config["attention_axes"];
        if !axes.is_null() && *axes != serde_json::json!([1]) {
            return Err(self.refuse(entry, format!("its attention_axes are {axes}"), "look up steps: leave them out"));
        }
        let outputs = match &entry.config["output_shape"] {
            serde_json::Value::Null => query.width,
            shape => {
                let shape = shape.as_array().filter(|s| s.len() == 1).map_or(shape, |s| &s[0]);
                let width = shape.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
                let cause = || format!("its output_shape is {shape}");
                width.ok_or_else(|| self.refuse(entry, cause(), "give a number from 1 to 65535"))?.into()
            }
        };
        self.projected(entry, place, [query, key, value], [heads, heads], [width, values], outputs)
    }

    fn grouped(&self, entry: &Entry, place: &Place, query: &Flow, value: &Flow, key: &Flow) -> Result<Parts> {
        let heads = self.size(entry, "num_query_heads")?;
        let shared = self.size(entry, "num_key_value_heads")?;
        let width = self.size(entry, "head_dim")?;
        if !heads.is_multiple_of(shared) {
            return Err(self.refuse(entry, format!("{shared} heads do not divide {heads}"), "save the model again"));
        }
        self.projected(entry, place, [query, key, value], [heads, shared], [width, width], query.width)
    }

    /// Projections of query, key, value and context.
    fn projected(
        &self,
        entry: &Entry,
        place: &Place,
        [query, key, value]: [&Flow; 3],
        heads: [usize; 2],
        widths: [usize; 2],
        outputs: usize,
    ) -> Result<Parts> {
        if entry.flag("use_gate") {
            return Err(self.refuse(entry, "it has use_gate", "train it without"));
        }
        if heads[0].max(heads[1]).saturating_mul(widths[0].max(widths[1])) > MOST {
            let cause = format!("{heads:?} heads of {widths:?} values are too wide");
            return Err(self.refuse(entry, cause, "give at most 65535 values in all heads"));
        }
        let by_head = |name: &str, layer: &str, inputs: usize, heads: usize, width: usize| {
            let place = self.part(place, name, layer);
            let kernel = self.weights.read(entry, &place, (0, "kernel"), &[inputs, heads, width])?;
            let w = Matrix { rows: inputs, cols: heads * width, data: kernel }.transpose();
            Ok(Some(Dense { w, b: self.bias_of(entry, &place, &[heads, width])?, activation: Activation::Linear }))
        };
        let q = by_head("query_dense", "query", query.width, heads[0], widths[0])?;
        let k = by_head("key_dense", "key", key.width, heads[1], widths[0])?;
        let v = by_head("value_dense", "value", value.width, heads[1], widths[1])?;
        let out = self.part(place, "output_dense", "attention_output");
        let kernel = self.weights.read(entry, &out, (0, "kernel"), &[heads[0], widths[1], outputs])?;
        let w = Matrix { rows: heads[0] * widths[1], cols: outputs, data: kernel }.transpose();
        let o = Dense { w, b: self.bias_of(entry, &out, &[outputs])?, activation: Activation::Linear };
        let score = Score::Dot { scale: 1.0 / (widths[0] as f64).sqrt() };
        Ok(Parts { projections: [q, k, v, Some(o)], heads, widths, score })
    }

    /// The place of a projection, whose attribute Keras 2 and some classes begin with an underscore.
    fn part(&self, place: &Place, name: &str, layer: &str) -> Place {
        let plain = place.named(name, layer);
        if self.weights.has(&plain, 0) { plain } else { place.named(&format!("_{name}"), layer) }
    }
}
