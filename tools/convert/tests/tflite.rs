//! TensorFlow Lite models against the interpreter's own outputs, what is refused, and files that are damaged.

use cellstate_convert::data;
use cellstate_convert::import::{Options, load};
use cellstate_reference::{Activation, Evaluator, Layer, Network, Node};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The interpreter computes in 32-bit floats.
const TOLERANCE: f64 = 1e-5;

const ALL: [&str; 16] = [
    "averaged",
    "backward",
    "bidirectional",
    "both_ways",
    "branches",
    "coupled",
    "dense",
    "embedding",
    "flat",
    "half",
    "last",
    "normalized",
    "open",
    "peephole",
    "rnn",
    "stacked",
];

fn models(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/tflite").join(file)
}

fn network(name: &str) -> Network {
    load(&models(&format!("{name}.tflite")), Options::default()).unwrap()
}

/// Every step's value of an output, as far as there is one, over all sequences.
fn outputs(network: &Network, head: usize, sequences: &data::Sequences) -> Vec<Vec<Vec<f64>>> {
    let mut eval = Evaluator::new(network);
    let node = network.heads[head].node;
    let over = |sequence: &data::Sequence| {
        eval.reset();
        let mut rows = Vec::new();
        for sample in sequence.steps() {
            eval.step(sample);
            rows.extend(eval.traces(node).iter().map(|t| t.output.clone()));
        }
        rows
    };
    sequences.sequences.iter().map(over).collect()
}

/// The largest difference from the interpreter's rows: of every step, or of each sequence's last.
fn worst(name: &str) -> f64 {
    let network = network(name);
    let x = data::load(&models(if name == "embedding" { "words.npy" } else { "x.npy" })).unwrap();
    let mut worst = 0.0f64;
    for head in 0..network.heads.len() {
        let golden = data::read_array(&models(&format!("{name}.npz")), &format!("y{head}")).unwrap();
        let rows = outputs(&network, head, &x);
        let all: Vec<&Vec<f64>> = if golden.shape[0] == rows.len() {
            rows.iter().map(|r| r.last().unwrap()).collect()
        } else {
            rows.iter().flatten().collect()
        };
        assert_eq!(golden.shape, [all.len(), all[0].len()], "{name}");
        let (least, most) = golden.data.iter().fold((f64::MAX, f64::MIN), |(a, b), &v| (a.min(v), b.max(v)));
        assert!(most - least > 0.05, "{name}: the outputs hardly move");
        let apart = all.into_iter().flatten().zip(&golden.data).map(|(a, b)| (a - b).abs());
        worst = apart.fold(worst, |w, d| if d.is_nan() { f64::NAN } else { w.max(d) });
    }
    println!("{name}: {} layers, largest difference {worst:.1e}", network.nodes.len());
    worst
}

#[test]
fn every_model_equals_the_interpreter() {
    let mut found: Vec<String> =
        std::fs::read_dir(models("")).unwrap().map(|e| e.unwrap().path()).fold(Vec::new(), |mut all, path| {
            if path.extension().is_some_and(|e| e == "tflite") {
                all.push(path.file_stem().unwrap().to_str().unwrap().to_owned());
            }
            all
        });
    found.sort();
    assert_eq!(found, ALL);
    for name in ALL {
        assert!(worst(name) <= TOLERANCE, "{name}");
    }
}

fn kinds(network: &Network) -> Vec<&'static str> {
    let kind = |n: &Node| match n.layer {
        Layer::Lstm(_) => "lstm",
        Layer::Rnn(_) => "rnn",
        Layer::Dense(_) => "dense",
        Layer::Affine { .. } => "affine",
        Layer::Window { .. } => "window",
        Layer::Embedding(_) => "embedding",
        _ => "other",
    };
    network.nodes.iter().map(kind).collect()
}

#[test]
fn layers_are_what_they_were_in_keras() {
    let stacked = network("stacked");
    assert_eq!(kinds(&stacked), ["lstm", "dense", "lstm", "dense", "dense"]);
    let names: Vec<&str> = stacked.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!((names[0], names[2]), ("lstm", "lstm_1"));
    let activations: Vec<Activation> = stacked
        .nodes
        .iter()
        .filter_map(|n| if let Layer::Dense(d) = &n.layer { Some(d.activation) } else { None })
        .collect();
    assert_eq!(activations, [Activation::Relu, Activation::Tanh, Activation::Sigmoid]);
    assert_eq!((stacked.window, stacked.inputs()), (None, 4));
    assert_eq!(stacked.nodes.iter().map(|n| n.last).collect::<Vec<_>>(), [false, false, true, false, false]);
    assert_eq!(kinds(&network("normalized")), ["affine", "lstm", "dense"]);
    assert_eq!(kinds(&network("embedding")), ["embedding", "lstm", "dense"]);
    assert_eq!(network("branches").heads.len(), 2);
    let flat = network("flat");
    assert_eq!((kinds(&flat), flat.window), (vec!["lstm", "dense", "window", "dense"], Some(12)));
    let both = network("bidirectional");
    assert_eq!(both.window, Some(12));
    assert_eq!(both.nodes.iter().filter(|n| n.backward).count(), 2);
}

