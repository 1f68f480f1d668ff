//! `GPT2LMHeadModel`: learned positions, normalization before each part of a block, GELU.

use super::config::Config;
use super::parts::Parts;
use crate::error::Result;
use cellstate_reference::{Activation, Attention, Dense, Layer, Network, Source};

pub(super) fn build(config: &Config, mut parts: Parts, memory: Option<usize>) -> Result<Network> {
    let width = config.size("n_embd")?;
    let heads = config.size("n_head")?;
    let positions = config.size("n_positions")?;
    let tokens = config.size("vocab_size")?;
    let inner = config.count("n_inner")?.unwrap_or(4 * width);
    let epsilon = config.number("layer_norm_epsilon", 1e-5)?;
    let activation = config.activation("activation_function", "gelu_new")?;
    let scaled = config.flag("scale_attn_weights", true)?;
    let by_layer = config.flag("scale_attn_by_inverse_layer_idx", false)?;
    let tied = config.flag("tie_word_embeddings", true)?;
    config.divides("n_head", heads, width)?;
    let at = if parts.has("transformer.wte") { "transformer." } else { "" };
    let table = parts.matrix(&format!("{at}wte"), [tokens, width])?;
    let places = parts.matrix(&format!("{at}wpe"), [positions, width])?;
    let embedded = parts.push("wte", Layer::Embedding(table.clone()), &[Source::Input]);
    let mut x = parts.push("wpe", Layer::Position(places), &[embedded]);
    for k in 0..config.size("n_layer")? {
        let own = |part: &str| format!("h.{k}.{part}");
        let module = |part: &str| format!("{at}h.{k}.{part}");
        let normal = norm(&mut parts, &own("ln_1"), at, width, epsilon, x)?;
        let joint = parts.conv1d(&module("attn.c_attn"), [width, 3 * width])?;
        let part = |n: usize| {
            let source = move |row: usize| n * width + row;
            let b = joint.b[n * width..][..width].to_vec();
            Dense { w: joint.w.gather(width, source), b, activation: Activation::Linear }
        };
        let mut scale = if scaled { 1.0 / ((width / heads) as f64).sqrt() } else { 1.0 };
        if by_layer {
            scale /= (k + 1) as f64;
        }
        let out = parts.conv1d(&module("attn.c_proj"), [width, width])?;
        let slots = memory.map_or(positions, |m| m.min(positions));
        let attention = Attention::projected([part(0), part(1), part(2), out], [heads; 2], slots, scale);
        let answer = parts.push(&own("attn"), Layer::Attention(Box::new(attention)), &[normal, normal]);
        x = parts.push(&own("attn sum"), Layer::Sum, &[x, answer]);
        let normal = norm(&mut parts, &own("ln_2"), at, width, epsilon, x)?;
        let up = Dense { activation, ..parts.conv1d(&module("mlp.c_fc"), [width, inner])? };
        let down = parts.conv1d(&module("mlp.c_proj"), [inner, width])?;
        let up = parts.push(&own("mlp.c_fc"), Layer::Dense(up), &[normal]);
        let down = parts.push(&own("mlp.c_proj"), Layer::Dense(down), &[up]);
        x = parts.push(&own("mlp sum"), Layer::Sum, &[x, down]);
    }
    let normal = norm(&mut parts, "ln_f", at, width, epsilon, x)?;
    parts.head(tied, &table, normal)?;
    parts.finish()
}

fn norm(parts: &mut Parts, name: &str, at: &str, width: usize, epsilon: f64, from: Source) -> Result<Source> {
    let module = format!("{at}{name}");
    let scale = parts.vector(&module, "weight", width)?;
    let offset = parts.vector(&module, "bias", width)?;
    Ok(parts.push(name, Layer::LayerNorm { scale, offset, epsilon, rms: false }, &[from]))
}
