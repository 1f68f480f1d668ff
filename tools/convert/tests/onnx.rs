//! ONNX models against ONNX Runtime, what is refused and with which words, and damaged files.

use cellstate_convert::data;
use cellstate_convert::import;
use cellstate_reference::{Evaluator, Network};
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/onnx")
}

/// Every model of the folder: `tools/train/onnx_models.py` and `onnx_keras.py` make them.
fn fixtures() -> Vec<PathBuf> {
    let all = std::fs::read_dir(folder()).unwrap().map(|e| e.unwrap().path());
    let mut models: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == "onnx")).collect();
    models.sort();
    models
}

/// The rows that each head yields over a sequence.
fn rows(network: &Network, sequence: &[f64]) -> Vec<Vec<Vec<f64>>> {
    let mut eval = Evaluator::new(network);
    let mut rows = vec![Vec::new(); network.heads.len()];
    for sample in sequence.chunks_exact(network.inputs()) {
        eval.step(sample);
        for (rows, head) in rows.iter_mut().zip(&network.heads) {
            rows.extend(eval.traces(head.node).iter().map(|t| t.output.clone()));
        }
    }
    rows
}

/// The largest difference between a network and what ONNX Runtime computed.
fn worst(network: &Network, golden: &Path) -> f64 {
    let x = data::read_array(golden, "x").unwrap();
    let [sequences, steps, features] = x.shape[..] else { panic!("{:?}", x.shape) };
    assert_eq!(features, network.inputs(), "{}", golden.display());
    let mut worst = 0.0f64;
    for (k, sequence) in x.data.chunks_exact(steps * features).enumerate() {
        for (head, mut got) in rows(network, sequence).into_iter().enumerate() {
            let y = data::read_array(golden, &format!("y{head}")).unwrap();
            let [count, due, width] = y.shape[..] else { panic!("{:?}", y.shape) };
            assert_eq!(count, sequences);
            // A streaming network answers at each step what would be the last of the sequence.
            if due == 1 {
                got.drain(..got.len() - 1);
            }
            assert_eq!(got.len(), due, "{}: rows", golden.display());
            for (row, expected) in got.iter().zip(y.data[k * due * width..].chunks_exact(width)) {
                assert_eq!(row.len(), width, "{}: values", golden.display());
                worst = row.iter().zip(expected).fold(worst, |w, (a, b)| w.max((a - b).abs()));
            }
        }
    }
    let more = data::read_array(golden, &format!("y{}", network.heads.len()));
    assert!(more.is_err(), "{}: an output is missing", golden.display());
    worst
}

