//! Hugging Face checkpoints: each golden one against the outputs of `transformers`, every refusal, and damaged files.

use cellstate_convert::data;
use cellstate_convert::import::{Options, load};
use cellstate_reference::{Evaluator, Layer, Network};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Every checkpoint of `tests/models/huggingface`, which `tools/train/hf_zoo.py` made, with its nodes.
const GOLDEN: [(&str, usize); 6] =
    [("gpt2", 18), ("gpt2_bare", 18), ("gpt2_own_head", 18), ("llama", 21), ("llama_tied", 21), ("mistral", 21)];

fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/huggingface")
}

fn imported(path: &Path) -> Result<Network, String> {
    load(path, Options::default()).map_err(|e| e.to_string())
}

/// The largest difference from the logits of `transformers`.
fn worst(name: &str, network: &Network) -> f64 {
    let path = models().join(name).join("golden.npz");
    let golden = data::read_array(&path, "y0").unwrap();
    let mut rows = golden.data.chunks_exact(golden.shape[1]);
    let mut eval = Evaluator::new(network);
    let mut worst = 0.0f64;
    for sequence in &data::load(&path).unwrap().sequences {
        eval.reset();
        for token in sequence.steps() {
            let (got, new) = eval.step(token);
            let row = rows.next().unwrap();
            assert!(new && got.len() == row.len());
            worst = got.iter().zip(row).fold(worst, |w, (a, b)| w.max((a - b).abs()));
        }
    }
    assert!(rows.next().is_none());
    worst
}

#[test]
fn every_golden_checkpoint_equals_transformers() {
    for (name, nodes) in GOLDEN {
        let network = imported(&models().join(name)).unwrap_or_else(|e| panic!("{e}"));
        let worst = worst(name, &network);
        println!("{name}: {} nodes, largest error {worst:.1e}", network.nodes.len());
        assert!(worst <= 1e-5, "{name}: {worst}");
        assert_eq!(network.nodes.len(), nodes, "{name}");
        assert_eq!(network.name, name);
        // Whichever of its files is given.
        for file in ["config.json", "model.safetensors"] {
            assert_eq!(imported(&models().join(name).join(file)).unwrap(), network, "{name}");
        }
    }
    let mut found: Vec<_> = std::fs::read_dir(models()).unwrap().map(|e| e.unwrap().path()).collect();
    found.retain(|p| p.is_dir());
    assert_eq!(found.len(), GOLDEN.len());
}

fn slots(network: &Network) -> Vec<usize> {
    let slots = |layer: &Layer| if let Layer::Attention(a) = layer { Some(a.slots) } else { None };
    network.nodes.iter().filter_map(|n| slots(&n.layer)).collect()
}

#[test]
fn rings_are_as_long_as_what_a_token_sees() {
    let of = |name: &str, memory| slots(&load(&models().join(name), Options { memory, ..Options::default() }).unwrap());
    assert_eq!(of("gpt2", None), [24, 24]);
    assert_eq!(of("gpt2", Some(7)), [7, 7]);
    assert_eq!(of("llama", Some(100)), [32, 32]);
    assert_eq!(of("mistral", None), [5, 5]);
    assert_eq!(of("mistral", Some(9)), [5, 5]);
    let none = load(&models().join("gpt2"), Options { memory: Some(0), ..Options::default() }).unwrap_err().to_string();
    assert!(none.contains("--memory"), "{none}");
}

#[test]
fn characters_are_labels() {
    let network = imported(&models().join("gpt2")).unwrap();
    assert_eq!(network.labels(), ["\\n", " ", "a", "b", "c", "d", "e", "<|endoftext|>", "é"]);
    assert!(imported(&models().join("llama")).unwrap().labels().is_empty());
    let vocabulary = |file: &str, value: Value| {
        let copy = Copy::of("llama");
        std::fs::write(copy.0.path().join(file), value.to_string()).unwrap();
        imported(copy.0.path()).map(|n| n.labels().to_vec())
    };
    let letters: Vec<String> = "abcdefghi".chars().map(String::from).collect();
    let vocab: Value =
        letters.iter().enumerate().map(|(k, c)| (c.clone(), json!(k))).collect::<serde_json::Map<_, _>>().into();
    assert_eq!(vocabulary("vocab.json", vocab.clone()).unwrap(), letters);
    assert_eq!(vocabulary("tokenizer.json", json!({"model": {"vocab": vocab}})).unwrap(), letters);
    let mut rest = vocab.clone();
    rest.as_object_mut().unwrap().remove("i");
    let added = json!({"added_tokens": [{"id": 8, "content": "[END]"}], "model": {"vocab": rest}});
    assert_eq!(vocabulary("tokenizer.json", added).unwrap()[8], "[END]");
    // Not characters, too few of them, another model's.
    let none: [String; 0] = [];
    assert_eq!(vocabulary("vocab.json", rest.clone()).unwrap(), none);
    for (name, id) in [("the", 8), ("i", 9), ("i", 1u64 << 40)] {
        let mut other = rest.clone();
        other[name] = json!(id);
        assert_eq!(vocabulary("vocab.json", other).unwrap(), none);
    }
    assert!(vocabulary("vocab.json", json!("text")).unwrap().is_empty());
}

