//! Keras models in every layout that is imported, against Keras's own outputs; what is refused; and damaged files.
//!
//! The networks are those of tests/models/keras: see the README there.

use cellstate_convert::data::{self, npy::Array};
use cellstate_convert::import::{self, Options};
use cellstate_reference::{Evaluator, Layer, Network};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/keras")
}

/// The networks, each of which both versions of Keras have built.
const NETWORKS: [&str; 20] = [
    "attend",
    "block",
    "branches",
    "cells",
    "column",
    "flat",
    "look",
    "masked",
    "nested",
    "norms",
    "pair",
    "pooled",
    "rates",
    "stateful",
    "stream",
    "translate",
    "unknown",
    "whole",
    "words",
    "wrapped",
];

/// Every model file with the name of its outputs, its configuration if that is a file of its own, and its window.
fn fixtures() -> Vec<(String, String, Option<PathBuf>, Option<usize>)> {
    let mut out = Vec::new();
    for version in [3, 2] {
        for name in NETWORKS {
            let window = (name == "unknown").then_some(12);
            out.push((format!("{name}{version}.keras"), format!("{name}{version}"), None, window));
        }
    }
    for name in ["operator3", "grouped3", "nested2_12", "column2_4"] {
        out.push((format!("{name}.keras"), name.to_owned(), None, None));
    }
    for name in ["norms3", "nested3", "branches2", "nested2", "cudnn2", "look3", "grouped3", "look2", "attend2"] {
        out.push((format!("{name}.h5"), name.to_owned(), None, None));
    }
    for (file, name) in [("whole3.weights.h5", "whole3"), ("whole2.weights.h5", "whole2"), ("wrapped2.h5", "wrapped2")]
    {
        out.push((file.to_owned(), name.to_owned(), Some(folder().join(format!("{name}.json"))), None));
    }
    out
}

/// The largest difference between the framework's values of an output and the network's.
///
/// Of three dimensions they are of every step that has an output, of two of the last one.
fn worst(network: &Network, inputs: &[Array], y: &Array, head: usize) -> f64 {
    let node = network.heads[head].node;
    let width = *y.shape.last().unwrap();
    let mut worst = 0.0f64;
    let mut eval = Evaluator::new(network);
    let sequences = inputs[0].shape[0];
    for (k, golden) in y.data.chunks_exact(y.data.len() / sequences).enumerate() {
        eval.reset();
        let mut rows: Vec<Vec<f64>> = Vec::new();
        // Of several streams each is there before the next begins.
        for (stream, x) in inputs.iter().enumerate() {
            let length = x.data.len() / sequences;
            for sample in x.data[k * length..][..length].chunks_exact(x.shape[2]) {
                eval.step_stream(stream, sample);
                rows.extend(eval.traces(node).iter().map(|t| t.output.clone()).filter(|row| !row.is_empty()));
            }
        }
        if y.shape.len() == 2 {
            rows.drain(..rows.len() - 1);
        }
        assert_eq!(rows.len() * width, golden.len(), "rows of output {head}");
        assert_eq!(rows[0].len(), width, "width of output {head}");
        worst = rows.iter().flatten().zip(golden).fold(worst, |w, (a, b)| w.max((a - b).abs()));
    }
    worst
}

#[test]
fn every_layout_equals_keras() {
    for (file, name, config, window) in fixtures() {
        let memory = name.starts_with("translate").then_some(12);
        let options = Options { config: config.as_deref(), window, memory, ..Options::default() };
        let network = import::load(&folder().join(&file), options).unwrap_or_else(|e| panic!("{e}"));
        let golden = folder().join(format!("{name}.npz"));
        let read = |name: &str| data::read_array(&golden, name);
        let x = match network.streams.len() {
            0 => vec![read("x").unwrap()],
            several => (0..several).map(|k| read(&format!("x{k}")).unwrap()).collect(),
        };
        let mut all = 0.0f64;
        for head in 0..network.heads.len() {
            let y = data::read_array(&golden, &format!("y{head}")).unwrap();
            let error = worst(&network, &x, &y, head);
            assert!(error <= 1e-5, "{file}, output {head}: {error:e}");
            all = all.max(error);
        }
        assert!(data::read_array(&golden, &format!("y{}", network.heads.len())).is_err(), "{file} lacks an output");
        println!("{file}: {} nodes, window {:?}, largest error {all:.1e}", network.nodes.len(), network.window);
    }
}