#[test]
fn every_model_equals_onnx_runtime() {
    let fixtures = fixtures();
    let count = fixtures.len();
    let mut failed = Vec::new();
    for model in fixtures {
        let name = model.file_stem().unwrap().to_string_lossy().into_owned();
        match import::load(&model, import::Options::default()) {
            Ok(network) => {
                let error = worst(&network, &model.with_extension("npz"));
                let layers: Vec<String> = network.nodes.iter().map(|n| format!("{:?}", n.layer)).collect();
                let kinds: Vec<&str> = layers.iter().map(|l| l.split([' ', '(']).next().unwrap()).collect();
                println!("{name}: {error:.1e} {kinds:?} window {:?}", network.window);
                if error.is_nan() || error > 1e-5 {
                    failed.push(format!("{name}: {error}"));
                }
            }
            Err(e) => failed.push(e.to_string()),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    assert_eq!(count, 59, "run the scripts in tools/train");
}

// Models made here, as bytes: a protobuf field is its number and a varint, or a length and bytes.

fn varint(mut v: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while v > 0x7f {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
    out
}

fn bytes(field: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

fn int(field: u64, v: i64) -> Vec<u8> {
    [varint(field << 3), varint(v as u64)].concat()
}

fn float(field: u64, v: f32) -> Vec<u8> {
    [varint(field << 3 | 5), v.to_le_bytes().to_vec()].concat()
}

/// Attributes of a node, by their kind.
enum A {
    I(i64),
    F(f32),
    S(&'static str),
    Is(&'static [i64]),
    Ss(&'static [&'static str]),
}

fn node(kind: &str, inputs: &str, outputs: &str, attributes: &[(&str, A)]) -> Vec<u8> {
    let (domain, kind) = kind.rsplit_once('.').unwrap_or(("", kind));
    let mut out = Vec::new();
    inputs.split(' ').for_each(|i| out.extend(bytes(1, if i == "-" { b"" } else { i.as_bytes() })));
    outputs.split(' ').for_each(|o| out.extend(bytes(2, if o == "-" { b"" } else { o.as_bytes() })));
    out.extend(bytes(3, format!("the_{}", kind.to_lowercase()).as_bytes()));
    out.extend(bytes(4, kind.as_bytes()));
    out.extend(bytes(7, domain.as_bytes()));
    for (name, value) in attributes {
        let value = match value {
            A::I(v) => int(3, *v),
            A::F(v) => float(2, *v),
            A::S(v) => bytes(4, v.as_bytes()),
            A::Is(v) => v.iter().flat_map(|&v| int(8, v)).collect(),
            A::Ss(v) => v.iter().flat_map(|v| bytes(9, v.as_bytes())).collect(),
        };
        out.extend(bytes(5, &[bytes(1, name.as_bytes()), value].concat()));
    }
    out
}

fn tensor(name: &str, dims: &[i64], kind: i64, rest: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| int(1, d)).collect();
    [dims, int(2, kind), bytes(8, name.as_bytes()), rest.to_vec()].concat()
}

fn floats(name: &str, dims: &[i64]) -> Vec<u8> {
    let count = dims.iter().product::<i64>();
    let data: Vec<u8> = (0..count).flat_map(|k| ((k % 7) as f32 / 8.0 - 0.3).to_le_bytes()).collect();
    tensor(name, dims, 1, &bytes(9, &data))
}

fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let data: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    tensor(name, &[values.len() as i64], 7, &bytes(9, &data))
}

/// A length that is not known is 0.
fn value(name: &str, dims: &[i64]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|&d| bytes(1, &if d > 0 { int(1, d) } else { Vec::new() })).collect();
    [bytes(1, name.as_bytes()), bytes(2, &bytes(1, &[int(1, 1), bytes(2, &dims)].concat()))].concat()
}

/// A model of input `x` and output `y`, with weights of every shape that the nodes below ask for.
fn model(dims: &[i64], nodes: &[Vec<u8>], more: &[Vec<u8>]) -> Vec<u8> {
    let weights = [
        floats("W", &[1, 8, 3]),
        floats("R", &[1, 8, 2]),
        floats("W3", &[1, 6, 3]),
        floats("R3", &[1, 6, 2]),
        floats("W1", &[1, 2, 3]),
        floats("R1", &[1, 2, 2]),
        floats("V", &[3, 4]),
        floats("K", &[4, 3, 3]),
        floats("three", &[3]),
        floats("five", &[5]),
        floats("steps", &[4, 1, 1]),
        ints("zero", &[0]),
        ints("one", &[1]),
        ints("two", &[2]),
        ints("flat", &[1, -1]),
    ];
    let mut graph: Vec<u8> = nodes.iter().flat_map(|n| bytes(1, n)).collect();
    graph.extend(weights.iter().flat_map(|w| bytes(5, w)));
    graph.extend(more.concat());
    graph.extend(bytes(11, &value("x", dims)));
    graph.extend(bytes(12, &value("y", &[])));
    [int(1, 9), bytes(8, &int(2, 17)), bytes(7, &graph)].concat()
}

fn imported(bytes: &[u8]) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    std::fs::write(&path, bytes).unwrap();
    import::load(&path, import::Options::default()).map_err(|e| e.to_string())
}

/// The error is one line that names each of `words`.
fn refused(result: Result<Network, String>, words: &[&str]) {
    let said = result.expect_err(&format!("{words:?}"));
    println!("{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

/// One operator between `x` of (4 steps, 1, 3 features) and `y` is refused.
fn one(kind: &str, inputs: &str, attributes: &[(&str, A)], words: &[&str]) {
    let short = kind.rsplit('.').next().unwrap();
    let place = format!("layer \"the_{}\" ({short})", short.to_lowercase());
    let made = imported(&model(&[4, 1, 3], &[node(kind, inputs, "y", attributes)], &[]));
    refused(made, &[&["m.onnx", &place], words].concat());
}

#[test]
fn recurrent_layers_that_are_refused() {
    one("LSTM", "x W R", &[("clip", A::F(3.0))], &["clip", "without clip"]);
    one("LSTM", "x W R", &[("input_forget", A::I(1))], &["input_forget"]);
    one("LSTM", "x W R", &[("hidden_size", A::I(3))], &["8 rows for 4 gates"]);
    one("LSTM", "x W R3", &[], &["[1, 6, 2]", "[1, 8, 2]"]);
    one("LSTM", "x W3 R3", &[], &["weights have shape [1, 6, 3]", "[1, 4, 3]"]);
    one("LSTM", "x W R", &[("direction", A::S("bidirectional"))], &["[2, 8, 3]"]);
    one("LSTM", "x W R", &[("direction", A::S("sideways"))], &["sideways"]);
    one("LSTM", "x W R", &[("activations", A::Ss(&["Elu", "Tanh", "Tanh"]))], &["Elu", "default activations"]);
    one("LSTM", "x W R", &[("activations", A::Ss(&["Sigmoid", "Relu", "Tanh"]))], &["Relu", "Tanh for the rest"]);
    one("GRU", "x W3 R3", &[("activations", A::Ss(&["Sigmoid"]))], &["1 activations where 2"]);
    one("RNN", "x W1 R1", &[("activations", A::Ss(&["Softsign"]))], &["Softsign"]);
    one("LSTM", "x W R - two", &[], &["sequence_lens"]);
    one("LSTM", "x W R - - three", &[], &["initial state has shape [3]"]);
    one("LSTM", "x W R - - x", &[], &["initial state is computed from the input"]);
    one("LSTM", "x x R", &[], &["takes its weights from the input"]);
    one("LSTM", "x - R", &[], &["has no weights"]);
    one("LSTM", "x W R", &[("layout", A::I(1)), ("direction", A::S("reverse")), ("clip", A::F(1.0))], &["clip"]);
    let last = [node("GRU", "x W3 R3", "- h", &[]), node("RNN", "h W1 R1", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &last, &[])), &["the_rnn", "only one step is kept"]);
    let cell = [node("LSTM", "x W R", "- - y", &[])];
    refused(imported(&model(&[4, 1, 3], &cell, &[])), &["output \"y\"", "cell state of layer \"the_lstm\""]);
    let (lstm, states) = (
        node("LSTM", "x W R - - h c", "y", &[]),
        [bytes(11, &value("h", &[1, 1, 2])), bytes(11, &value("c", &[1, 1, 2]))],
    );
    assert!(imported(&model(&[4, 1, 3], std::slice::from_ref(&lstm), &states)).is_ok());
    let used = [lstm, node("Add", "x h", "z", &[]), node("Concat", "y z", "y2", &[])];
    assert!(imported(&model(&[4, 1, 3], &used, &states)).is_ok(), "what no output needs is not looked at");
    let two = [node("Add", "x u", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &two, &[bytes(11, &value("u", &[4, 1, 3]))])), &["further input", "u"]);
    let shared = [node("LSTM", "x W R - - h h", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &shared, &states[..1])), &["the_lstm", "same input", "two different tensors"]);
    // A window is needed, and its length unknown.
    let backward = [node("LSTM", "x W R", "y", &[("direction", A::S("reverse"))])];
    refused(imported(&model(&[0, 1, 3], &backward, &[])), &["the_lstm", "--window"]);
}