/// A folder with a golden checkpoint's files.
struct Copy(tempfile::TempDir);

impl Copy {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for file in ["config.json", "model.safetensors"] {
            std::fs::copy(models().join(name).join(file), folder.path().join(file)).unwrap();
        }
        Self(folder)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, config: &[u8]) {
        std::fs::write(self.file("config.json"), config).unwrap();
    }

    fn config(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("config.json")).unwrap()).unwrap()
    }

    /// With another value in its configuration.
    fn with(self, key: &str, value: Value) -> Self {
        let mut config = self.config();
        config[key] = value;
        self.write(config.to_string().as_bytes());
        self
    }

    /// The error is one line that names each of `words`.
    fn refused(&self, words: &[&str]) {
        let said = imported(self.0.path()).err().unwrap_or_else(|| panic!("imported in spite of {words:?}"));
        assert_eq!(said.lines().count(), 1, "{said}");
        println!("{}", said.split_once(": ").unwrap().1);
        for word in words {
            assert!(said.contains(word), "{said:?} does not name {word:?}");
        }
    }
}

#[test]
fn what_changes_a_result_is_refused_by_name() {
    let llama =
        |key: &str, value: Value, words: &[&str]| Copy::of("llama").with(key, value).refused(&[&[key], words].concat());
    llama("rope_scaling", json!({"rope_type": "linear", "factor": 2.0}), &["linear"]);
    llama("rope_scaling", json!({"type": "dynamic", "factor": 2.0}), &["dynamic"]);
    llama("rope_scaling", json!(2.0), &["2.0"]);
    llama("rope_parameters", json!({"rope_type": "llama3", "rope_theta": 1e4, "factor": 8.0}), &["llama3"]);
    llama("rope_parameters", json!({"rope_theta": 1e4, "partial_rotary_factor": 0.5}), &["0.5"]);
    llama("rope_parameters", json!({"rope_theta": 1e4, "mscale": 0.5}), &["mscale"]);
    llama("partial_rotary_factor", json!(0.5), &["0.5"]);
    llama("quantization_config", json!({"quant_method": "gptq", "bits": 4}), &["not supported"]);
    llama("alibi", json!(true), &["not supported"]);
    llama("auto_map", json!({"AutoModelForCausalLM": "own.Model"}), &["not supported"]);
    llama("sliding_window", json!(16), &["--memory"]);
    llama("layer_types", json!(["full_attention", "linear_attention"]), &["full_attention"]);
    llama("hidden_act", json!("quick_gelu"), &["quick_gelu", "silu"]);
    llama("architectures", json!(["BertForMaskedLM"]), &["BertForMaskedLM", "GPT2LMHeadModel", "LlamaForCausalLM"]);
    llama("tie_word_embeddings", json!(true), &["lm_head"]);
    llama("head_dim", json!(5), &["odd"]);
    Copy::of("gpt2").with("add_cross_attention", json!(true)).refused(&["add_cross_attention"]);
    Copy::of("gpt2").with("activation_function", json!("laplace")).refused(&["activation_function", "laplace"]);
    Copy::of("gpt2").with("model_type", json!("gptj")).with("architectures", json!(null)).refused(&["gptj"]);
    // Weights of which the configuration does not tell.
    Copy::of("llama").with("num_hidden_layers", json!(1)).refused(&["layers.1", "config.json tells of no tensor"]);
    Copy::of("llama_tied").with("attention_bias", json!(false)).refused(&["self_attn.k_proj.bias"]);
    Copy::of("gpt2").with("tie_word_embeddings", json!(false)).refused(&["lm_head.weight"]);
}