/// The files in a zip.
fn unpacked(file: &str) -> Vec<(String, Vec<u8>)> {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(folder().join(file)).unwrap()).unwrap();
    let read = |k: usize| {
        let mut entry = zip.by_index(k).unwrap();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (entry.name().unwrap().into_owned(), bytes)
    };
    (0..3).map(read).collect()
}

fn packed(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in files {
        zip.start_file(name.as_str(), stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn imported(name: &str, bytes: &[u8], options: Options) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    import::load(&path, options).map_err(|e| e.to_string())
}

/// A fixture whose configuration says something else.
fn changed(file: &str, from: &str, to: &str) -> Result<Network, String> {
    let mut files = unpacked(file);
    let (_, config) = files.iter_mut().find(|(name, _)| name == "config.json").unwrap();
    let text = String::from_utf8(config.clone()).unwrap();
    assert!(text.contains(from), "{file} does not say {from}");
    *config = text.replace(from, to).into_bytes();
    imported("m.keras", &packed(&files), Options::default())
}

/// The error is one line that names each of `words`.
fn refused(result: Result<Network, String>, words: &[&str]) {
    let said = result.err().unwrap_or_else(|| panic!("imported in spite of {words:?}"));
    assert_eq!(said.lines().count(), 1, "{said}");
    println!("{}", said.split_once(": ").unwrap().1);
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    let class = |file: &str, from: &str, to: &str| {
        changed(file, &format!("\"class_name\": \"{from}\""), &format!("\"class_name\": \"{to}\""))
    };
    // Directions, merges and shapes.
    refused(
        changed("branches3.keras", "\"merge_mode\": \"sum\"", "\"merge_mode\": \"mul\""),
        &["\"sum\"", "mul", "ave"],
    );
    refused(
        changed("stream3.keras", "\"padding\": \"valid\"", "\"padding\": \"same\""),
        &["\"strided\"", "padding=\"causal\""],
    );
    refused(changed("stream3.keras", "\"groups\": 1", "\"groups\": 2"), &["\"dilated\"", "groups=1"]);
    refused(changed("stream3.keras", "channels_last", "channels_first"), &["\"dilated\"", "channels_last"]);
    refused(
        changed("norms3.keras", "\"target_shape\": [-1, 3]", "\"target_shape\": [3, -1]"),
        &["\"same\"", "[3, -1]", "leave it out"],
    );
    refused(changed("branches3.keras", "\"axis\": -1", "\"axis\": 1"), &["\"join\"", "axis is 1", "axis=-1"]);
    refused(class("column3.keras", "Reshape", "Permute"), &["\"column\"", "Permute", "(steps, features)"]);
    refused(class("branches3.keras", "Subtract", "Maximum"), &["\"minus\"", "Maximum", "Concatenate"]);
    refused(class("norms3.keras", "ReLU", "LeakyReLU"), &["\"relu\"", "LeakyReLU", "use ReLU"]);
    refused(class("norms3.keras", "Rescaling", "Lambda"), &["\"rescaling\"", "Lambda", "code"]);
    refused(class("norms3.keras", "Rescaling", "Discretization"), &["Discretization", "use LSTM, GRU"]);
    refused(changed("norms3.keras", "\"max_value\": null", "\"max_value\": 6.0"), &["\"relu\"", "ReLU()"]);
    refused(changed("norms3.keras", "\"axis\": [-1]", "\"axis\": [1]"), &["axis is [1]", "axis=-1"]);
    refused(changed("norms3.keras", "\"invert\": false", "\"invert\": true"), &["\"learned\"", "inverts"]);
    refused(changed("norms3.keras", "\"rms_scaling\": false", "\"rms_scaling\": true"), &["\"layer\"", "rms_scaling"]);
    // Functions.
    let gates = |to: &str| {
        changed("cells3.keras", "\"recurrent_activation\": \"sigmoid\"", &format!("\"recurrent_activation\": {to}"))
    };
    refused(gates("\"relu\""), &["\"after\"", "recurrent_activation", "hard_sigmoid"]);
    let own = r#"{"module": null, "class_name": "function", "config": "swoosh", "registered_name": "swoosh"}"#;
    refused(
        changed("cells3.keras", "\"activation\": \"hard_sigmoid\"", &format!("\"activation\": {own}")),
        &["\"out\"", "swoosh", "softmax"],
    );
    refused(
        changed("cells3.keras", "\"activation\": \"tanh\"", "\"activation\": \"relu\""),
        &["\"hard\"", "only tanh"],
    );
}

/// As Keras 3 and 2 write them.
#[test]
fn models_that_are_refused_as_keras_writes_them() {
    for version in [3, 2] {
        let load = |name: &str| {
            let path = folder().join(format!("refused_{name}{version}.keras"));
            import::load(&path, Options::default()).map_err(|e| e.to_string())
        };
        refused(load("subclass"), &["layer \"own\"", "class LSTM is not Keras's own", "keras.layers"]);
        refused(load("registered"), &["layer \"both\"", "My>GRU", "keras.layers"]);
        refused(load("states"), &["layer \"second\"", "state"]);
        refused(
            load("constant"),
            if version == 3 { &["\"add\"", "constant"] } else { &["TFOpLambda", "keras.layers"] },
        );
        refused(load("own_mask"), &["\"m\"", "(None, None)"]);
        refused(load("mask"), if version == 3 { &["\"look\"", "mask"] } else { &["\"look\"", "masked"] });
    }
}

#[test]
fn options_that_do_not_fit() {
    let load = |file: &str, config: Option<&str>, window: Option<usize>| {
        let config = config.map(|c| folder().join(c));
        import::load(&folder().join(file), Options { config: config.as_deref(), window, ..Options::default() })
            .map_err(|e| e.to_string())
    };
    refused(load("whole3.weights.h5", None, None), &["no configuration", "--config model.json"]);
    refused(load("nested3.h5", Some("whole3.json"), None), &["leave out --config"]);
    refused(load("whole3.keras", Some("whole3.json"), None), &["leave out --config"]);
    refused(load("whole3.weights.h5", Some("wrapped2.json"), None), &["layer \"stack\"", "layers/rnn"]);
    refused(load("wrapped2.h5", Some("whole3.json"), None), &["layer \"conv\"", "no kernel", "this model"]);
    refused(load("unknown3.keras", None, None), &["layer \"both_backward\"", "--window"]);
    refused(load("whole3.keras", None, Some(7)), &["12 steps", "--window says 7"]);
    refused(load("nowhere.h5", None, None), &["nowhere.h5", "check the path"]);
    let memory = Options { memory: Some(8), ..Options::default() };
    let said = import::load(&folder().join("cells3.keras"), memory).map_err(|e| e.to_string());
    refused(said, &["no attention", "leave out --memory"]);
    // A window may be asked for.
    assert_eq!(load("cells3.keras", None, Some(20)).unwrap().window, Some(20));
}

/// Configurations as older versions wrote them, and as people do.
#[test]
fn other_ways_to_write_a_configuration() {
    let load = |file: &str, config: &serde_json::Value| {
        let folder_of_config = tempfile::tempdir().unwrap();
        let path = folder_of_config.path().join("model.json");
        std::fs::write(&path, config.to_string()).unwrap();
        import::load(&folder().join(file), Options { config: Some(&path), ..Options::default() }).unwrap()
    };
    let read = |file: &str| -> serde_json::Value {
        let value = serde_json::from_slice(&std::fs::read(folder().join(file)).unwrap()).unwrap();
        if let serde_json::Value::String(text) = value { serde_json::from_str(&text).unwrap() } else { value }
    };
    let mut chain = read("whole2.json");
    let expected = load("whole2.weights.h5", &chain);
    let layers = chain["config"]["layers"].take();
    chain["config"] = layers;
    let listed = load("whole2.weights.h5", &chain);
    assert_eq!((listed.nodes, listed.window), (expected.nodes.clone(), expected.window));
    // Without an InputLayer the first layer has the shape.
    let input = chain["config"].as_array_mut().unwrap().remove(0);
    chain["config"][0]["config"]["batch_input_shape"] = input["config"]["batch_input_shape"].clone();
    assert_eq!(load("whole2.weights.h5", &chain).nodes, expected.nodes);
    let mut graph = read("wrapped2.json");
    let expected = load("wrapped2.h5", &graph);
    graph["class_name"] = "Model".into();
    assert_eq!(load("wrapped2.h5", &graph), expected);
    // Twice encoded or once.
    assert_eq!(load("wrapped2.h5", &serde_json::Value::String(graph.to_string())), expected);
}

/// Weights that a configuration does not tell of.
#[test]
fn weights_that_are_left_over() {
    for (file, config, layer) in
        [("whole2.weights.h5", "whole2.json", "conv"), ("wrapped2.h5", "wrapped2.json", "stack")]
    {
        let text = std::fs::read_to_string(folder().join(config)).unwrap();
        let text = text.replace("\"use_bias\": true", "\"use_bias\": false");
        let text = text.replace("\\\"use_bias\\\": true", "\\\"use_bias\\\": false");
        let folder_of_config = tempfile::tempdir().unwrap();
        let path = folder_of_config.path().join("model.json");
        std::fs::write(&path, text).unwrap();
        let result = import::load(&folder().join(file), Options { config: Some(&path), ..Options::default() });
        refused(result.map_err(|e| e.to_string()), &[layer, "bias", "configuration of this model"]);
    }
}

/// Long lists of weights are split over several attributes.
#[test]
fn lists_of_weights_in_parts() {
    let mut h5 = hdf5_pure::FileBuilder::new();
    h5.set_attr("layer_names0", hdf5_pure::AttrValue::StringArray(vec!["d".into()]));
    let mut group = h5.create_group("d");
    for (k, name) in ["a/kernel:0", "a/bias:0"].into_iter().enumerate() {
        group.set_attr(&format!("weight_names{k}"), hdf5_pure::AttrValue::StringArray(vec![name.into()]));
    }
    let mut inner = group.create_group("a");
    inner.create_dataset("kernel:0").with_f32_data(&[1.0, 2.0, 3.0]).with_shape(&[3, 1]);
    inner.create_dataset("bias:0").with_f32_data(&[0.5]).with_shape(&[1]);
    group.add_group(inner.finish());
    h5.add_group(group.finish());
    let folder = tempfile::tempdir().unwrap();
    let (path, config) = (folder.path().join("m.h5"), folder.path().join("m.json"));
    std::fs::write(&path, h5.finish().unwrap()).unwrap();
    let dense = r#"{"class_name":"Dense","config":{"name":"d","units":1,"batch_input_shape":[null,3]}}"#;
    std::fs::write(&config, format!(r#"{{"class_name":"Sequential","config":[{dense}]}}"#)).unwrap();
    let network = import::load(&path, Options { config: Some(&config), ..Options::default() }).unwrap();
    assert_eq!(Evaluator::new(&network).step(&[1.0, 10.0, 100.0]).0, [321.5]);
}

/// A generator of test cases.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

/// An error or a network, soon.
fn survives(name: &str, bytes: &[u8], config: Option<&Path>, slowest: &mut Duration) {
    let begun = Instant::now();
    let options = Options { config, window: Some(12), ..Options::default() };
    if let Err(said) = imported(name, bytes, options) {
        assert!(said.contains("; "), "{said}");
    }
    *slowest = begun.elapsed().max(*slowest);
}

#[test]
fn damaged_files_are_errors() {
    let mut random = Random(11);
    let mut slowest = Duration::ZERO;
    for (file, _, config, _) in fixtures() {
        let config = config.as_deref();
        let whole = std::fs::read(folder().join(&file)).unwrap();
        for _ in 0..10 {
            survives(&file, &whole[..random.below(whole.len())], config, &mut slowest);
        }
        for _ in 0..40 {
            let mut bytes = whole.clone();
            let at = random.below(bytes.len());
            bytes[at] = random.below(256) as u8;
            survives(&file, &bytes, config, &mut slowest);
        }
        if !whole.starts_with(b"PK") {
            continue;
        }
        // What the zip's checksums would catch.
        let files = unpacked(&file);
        for k in 0..40 {
            let mut files = files.clone();
            let member = if k % 3 == 0 { "config.json" } else { "model.weights.h5" };
            let (_, bytes) = files.iter_mut().find(|(name, _)| name == member).unwrap();
            let at = random.below(bytes.len());
            if k % 10 == 0 {
                bytes.truncate(at);
            } else {
                bytes[at] = if k % 3 == 0 { b"0123456789[]{}\",: "[random.below(18)] } else { random.below(256) as u8 };
            }
            survives(&file, &packed(&files), config, &mut slowest);
        }
    }
    println!("the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(10), "{slowest:?}");
}

/// The column network with another configuration.
fn configured(class: &str, config: &str) -> Result<Network, String> {
    let config = format!(r#"{{"class_name":"{class}","config":{{"name":"m",{config}}}}}"#);
    let mut files = unpacked("column3.keras");
    files.iter_mut().filter(|(n, _)| n == "config.json").for_each(|(_, b)| *b = config.clone().into_bytes());
    imported("m.keras", &packed(&files), Options::default())
}

fn input(shape: &str) -> String {
    format!(r#"{{"class_name":"InputLayer","config":{{"name":"in","batch_shape":{shape}}}}}"#)
}

const ACT: &str = r#"{"class_name":"Activation","config":{"name":"act","activation":"relu"}}"#;

/// Configurations that ask for much, or for nothing.
#[test]
fn hostile_chains() {
    let model = |layers: &str| configured("Sequential", &format!(r#""layers":[{layers}]"#));
    let wide = input("[null,null,65535]");
    refused(model(&format!("{wide},{ACT}")), &["\"act\"", "too wide"]);
    for shape in ["[null,null,4294967296]", "[null,null,0]", "[null,null]", "[null,null,null]"] {
        refused(model(&format!("{},{ACT}", input(shape))), &["no number of features"]);
    }
    refused(model(&input("[null,5,5,5]")), &["4 dimensions"]);
    let flat = |class: &str| format!(r#"{{"class_name":"{class}","config":{{"name":"f"}}}}"#);
    for class in ["Flatten", "GlobalAveragePooling1D"] {
        refused(model(&format!("{},{}", input("[null,9999999999999,4]"), flat(class))), &["\"f\"", "shorter window"]);
        refused(model(&format!("{},{}", input("[null,0,4]"), flat(class))), &["\"f\"", "no step"]);
        refused(model(&format!("{},{}", input("[null,null,4]"), flat(class))), &["\"f\"", "--window"]);
    }
    let many = vec![r#"{"class_name":"Dropout","config":{"name":"d"}}"#; 2000].join(",");
    refused(model(&format!("{},{many}", input("[null,null,3]"))), &["too many layers"]);
    let mut deep = ACT.to_owned();
    for _ in 0..20 {
        deep = format!(r#"{{"class_name":"Sequential","config":{{"name":"s","layers":[{deep}]}}}}"#);
    }
    refused(model(&format!("{},{deep}", input("[null,null,3]"))), &["models within models"]);
    refused(model(&"[".repeat(100_000)), &["config.json"]);
    refused(model(""), &["0 layers"]);
}

/// What of attention cannot be, or is not known.
#[test]
fn attention_that_is_refused() {
    let heads = |from: &str, to: &str, words: &[&str]| {
        refused(changed("block3.keras", from, to), &[&["layer \""], words].concat());
    };
    let causal = "\"use_causal_mask\": true";
    heads("\"attention_axes\": [1]", "\"attention_axes\": [2]", &["\"one\"", "attention_axes"]);
    heads("\"use_gate\": false", "\"use_gate\": true", &["\"one\"", "use_gate"]);
    heads("\"output_shape\": null", "\"output_shape\": [2, 3]", &["\"one\"", "output_shape"]);
    heads("\"output_shape\": null", "\"output_shape\": 0", &["\"one\"", "output_shape"]);
    heads("\"score_mode\": \"dot\"", "\"score_mode\": \"cosine\"", &["\"plain\"", "cosine", "concat"]);
    for (key, value) in [("num_heads", "2"), ("key_dim", "3"), ("value_dim", "3")] {
        for wrong in ["0", "-1", "1000000000", "18446744073709551615", "1.5", "\"2\"", "[2]"] {
            heads(&format!("\"{key}\": {value}"), &format!("\"{key}\": {wrong}"), &[key]);
        }
        heads(&format!("\"{key}\": {value}"), &format!("\"{key}\": 65535"), &["\"one\""]);
        heads(&format!("\"{key}\": {value}"), &format!("\"{key}\": 1"), &["\"one\"", "shape"]);
    }
    for wrong in ["0", "1000000000", "\"3\""] {
        let said = changed("grouped3.keras", "\"sliding_window\": 3", &format!("\"sliding_window\": {wrong}"));
        refused(said, &["\"sliding\"", "sliding_window"]);
    }
    refused(changed("grouped3.keras", causal, "\"use_causal_mask\": false"), &["\"sliding\"", "looks ahead"]);
    refused(
        changed("grouped3.keras", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3"),
        &["\"heads\"", "divide"],
    );
    let mask = format!("{causal}, \"attention_mask\": {{\"config\": {{\"keras_history\": [\"x\", 0, 0]}}}}");
    heads(causal, &mask, &["\"one\"", "attention_mask"]);
    // How many memories there are must be told; nothing but a window sees later steps.
    let unknown = changed("block3.keras", "[null, 12, 3]", "[null, null, 3]");
    refused(unknown, &["\"one\"", "its Input a length", "--memory"]);
    let unknown = changed("look3.keras", "[null, 12, 3]", "[null, null, 3]");
    refused(unknown, &["\"heads\"", "its Input a length", "--window"]);
    let whole = changed("block3.keras", causal, "\"use_causal_mask\": false").unwrap();
    assert_eq!(whole.window, Some(12));
    let translate = |memory, window| {
        let options = Options { memory, window, ..Options::default() };
        import::load(&folder().join("translate3.keras"), options).map_err(|e| e.to_string())
    };
    refused(translate(None, None), &["\"dot\"", "--memory"]);
    refused(translate(Some(0), None), &["--memory, or memory in model.toml, from 1 to 65535"]);
    refused(translate(Some(1_000_000_000), None), &["--memory, or memory in model.toml, from 1 to 65535"]);
    refused(translate(None, Some(12)), &["several inputs", "window"]);
    let network = translate(Some(9), None).unwrap();
    assert_eq!((network.streams.clone(), network.inputs()), (vec![1, 2], 3));
    let slots = |n: &cellstate_reference::Node| if let Layer::Attention(a) = &n.layer { Some(a.slots) } else { None };
    assert_eq!(network.nodes.iter().filter_map(slots).collect::<Vec<_>>(), [9, 9, 9]);
    // A causal mask between steps of different times.
    let crossed = changed("translate3.keras", "\"kwargs\": {}", &format!("\"kwargs\": {{{causal}}}"));
    refused(crossed, &["\"dot\"", "use_causal_mask"]);
    let one = changed("attend3.keras", "\"kwargs\": {}", &format!("\"kwargs\": {{{causal}}}"));
    refused(one, &["\"dot\"", "use_causal_mask"]);
}

#[test]
fn hostile_graphs() {
    let node = |class: &str, name: &str, from: &[&str]| {
        let from: Vec<String> = from.iter().map(|f| format!(r#"["{f}",0,0,{{}}]"#)).collect();
        let config = r#"{"axis":-1,"activation":"tanh"}"#;
        let from = from.join(",");
        format!(r#"{{"class_name":"{class}","name":"{name}","config":{config},"inbound_nodes":[[{from}]]}}"#)
    };
    let model = |shape: &str, layers: &[String], output: &str| {
        let layers = [&[input(shape)], layers].concat().join(",");
        let ends = format!(r#""input_layers":[["in",0,0]],"output_layers":[["{output}",0,0]]"#);
        configured("Functional", &format!(r#""layers":[{layers}],{ends}"#))
    };
    let narrow = "[null,null,3]";
    let circle = [node("Add", "a", &["in", "b"]), node("Activation", "b", &["a"])];
    refused(model(narrow, &circle, "b"), &["\"a\"", "its input b", "before it"]);
    refused(model(narrow, &[node("Activation", "a", &["a"])], "a"), &["\"a\"", "its input a"]);
    refused(model(narrow, &[node("Add", "a", &[])], "a"), &["\"a\"", "no inputs"]);
    refused(model(narrow, &[node("Activation", "a", &[])], "a"), &["\"a\"", "no input"]);
    refused(model(narrow, &[node("Activation", "a", &["in"])], "b"), &["output"]);
    // Each twice as wide as the one before, each a sum of itself, many inputs, many layers.
    let doubled = |class: &str| {
        let name = |k: usize| if k == 0 { "in".to_owned() } else { format!("n{k}") };
        (1..60).map(|k| node(class, &name(k), &[&name(k - 1), &name(k - 1)])).collect::<Vec<_>>()
    };
    refused(model(narrow, &doubled("Concatenate"), "n59"), &["too many values"]);
    refused(model(narrow, &doubled("Add"), "n59"), &["59 layers"]);
    refused(model("[null,null,65535]", &[node("Add", "a", &["in", "in"])], "a"), &["too many values"]);
    refused(model("[null,null,1]", &[node("Concatenate", "a", &vec!["in"; 70_000])], "a"), &["too many values"]);
    let sums: Vec<String> = (0..900).map(|k| node("Add", &format!("s{k}"), &["in", "in"])).collect();
    let names: Vec<String> = (0..900).map(|k| format!("s{k}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let all = [sums, vec![node("Average", "a", &names)]].concat();
    refused(model("[null,null,30000]", &all, "a"), &["too wide"]);
    let chain: Vec<String> =
        (1..50_000).rev().map(|k| node("Activation", &format!("n{k}"), &[&format!("n{}", k - 1)])).collect();
    refused(model(narrow, &[chain, vec![node("Activation", "n0", &["in"])]].concat(), "n49999"), &["too many layers"]);
    refused(model(narrow, &[node("Attention", "a", &["in"])], "a"), &["\"a\"", "1 inputs", "query and a value"]);
    refused(model(narrow, &[node("Attention", "a", &["in"; 4])], "a"), &["\"a\"", "4 inputs"]);
    refused(model("[null,0,3]", &[node("Attention", "a", &["in", "in"])], "a"), &["\"a\"", "0 memories"]);
    refused(model("[null,70000,3]", &[node("Attention", "a", &["in", "in"])], "a"), &["\"a\"", "70000 memories"]);
    refused(model("[null,4]", &[node("Attention", "a", &["in", "in"])], "a"), &["\"a\"", "single step"]);
    let looks: Vec<String> = (1..3000)
        .map(|k| {
            node(
                "Attention",
                &format!("n{k}"),
                &[if k == 1 { "in".to_owned() } else { format!("n{}", k - 1) }.as_str(); 2],
            )
        })
        .collect();
    refused(model("[null,4,3]", &looks, "n2999"), &["too many layers"]);
    // And what is not hostile: a sum of the input with itself.
    let network = model(narrow, &[node("Add", "a", &["in", "in"])], "a").unwrap();
    assert_eq!(Evaluator::new(&network).step(&[1.0, 2.0, 3.0]).0, [2.0, 4.0, 6.0]);
}

#[test]
fn a_layer_that_is_called_for_training_is_refused() {
    let said = changed("masked3.keras", "\"training\": false", "\"training\": true");
    refused(said, &["training=True", "random"]);
}