fn refusal(path: &Path, words: &[&str]) {
    let Err(error) = load(path, Options::default()) else { panic!("{} was read", path.display()) };
    let said = error.to_string();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

#[test]
fn what_is_refused_says_what_to_do() {
    let file = |name: &str| models("refused").join(format!("{name}.tflite"));
    for name in ["loop", "gru"] {
        refusal(&file(name), &["loop (WHILE)", "give the .keras file itself", "batch_size=1", "from_keras_model(m)"]);
    }
    refusal(&file("quantized"), &["quantized", "without converter.optimizations"]);
    refusal(&file("unrolled"), &["unrolled", "unroll=False"]);
    refusal(&file("hybrid"), &["quantized", "without converter.optimizations"]);
    refusal(&file("batched"), &["4 sequences at a time", "batch of 1"]);
    refusal(&file("inputs"), &["does not have one input"]);
    refusal(&file("product"), &["layer \"", "multiplies or divides two layers", "concatenate or add"]);
    refusal(&file("part"), &["layer \"", "a part of the sequence", "all steps or the last"]);
    refusal(&file("features"), &["layer \"", "a part of a sample"]);
    refusal(&file("first"), &["layer \"", "first step", "last one"]);
    refusal(&file("rearranged"), &["layer \"", "rearranges steps and features"]);
    refusal(&file("relu6"), &["layer \"", "relu6", "softmax"]);
    refusal(&file("reversed"), &["from its last step to its first"]);
    refusal(&file("clipped"), &["layer \"lstm\"", "clips its cells at 3", "without cell_clip"]);
    refusal(&file("wide"), &["layer \"tanh\"", "more than 1 GiB", "smaller model"]);
    refusal(&file("gates"), &["layer \"lstm\"", "layer norm", "plain LSTM"]);
    refusal(&file("pooled"), &["layer \"", "REDUCE_MAX is not supported", ".keras"]);
}

fn altered(name: &str, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, PathBuf) {
    let mut bytes = std::fs::read(models(&format!("{name}.tflite"))).unwrap();
    change(&mut bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.tflite");
    std::fs::write(&path, bytes).unwrap();
    (folder, path)
}

#[test]
fn what_is_no_model() {
    let refused = |change: &dyn Fn(&mut Vec<u8>), words: &[&str]| {
        let (_folder, path) = altered("last", change);
        refusal(&path, words);
    };
    refused(&|b| b.clear(), &["m.tflite", "not a TensorFlow Lite model"]);
    refused(&|b| b[4] = b'X', &["not a TensorFlow Lite model"]);
    refused(&|b| b.truncate(b.len() / 2), &["damaged", "convert the model again"]);
    refused(&|b| b[..4].fill(0xff), &["damaged"]);
    let (_folder, path) = altered("last", |_| {});
    let map = path.with_file_name("model.toml");
    std::fs::write(&map, "[[layer]]\nname = \"lstm\"\n").unwrap();
    assert!(
        load(&path, Options { map: Some(&map), ..Options::default() })
            .unwrap_err()
            .to_string()
            .contains("remove every [[layer]]")
    );
    std::fs::write(&map, "labels = [\"a\", \"b\", \"c\", \"d\"]\n").unwrap();
    assert_eq!(load(&path, Options { map: Some(&map), ..Options::default() }).unwrap().labels(), ["a", "b", "c", "d"]);
}

/// The next of a fixed sequence of numbers (Knuth's 64-bit generator).
fn next(seed: &mut u64) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize
}

#[test]
fn damaged_files_are_errors_or_networks() {
    let folder = tempfile::tempdir().unwrap();
    let start = Instant::now();
    let (mut seed, mut read, mut tried, mut slowest) = (7, 0, 0, Duration::ZERO);
    let mut attempt = |bytes: &[u8]| {
        // A new file each time: writing over one waits for the disk on some file systems.
        let path = folder.path().join(format!("{tried}.tflite"));
        std::fs::write(&path, bytes).unwrap();
        let begun = Instant::now();
        read += usize::from(load(&path, Options::default()).is_ok());
        tried += 1;
        slowest = slowest.max(begun.elapsed());
        std::fs::remove_file(&path).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(2));
    };
    for name in ALL {
        let whole = std::fs::read(models(&format!("{name}.tflite"))).unwrap();
        for k in 0..60 {
            attempt(&whole[..k * whole.len() / 60]);
        }
        for _ in 0..1000 {
            let mut bytes = whole.clone();
            let at = next(&mut seed) % bytes.len();
            bytes[at] = next(&mut seed) as u8;
            attempt(&bytes);
        }
    }
    println!("{read} of {tried} damaged files were networks, in {:?}, the slowest in {slowest:?}", start.elapsed());
}