#[test]
fn operators_that_are_refused() {
    for kind in
        ["com.microsoft.DynamicQuantizeLSTM", "QLinearMatMul", "MatMulInteger", "DequantizeLinear", "ConvInteger"]
    {
        one(kind, "x", &[], &["not supported", "export the float model"]);
    }
    one("pytorch.Thing", "x", &[], &["operator pytorch.Thing", "operators of ONNX alone"]);
    one("Loop", "x", &[], &["LSTM, GRU or RNN operators", ".keras"]);
    one("LogSoftmax", "x", &[], &["Softmax, or without it"]);
    one("Gelu", "x", &[], &["train with Relu"]);
    one("MaxPool", "x", &[], &["convolution with a stride"]);
    one("Einsum", "x V", &[], &["not supported", "use LSTM"]);
    one("Mul", "x x", &[], &["multiplies or divides two values"]);
    one("Div", "three x", &[], &["divides by a value"]);
    one("MatMul", "V x", &[], &["weights stand on the left"]);
    one("MatMul", "x x", &[], &["attention"]);
    one("MatMul", "x W", &[], &["3 axes where 2 are due"]);
    one("Add", "x five", &[], &["5 values for 3 features"]);
    one("Mul", "x steps", &[], &["differs from step to step"]);
    one("HardSigmoid", "x", &[("beta", A::F(0.4))], &["beta 0.4"]);
    one("Softmax", "x", &[("axis", A::I(0))], &["features of a step"]);
    one("Softmax", "x", &[("axis", A::I(9))], &["axis 9 of a value of 3 axes"]);
    one("Slice", "x one two zero", &[], &["some steps"]);
    one("Slice", "x zero one zero", &[], &["first step"]);
    one("Gather", "x two", &[], &["neither the first nor the last"]);
    one("Transpose", "x", &[("perm", A::Is(&[0, 0, 1]))], &["order of axes"]);
    one("Dropout", "x - one", &[], &["training mode"]);
    one("Cast", "x missing", &[], &["\"missing\" is made by nothing"]);
    one("Expand", "x five", &[], &["no list of integers"]);
    one("Concat", "x x", &[("axis", A::I(0))], &["one after the other"]);
    one("BatchNormalization", "x three three three", &[], &["has no variance"]);
    one("LayerNormalization", "x three", &[("axis", A::I(0))], &["features of a step"]);
    one("ReduceMean", "x", &[("axes", A::Is(&[7]))], &["axis 7"]);
    one("Gemm", "x V five", &[], &["5 biases for 4 values"]);
    one("Gemm", "x V", &[("transA", A::I(1))], &["transposes its input"]);
    let conv = |attributes: &[(&str, A)], words: &[&str]| {
        let made = imported(&model(&[1, 3, 6], &[node("Conv", "x K", "y", attributes)], &[]));
        refused(made, &[&["layer \"the_conv\" (Conv)"], words].concat());
    };
    conv(&[("pads", A::Is(&[1, 1]))], &["future", "pad on the left"]);
    conv(&[("pads", A::Is(&[0, 2]))], &["future"]);
    conv(&[("auto_pad", A::S("SAME_UPPER"))], &["SAME_UPPER"]);
    conv(&[("group", A::I(2))], &["3 features in 2 groups"]);
    conv(&[("dilations", A::Is(&[4]))], &["longer than the sequence"]);
    conv(&[("strides", A::Is(&[0]))], &["is 0"]);
    // Steps that only zeros at the end make are not kept.
    refused(
        imported(&model(&[1, 3, 6], &[node("Conv", "x K", "y", &[("pads", A::Is(&[2, 2]))])], &[])),
        &["output \"y\"", "left"],
    );
    let flat = [node("LSTM", "x W R", "h", &[]), node("Reshape", "h flat", "y", &[])];
    refused(imported(&model(&[0, 1, 3], &flat, &[])), &["the_reshape", "fixed number of steps"]);
}

