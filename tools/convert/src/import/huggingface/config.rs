//! `config.json`.

use crate::error::{Error, Result};
use cellstate_reference::Activation;
use serde_json::Value;
use std::path::Path;

/// What changes a result and is not supported: a value other than null, false and an empty one is an error.
const REFUSED: [&str; 14] = [
    "quantization_config",
    "add_cross_attention",
    "alibi",
    "attn_logit_softcapping",
    "attention_multiplier",
    "auto_map",
    "embedding_multiplier",
    "final_logit_softcapping",
    "is_encoder_decoder",
    "logits_scaling",
    "num_local_experts",
    "qk_norm",
    "residual_multiplier",
    "use_qk_norm",
];

/// A configuration.
pub(super) struct Config<'a> {
    path: &'a Path,
    value: Value,
}

impl<'a> Config<'a> {
    /// Whether there is one, and of `transformers`.
    pub(super) fn is_at(path: &Path) -> bool {
        let value = std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        value.is_some_and(|v| v["model_type"].is_string() || v["architectures"].is_array())
    }

    pub(super) fn load(path: &'a Path) -> Result<Self> {
        let bytes = crate::error::read(path)?;
        let remedy = "save the model again with save_pretrained";
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| Error::new(path, e, remedy))?;
        let config = Self { path, value };
        let stray = REFUSED.iter().find(|key| match config.get(key) {
            Value::Null | Value::Bool(false) => false,
            Value::Array(a) => !a.is_empty(),
            Value::Object(o) => !o.is_empty(),
            Value::Number(n) => n.as_f64() != Some(1.0),
            _ => true,
        });
        match stray {
            Some(key) => {
                Err(config.refuse(key, "it changes what the model computes, and is not supported", "train without it"))
            }
            None => Ok(config),
        }
    }

    pub(super) fn get(&self, key: &str) -> &Value {
        &self.value[key]
    }

    pub(super) fn refuse(&self, key: &str, cause: impl std::fmt::Display, remedy: impl std::fmt::Display) -> Error {
        Error::new(self.path, cause, remedy).at(key)
    }

    /// The first of `architectures`.
    pub(super) fn class(&self) -> Option<String> {
        self.value["architectures"][0].as_str().map(|s| s.replace(char::is_control, " "))
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key).as_str()
    }

    /// A number of things, from 1 to 65535; none if it is absent or null.
    pub(super) fn count(&self, key: &str) -> Result<Option<usize>> {
        let value = self.get(key);
        if value.is_null() {
            return Ok(None);
        }
        let count = value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n > 0);
        let cause = || format!("it is {value}");
        count.map(|n| Some(n.into())).ok_or_else(|| self.refuse(key, cause(), "give a number from 1 to 65535"))
    }

    /// One that must be there.
    pub(super) fn size(&self, key: &str) -> Result<usize> {
        self.count(key)?.ok_or_else(|| self.refuse(key, "it is missing", "save the model again with save_pretrained"))
    }

    /// A number, finite and not negative.
    pub(super) fn number(&self, key: &str, default: f64) -> Result<f64> {
        let value = self.get(key);
        if value.is_null() {
            return Ok(default);
        }
        let fits = |n: &f64| n.is_finite() && *n >= 0.0;
        value.as_f64().filter(fits).ok_or_else(|| self.refuse(key, format!("it is {value}"), "give a number from 0 on"))
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool> {
        let value = self.get(key);
        if value.is_null() {
            return Ok(default);
        }
        value.as_bool().ok_or_else(|| self.refuse(key, format!("it is {value}"), "give true or false"))
    }

    /// An activation by the name that `transformers` gives it.
    pub(super) fn activation(&self, key: &str, default: &str) -> Result<Activation> {
        let name = match self.get(key) {
            Value::Null => default,
            value => value.as_str().unwrap_or_default(),
        };
        Ok(match name {
            "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" | "gelu_python_tanh" => Activation::Gelu { tanh: true },
            "gelu" | "gelu_python" => Activation::Gelu { tanh: false },
            "silu" | "swish" => Activation::Silu,
            "relu" => Activation::Relu,
            "tanh" => Activation::Tanh,
            "sigmoid" => Activation::Sigmoid,
            "linear" => Activation::Linear,
            _ => {
                let cause = format!("{} is not supported", self.get(key));
                return Err(self.refuse(key, cause, "train with gelu_new, gelu, silu or relu"));
            }
        })
    }

    /// Heads that share a width.
    pub(super) fn divides(&self, key: &str, parts: usize, whole: usize) -> Result<()> {
        if whole.is_multiple_of(parts) {
            return Ok(());
        }
        Err(self.refuse(key, format!("{parts} do not divide {whole}"), "give the configuration of this model"))
    }
}
