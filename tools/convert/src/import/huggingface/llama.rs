//! `LlamaForCausalLM`, and `MistralForCausalLM`, which is the same with a sliding window: rotary positions, heads that share
//! keys, RMS normalization before each part of a block, a gated feed-forward part.

use super::config::Config;
use super::parts::Parts;
use crate::error::Result;
use cellstate_reference::{Attention, Dense, Layer, Network, Source};

pub(super) fn build(config: &Config, mut parts: Parts, memory: Option<usize>) -> Result<Network> {
    let width = config.size("hidden_size")?;
    let heads = config.size("num_attention_heads")?;
    let shared = config.count("num_key_value_heads")?.unwrap_or(heads);
    let inner = config.size("intermediate_size")?;
    let tokens = config.size("vocab_size")?;
    let epsilon = config.number("rms_norm_eps", 1e-6)?;
    let activation = config.activation("hidden_act", "silu")?;
    let tied = config.flag("tie_word_embeddings", false)?;
    let [qkv_bias, mlp_bias] = [config.flag("attention_bias", false)?, config.flag("mlp_bias", false)?];
    config.divides("num_key_value_heads", shared, heads)?;
    let key = config.count("head_dim")?;
    if key.is_none() {
        config.divides("num_attention_heads", heads, width)?;
    }
    let key = key.unwrap_or(width / heads);
    let slots = slots(config, memory)?;
    let rotary = rotary(config, key)?;
    let table = parts.matrix("model.embed_tokens", [tokens, width])?;
    let mut x = parts.push("embed_tokens", Layer::Embedding(table.clone()), &[Source::Input]);
    for k in 0..config.size("num_hidden_layers")? {
        let own = |part: &str| format!("layers.{k}.{part}");
        let linear = |parts: &Parts, part: &str, sizes: [usize; 2], bias: bool| {
            parts.linear(&format!("model.layers.{k}.{part}"), sizes, bias)
        };
        let normal = norm(&mut parts, &own("input_layernorm"), width, epsilon, x)?;
        let matrices = [
            linear(&parts, "self_attn.q_proj", [width, heads * key], qkv_bias)?,
            linear(&parts, "self_attn.k_proj", [width, shared * key], qkv_bias)?,
            linear(&parts, "self_attn.v_proj", [width, shared * key], qkv_bias)?,
            linear(&parts, "self_attn.o_proj", [heads * key, width], qkv_bias)?,
        ];
        let scale = 1.0 / (key as f64).sqrt();
        let attention = Attention::projected(matrices, [heads, shared], slots, scale);
        let attention = Attention { rotary: rotary.clone(), ..attention };
        let answer = parts.push(&own("self_attn"), Layer::Attention(Box::new(attention)), &[normal, normal]);
        x = parts.push(&own("self_attn sum"), Layer::Sum, &[x, answer]);
        let normal = norm(&mut parts, &own("post_attention_layernorm"), width, epsilon, x)?;
        let gate = Dense { activation, ..linear(&parts, "mlp.gate_proj", [width, inner], mlp_bias)? };
        let up = linear(&parts, "mlp.up_proj", [width, inner], mlp_bias)?;
        let down = linear(&parts, "mlp.down_proj", [inner, width], mlp_bias)?;
        let gate = parts.push(&own("mlp.gate_proj"), Layer::Dense(gate), &[normal]);
        let up = parts.push(&own("mlp.up_proj"), Layer::Dense(up), &[normal]);
        let gated = parts.push(&own("mlp product"), Layer::Product, &[gate, up]);
        let down = parts.push(&own("mlp.down_proj"), Layer::Dense(down), &[gated]);
        x = parts.push(&own("mlp sum"), Layer::Sum, &[x, down]);
    }
    let normal = norm(&mut parts, "norm", width, epsilon, x)?;
    parts.head(tied, &table, normal)?;
    parts.finish()
}

/// The most memories: positions, the sliding window, and what is asked for.
fn slots(config: &Config, memory: Option<usize>) -> Result<usize> {
    let positions = config.size("max_position_embeddings")?;
    let sliding = config.count("sliding_window")?;
    let slides =
        config.class().as_deref() == Some("MistralForCausalLM") || config.text("model_type") == Some("mistral");
    if sliding.is_some() && !slides {
        let cause = "the Llama architecture has no sliding window, and transformers does not heed it";
        return Err(config.refuse("sliding_window", cause, "remove it, and say --memory for a shorter ring"));
    }
    let full = |value: &serde_json::Value| value.as_str().is_some_and(|t| t != "full_attention");
    if config.get("layer_types").as_array().is_some_and(|types| types.iter().any(full)) {
        let cause = "its layers have different kinds of attention";
        return Err(config.refuse("layer_types", cause, "train with full_attention in all of them"));
    }
    Ok([sliding, memory].into_iter().flatten().fold(positions, usize::min))
}

/// The angles of pairs: `theta^(-2 i / key)`.
fn rotary(config: &Config, key: usize) -> Result<Vec<f64>> {
    let scaled = |key: &str| config.refuse(key, format!("{} is not supported", config.get(key)), "train without it");
    // Since version 5 of transformers theta and its scaling are in one place; before there were two.
    let (old, new) = (config.get("rope_scaling"), config.get("rope_parameters"));
    for (name, value) in [("rope_scaling", old), ("rope_parameters", new)] {
        let kind = value["rope_type"].as_str().or_else(|| value["type"].as_str()).unwrap_or("default");
        let partial = !is_whole(&value["partial_rotary_factor"]);
        let theirs =
            |key: &String| !["rope_type", "type", "rope_theta", "partial_rotary_factor"].contains(&key.as_str());
        let stray = value.as_object().is_some_and(|o| o.keys().any(theirs));
        if !(value.is_null() || value.is_object()) || kind != "default" || partial || stray {
            return Err(scaled(name));
        }
    }
    if !is_whole(config.get("partial_rotary_factor")) {
        return Err(scaled("partial_rotary_factor"));
    }
    let theta = match &new["rope_theta"] {
        serde_json::Value::Null => config.number("rope_theta", 10_000.0)?,
        value => value.as_f64().unwrap_or(f64::NAN),
    };
    if !(theta.is_finite() && theta > 0.0) {
        return Err(config.refuse("rope_theta", "it is no number above 0", "give the configuration of this model"));
    }
    if !key.is_multiple_of(2) {
        return Err(config.refuse("head_dim", format!("{key} is odd, and positions turn pairs"), "give an even one"));
    }
    Ok((0..key / 2).map(|i| theta.powf(-2.0 * i as f64 / key as f64)).collect())
}

/// Whether a part of a head is all of it.
fn is_whole(value: &serde_json::Value) -> bool {
    value.is_null() || value.as_f64().is_some_and(|part| part.to_bits() == 1.0f64.to_bits())
}

fn norm(parts: &mut Parts, name: &str, width: usize, epsilon: f64, from: Source) -> Result<Source> {
    let scale = parts.vector(&format!("model.{name}"), "weight", width)?;
    let offset = vec![0.0; width];
    Ok(parts.push(name, Layer::LayerNorm { scale, offset, epsilon, rms: true }, &[from]))
}