#[test]
fn graphs_that_are_refused() {
    let round = [node("Add", "x b", "a", &[]), node("Relu", "a", "b", &[]), node("Add", "a b", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &round, &[])), &["the_add", "computed from its own"]);
    let twice = [node("Relu", "x", "y", &[]), node("Tanh", "x", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &twice, &[])), &["the_tanh", "made twice"]);
    let relu = [node("Relu", "x", "y", &[])];
    refused(imported(&model(&[4, 1, 3, 2], &relu, &[])), &["input \"x\"", "4 axes"]);
    refused(imported(&model(&[4, 1, 0], &relu, &[])), &["input \"x\"", "fixed number of features"]);
    refused(imported(&model(&[4, 1, 3], &[node("Relu", "x", "z", &[])], &[])), &["output \"y\"", "nothing makes it"]);
    refused(imported(&model(&[4, 1, 3], &[node("Shape", "x", "y", &[])], &[])), &["output \"y\"", "not depend"]);
    refused(imported(&[]), &["m.onnx", "no operators"]);
    refused(imported(b"PK\x03\x04 not a model"), &["m.onnx", "not a whole ONNX file"]);
    // In another order of axes this would pass: with 40000 sequences of one step.
    let long = [node("Flatten", "x", "f", &[]), node("Relu", "f", "y", &[])];
    refused(imported(&model(&[1, 40000, 2], &long, &[])), &["the_flatten", "more than 65535 values"]);
    // A window of a single feature.
    let flat = [node("Flatten", "x", "f", &[]), node("MatMul", "f V", "y", &[])];
    assert_eq!(imported(&model(&[1, 3, 1], &flat, &[])).unwrap().nodes.len(), 2);
    // Nodes may stand in any order, and names may hold anything.
    let turned = [node("Tanh", "a\nb", "y", &[]), node("Relu", "x", "a\nb", &[])];
    assert_eq!(imported(&model(&[4, 1, 3], &turned, &[])).unwrap().nodes.len(), 2);
    let odd = [node("Tanh", "a\nb", "y", &[])];
    refused(imported(&model(&[4, 1, 3], &odd, &[])), &["the_tanh", "made by nothing"]);
}

/// One `Gemm` with a weight of its own.
fn weighted(weight: &[u8]) -> Vec<u8> {
    model(&[0, 0, 3], &[node("MatMul", "x w", "y", &[])], &[bytes(5, weight)])
}