#[test]
fn files_that_are_missing() {
    let copy = Copy::of("gpt2");
    std::fs::rename(copy.file("model.safetensors"), copy.file("other.safetensors")).unwrap();
    copy.refused(&["model.safetensors", "check the path"]);
    assert!(imported(&copy.file("other.safetensors")).is_ok());
    std::fs::write(copy.file("model.safetensors.index.json"), "{}").unwrap();
    copy.refused(&["several files", "max_shard_size"]);
    std::fs::write(copy.file("adapter_config.json"), "{}").unwrap();
    copy.refused(&["adapter_config.json", "merge_and_unload"]);
    let copy = Copy::of("gpt2");
    std::fs::remove_file(copy.file("config.json")).unwrap();
    copy.refused(&["config.json", "check the path"]);
    // A state dict alone asks for its map.
    let alone = imported(&copy.file("model.safetensors")).unwrap_err();
    assert!(alone.contains("model.toml") || alone.contains("layer \""), "{alone}");
    let map = copy.file("model.toml");
    std::fs::write(&map, "[[layer]]\nname = \"wte\"\n").unwrap();
    let said = load(&models().join("gpt2"), Options { map: Some(&map), ..Options::default() }).unwrap_err().to_string();
    assert!(said.contains("tells its layers itself"), "{said}");
}

#[test]
fn absurd_numbers() {
    for (name, keys) in [
        ("gpt2", &["vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner"][..]),
        (
            "llama",
            &[
                "vocab_size",
                "hidden_size",
                "intermediate_size",
                "num_hidden_layers",
                "num_attention_heads",
                "num_key_value_heads",
                "head_dim",
                "max_position_embeddings",
            ],
        ),
    ] {
        for key in keys {
            for value in
                [json!(0), json!(-1), json!(1_000_000_000), json!(u64::MAX), json!(1.5), json!("4"), json!([4])]
            {
                Copy::of(name).with(key, value).refused(&[key]);
            }
            // In range, and not this model's.
            for value in [json!(65535), json!(3)] {
                let copy = Copy::of(name).with(key, value);
                match imported(copy.0.path()) {
                    Err(said) => assert_eq!(said.lines().count(), 1, "{said}"),
                    Ok(_) => assert_eq!(*key, "max_position_embeddings"),
                }
            }
        }
    }
    for (name, key) in [("gpt2", "layer_norm_epsilon"), ("llama", "rms_norm_eps")] {
        for value in [json!(-1.0), json!("x"), json!([])] {
            Copy::of(name).with(key, value).refused(&[key]);
        }
    }
    for value in [json!(0), json!(-3.0), json!("x")] {
        Copy::of("llama_tied").with("rope_theta", value).refused(&["rope_theta"]);
    }
    // A weight that is no number: the last one of the file.
    let copy = Copy::of("llama");
    let mut bytes = std::fs::read(copy.file("model.safetensors")).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(copy.file("model.safetensors"), bytes).unwrap();
    copy.refused(&["NaN", "diverged"]);
}

/// Truncations and changes of single bytes: an error in one line or a network that runs.
#[test]
fn damaged_files() {
    let mut random = 5u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let (mut errors, mut networks) = (0, 0);
    for (name, _) in GOLDEN {
        let copy = Copy::of(name);
        for file in ["config.json", "model.safetensors"] {
            let whole = std::fs::read(copy.file(file)).unwrap();
            // The head of the tensors' file is what can be wrong in it.
            let head = whole.len().min(3000);
            for k in 0..150 {
                let mut bytes = whole.clone();
                match k % 5 {
                    0 => bytes.truncate(next(whole.len())),
                    1 => bytes[next(head)] = b"0123456789[]{}\",: "[next(18)],
                    _ => bytes[next(head)] = next(256) as u8,
                }
                std::fs::write(copy.file(file), &bytes).unwrap();
                match imported(copy.0.path()) {
                    Err(said) => {
                        assert_eq!(said.lines().count(), 1, "{said}");
                        errors += 1;
                    }
                    Ok(network) => {
                        Evaluator::new(&network).step(&[1.0]);
                        networks += 1;
                    }
                }
            }
            std::fs::write(copy.file(file), &whole).unwrap();
        }
    }
    println!("{errors} errors, {networks} networks");
    assert!(errors > 500 && networks > 100);
}