#[test]
fn tensors_that_are_refused() {
    let weight = |dims: &[i64], kind, rest: &[u8]| imported(&weighted(&tensor("w", dims, kind, rest)));
    let data = bytes(9, &[0; 24]);
    assert!(weight(&[3, 2], 1, &data).is_ok());
    refused(weight(&[3, 3], 1, &data), &["tensor \"w\"", "[3, 3] holds 6 values"]);
    refused(weight(&[3, 2], 1, &bytes(9, &[0; 23])), &["tensor \"w\"", "holds 0 values"]);
    refused(weight(&[3, -2], 1, &data), &["tensor \"w\"", "-2"]);
    refused(weight(&[1 << 40, 1 << 40], 1, &data), &["tensor \"w\""]);
    refused(weight(&[3, 2], 8, &data), &["tensor \"w\"", "strings", "float model"]);
    refused(weight(&[3, 2], 21, &data), &["UINT4"]);
    refused(weight(&[3, 2], 99, &data), &["type 99"]);
    refused(weight(&[3, 2], 1, &bytes(9, &[255; 24])), &["the_matmul", "NaN"]);
}

#[test]
fn weights_beside_the_model_stay_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("models");
    std::fs::create_dir_all(home.join("sub")).unwrap();
    for file in [folder.path().join("outside"), home.join("w.bin"), home.join("sub/w.bin")] {
        std::fs::write(file, [0; 32]).unwrap();
    }
    let entry = |key: &str, value: &str| bytes(13, &[bytes(1, key.as_bytes()), bytes(2, value.as_bytes())].concat());
    let load = |location: &str, more: &[u8]| {
        let rest = [entry("location", location), more.to_vec(), int(14, 1)].concat();
        std::fs::write(home.join("m.onnx"), weighted(&tensor("w", &[3, 2], 1, &rest))).unwrap();
        import::load(&home.join("m.onnx"), import::Options::default()).map_err(|e| e.to_string())
    };
    assert!(load("w.bin", &[]).is_ok());
    assert!(load("sub/w.bin", &[entry("offset", "8"), entry("length", "24")].concat()).is_ok());
    for outside in ["../outside", "sub/../../outside", "/etc/passwd", "..", "", "sub", "c:\\w.bin"] {
        refused(load(outside, &[]), &["tensor \"w\"", "beside the model"]);
    }
    refused(load("nothing.bin", &[]), &["nothing.bin", "cannot be read"]);
    for (offset, length) in [("9", "24"), ("0", "23"), ("18446744073709551615", "24"), ("0", "18446744073709551615")] {
        refused(load("w.bin", &[entry("offset", offset), entry("length", length)].concat()), &["of 32 in \"w.bin\""]);
    }
    refused(load("w.bin", &entry("offset", "-1")), &["offset is \"-1\""]);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("../outside", home.join("link")).unwrap();
        refused(load("link", &[]), &["beside the model"]);
    }
}

#[test]
fn a_map_cannot_name_layers() {
    let folder = tempfile::tempdir().unwrap();
    let map = folder.path().join("model.toml");
    std::fs::write(&map, "[[layer]]\nname = \"fc\"\n").unwrap();
    let result = import::load(&fixtures()[0], import::Options { map: Some(&map), ..Default::default() })
        .map_err(|e| e.to_string());
    refused(result, &["model.toml", "layer \"fc\""]);
}

/// Cut short anywhere and changed anywhere: a network or an error, and soon.
#[test]
fn damaged_files() {
    let start = std::time::Instant::now();
    let mut seed = 1u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(self::folder().join("external.bin"), folder.path().join("external.bin")).unwrap();
    let path = folder.path().join("m.onnx");
    let (mut networks, mut errors) = (0, 0);
    let mut slowest = std::time::Duration::ZERO;
    let mut load = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let start = std::time::Instant::now();
        match import::load(&path, import::Options::default()) {
            Ok(_) => networks += 1,
            Err(e) => {
                let said = e.to_string();
                assert_eq!(said.lines().count(), 1, "{said:?}");
                errors += 1;
            }
        }
        slowest = slowest.max(start.elapsed());
    };
    for model in fixtures() {
        let whole = std::fs::read(&model).unwrap();
        for k in 0..30 {
            load(&whole[..whole.len() * k / 30]);
        }
        for _ in 0..70 {
            let mut bytes = whole.clone();
            bytes[random(whole.len())] = random(256) as u8;
            load(&bytes);
        }
    }
    let total = start.elapsed().as_secs_f64();
    println!("{networks} networks and {errors} errors in {total:.1} s, the slowest in {slowest:?}");
    assert!(slowest.as_secs() < 10);
}
