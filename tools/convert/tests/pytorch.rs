//! PyTorch's files: every golden network against PyTorch's own outputs, every refusal, and damaged files.

use cellstate_convert::data;
use cellstate_convert::import::{Options, load};
use cellstate_reference::{Evaluator, Layer, Network};
use safetensors::{Dtype, tensor::TensorView};
use std::path::{Path, PathBuf};

/// Every network of `tests/models/pytorch`, which `tools/train/pytorch.py` made.
const GOLDEN: [&str; 44] = [
    "activations.pt",
    "attention_additive.safetensors",
    "attention_dot.pt",
    "begun.pt",
    "bfloat.pt",
    "bfloat_safe.safetensors",
    "bigru_hidden.pt",
    "bilstm_bare.pt",
    "bilstm_head_last.pt",
    "bilstm_hidden.pt",
    "bilstm_output.safetensors",
    "bilstm_then_lstm.pt",
    "birnn_relu.safetensors",
    "cells.pt",
    "conv_causal.safetensors",
    "conv_valid.pt",
    "double.pt",
    "embedding.pt",
    "embedding_alone.safetensors",
    "flatten.pt",
    "gru.safetensors",
    "gru_no_bias.pt",
    "half.pt",
    "heads.pt",
    "joined.pt",
    "legacy.pth",
    "lstm.pt",
    "lstm_no_bias.safetensors",
    "lstm_projected.pt",
    "lstm_stacked.pth",
    "mha.pt",
    "mha_apart.pt",
    "mha_window.safetensors",
    "norms.pt",
    "protocol4.pt",
    "read_twice.pt",
    "rnn_tanh.pt",
    "streams.pt",
    "strided.pt",
    "sum.pt",
    "transformer.safetensors",
    "whole.pt",
    "wrapped.ckpt",
    "wrapped_model.pt",
];

fn models() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models/pytorch")
}

fn map(model: &Path) -> Option<PathBuf> {
    Some(model.with_extension("toml")).filter(|m| m.exists())
}

fn golden(file: &str) -> Network {
    let model = models().join(file);
    load(&model, Options { map: map(&model).as_deref(), ..Options::default() }).unwrap_or_else(|e| panic!("{e}"))
}

/// The largest difference from PyTorch's rows, and how many values there are, for all outputs of a network.
fn compare(file: &str, network: &Network) -> (f64, usize) {
    let path = models().join(file).with_extension("npz");
    let x = data::load(&path).unwrap();
    let rows: Vec<_> = (0..network.heads.len()).map(|k| data::read_array(&path, &format!("y{k}")).unwrap()).collect();
    let mut rows: Vec<_> = rows.iter().map(|y| y.data.chunks_exact(y.shape[1])).collect();
    let mut eval = Evaluator::new(network);
    let (mut worst, mut count) = (0.0f64, 0);
    for sequence in &x.sequences {
        eval.reset();
        // Of several streams each is there before the next begins.
        let streams = 0..network.streams.len().max(1);
        for (stream, sample) in streams.flat_map(|s| sequence.steps().map(move |sample| (s, sample))) {
            let features = network.features(stream);
            let x = network.input.apply(features.clone(), &sample[features]);
            if !eval.step_stream(stream, &x).1 {
                continue;
            }
            for (k, rows) in rows.iter_mut().enumerate() {
                let row = rows.next().unwrap_or_else(|| panic!("{file}: PyTorch has fewer rows of output {k}"));
                let got = eval.output(k);
                assert_eq!(got.len(), row.len(), "{file}");
                worst = got.iter().zip(row).fold(worst, |w, (a, b)| w.max((a - b).abs()));
                count += row.len();
            }
        }
    }
    assert!(rows.iter_mut().all(|r| r.next().is_none()), "{file}: PyTorch has more rows");
    (worst, count)
}

#[test]
fn every_golden_network_equals_pytorch() {
    let mut largest = 0.0f64;
    for file in GOLDEN {
        let (worst, count) = compare(file, &golden(file));
        println!("{file}: {worst:.2e} of {count} values");
        assert!(worst <= 1e-5, "{file}: {worst}");
        assert!(count >= 9, "{file}: {count}");
        largest = largest.max(worst);
    }
    println!("largest {largest:.2e}");
}

#[test]
fn no_golden_network_is_left_out() {
    let files = std::fs::read_dir(models()).unwrap().map(|e| e.unwrap().path());
    let kind = |p: &Path| p.extension().unwrap().to_str().unwrap().to_owned();
    let mut found: Vec<PathBuf> = files.filter(|p| !["md", "npz", "toml"].contains(&&*kind(p))).collect();
    found.sort();
    let names: Vec<&str> = found.iter().map(|p| p.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, GOLDEN);
}

#[test]
fn outputs_have_their_names_and_labels() {
    let network = golden("heads.pt");
    let names: Vec<&str> = network.heads.iter().map(|h| network.nodes[h.node].name.as_str()).collect();
    assert_eq!(names, ["classes", "level", "squash"]);
    assert_eq!(network.labels(), ["a", "b", "c"]);
    let names: Vec<String> = golden("bilstm_bare.pt").nodes.into_iter().map(|n| n.name).collect();
    assert_eq!(names, ["rnn_l0", "rnn_reverse", "rnn"]);
}

type Tensor<'a> = (&'a str, &'a [usize]);

fn file(list: &[Tensor], dtype: Dtype, size: usize) -> Vec<u8> {
    let data: Vec<Vec<u8>> = list.iter().map(|(_, s)| vec![0x3c; s.iter().product::<usize>() * size]).collect();
    let views = list.iter().zip(&data).map(|((n, s), d)| (*n, TensorView::new(dtype, s.to_vec(), d).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn imported(name: &str, model: &[u8], toml: &str) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, model).unwrap();
    let map = (!toml.is_empty()).then(|| folder.path().join("model.toml"));
    if let Some(map) = &map {
        std::fs::write(map, toml).unwrap();
    }
    load(&path, Options { map: map.as_deref(), ..Options::default() }).map_err(|e| e.to_string())
}

/// The error is one line that names each of `words`.
fn refused(list: &[Tensor], toml: &str, words: &[&str]) {
    says(imported("m.safetensors", &file(list, Dtype::F32, 4), toml), words);
}

fn says(result: Result<Network, String>, words: &[&str]) {
    let said = result.unwrap_err();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

/// A map of layers with their further lines.
fn layers(list: &[(&str, &str)]) -> String {
    list.iter().map(|(name, more)| ["[[layer]]\nname = \"", name, "\"\n", more, "\n"].concat()).collect()
}

const GRU: [Tensor; 2] = [("rnn.weight_ih_l0", &[6, 3]), ("rnn.weight_hh_l0", &[6, 2])];
const REVERSE: [Tensor; 2] = [("rnn.weight_ih_l0_reverse", &[6, 3]), ("rnn.weight_hh_l0_reverse", &[6, 2])];
const FC: [Tensor; 2] = [("fc.weight", &[2, 2]), ("fc.bias", &[2])];
const WIDE: [Tensor; 2] = [("fc.weight", &[2, 4]), ("fc.bias", &[2])];

#[test]
fn what_shapes_do_not_tell_must_be_said() {
    // A table as wide as what the layer takes and yields; behind the layer it can be no embedding.
    let table: Tensor = ("fc.weight", &[2, 2]);
    let square: [Tensor; 2] = [("rnn.weight_ih_l0", &[6, 2]), ("rnn.weight_hh_l0", &[6, 2])];
    refused(&[square[0], square[1], table], "", &["order", "[[layer]] name = \"fc\""]);
    let first = layers(&[("fc", ""), ("rnn", "")]);
    refused(&[square[0], square[1], table], &first, &["layer \"fc\"", "kind = \"linear\"", "kind = \"embedding\""]);
    let norm: [Tensor; 2] = [("norm.weight", &[2]), ("norm.bias", &[2])];
    let map = layers(&[("rnn", ""), ("norm", "")]);
    refused(&[GRU[0], GRU[1], norm[0], norm[1]], &map, &["layer \"norm\"", "[2]", "kind = \"layernorm\""]);
    let rnn: [Tensor; 2] = [("rnn.weight_ih_l0", &[2, 3]), ("rnn.weight_hh_l0", &[2, 2])];
    refused(&rnn, "", &["layer \"rnn\"", "nonlinearity = \"tanh\"", "\"relu\""]);
    refused(&rnn, &layers(&[("rnn", "nonlinearity = \"swish\"")]), &["layer \"rnn\"", "swish"]);
    refused(&rnn, &layers(&[("rnn", "activation = \"relu\"")]), &["layer \"rnn\"", "nonlinearity"]);
    let conv: Tensor = ("conv.weight", &[4, 3, 5]);
    refused(&[conv], "", &["layer \"conv\"", "padding = \"valid\"", "\"causal\""]);
    refused(&[conv], &layers(&[("conv", "padding = \"same\"")]), &["layer \"conv\"", "same", "look ahead"]);
    let both = [GRU[0], GRU[1], REVERSE[0], REVERSE[1], WIDE[0], WIDE[1]];
    let map = |last: &str| format!("window = 9\n{}", layers(&[("rnn", last), ("fc", "")]));
    refused(&both, &map(""), &["layer \"rnn\"", "last = \"hidden\"", "last = \"output\""]);
    refused(&both, &map("last = true"), &["layer \"rnn\"", "last = \"hidden\"", "last = \"output\""]);
    refused(&both, &map("last = 3"), &["model.toml", "line 4", "\"hidden\""]);
    refused(&both, &map("last = \"first\""), &["layer \"rnn\"", "first", "\"hidden\""]);
    refused(&both, &map("last = \"hidden\"")["window = 9".len()..], &["layer \"rnn_reverse\"", "--window"]);
}

#[test]
fn maps_that_do_not_fit() {
    let all = [GRU[0], GRU[1], FC[0], FC[1]];
    let map = |rnn: &str, fc: &str, more: &str| format!("{}{more}", layers(&[("rnn", rnn), ("fc", fc)]));
    refused(&all, &map("activation = \"relu\"", "", ""), &["layer \"rnn\"", "kind = \"activation\""]);
    refused(&all, &map("", "stride = 2", ""), &["layer \"fc\"", "\"linear\"", "stride"]);
    refused(&all, &map("", "kind = \"conv1d\"", ""), &["layer \"fc\"", "conv1d"]);
    refused(&all, &map("", "kind = \"swish\"", ""), &["layer \"fc\"", "swish", "embedding"]);
    refused(&all, &map("", "last = \"hidden\"", ""), &["layer \"fc\"", "last = true"]);
    refused(&all, &map("", "from = [\"fc\"]", ""), &["layer \"fc\"", "\"fc\"", "earlier"]);
    refused(&all, &map("", "from = [\"rnn\", \"rnn\"]", ""), &["layer \"fc\"", "takes 2", "yields 4"]);
    refused(&all, &map("", "kind = \"unused\"", "[[output]]\nlayer = \"fc\"\n"), &["layer \"fc\"", "[[output]]"]);
    let twice = "[[output]]\nlayer = \"fc\"\n[[output]]\nlayer = \"fc\"\n";
    refused(&all, &map("", "", twice), &["layer \"fc\"", "[[output]]"]);
    refused(
        &all,
        &map("", "", "[[output]]\nlayer = \"fc\"\nlabels = [\"a\"]\n"),
        &["[[output]]", "1 labels", "2 values"],
    );
    refused(&all, &layers(&[("rnn", ""), ("rnn", ""), ("fc", "")]), &["layer \"rnn\"", "twice"]);
    refused(&all, &layers(&[("fc", ""), ("rnn", "")]), &["layer \"rnn\"", "takes 3", "yields 2"]);
    refused(
        &all,
        &layers(&[("act", "kind = \"activation\""), ("rnn", ""), ("fc", "")]),
        &["layer \"act\"", "say activation"],
    );
    refused(&all, &layers(&[("flat", "kind = \"flatten\""), ("rnn", ""), ("fc", "")]), &["layer \"flat\"", "steps"]);
    refused(&all, &layers(&[("flat", "kind = \"flatten\"\nsteps = 3"), ("rnn", ""), ("fc", "")]), &["layer \"flat\""]);
    let sum = |from: &str| layers(&[("rnn", ""), ("a", &format!("kind = \"sum\"\n{from}")), ("fc", "")]);
    refused(&all, &sum(""), &["layer \"a\"", "0 layers", "two or more"]);
    refused(&all, &sum("from = [\"rnn\", \"input\"]"), &["layer \"a\"", "[2, 3]", "same width"]);
    let begun = |initial: &str, words: &[&str]| {
        let with = [GRU[0], GRU[1], FC[0], FC[1], ("h", &[1, 1, 2])];
        refused(&with, &map(&format!("initial = {initial}"), "", ""), words);
    };
    begun("[\"h\", \"c\"]", &["layer \"rnn\"", "2 tensors where 1"]);
    begun("[\"c\"]", &["layer \"\"", "does not name it"]);
    let with = [GRU[0], GRU[1], FC[0], FC[1], ("rnn.h", &[1, 3])];
    refused(&with, &map("initial = [\"rnn.h\"]", "", ""), &["layer \"rnn\"", "\"rnn.h\"", "[1, 3]", "1 times 2"]);
    refused(&all, &map("", "initial = [\"fc.bias\"]", ""), &["layer \"fc\"", "takes no initial"]);
    refused(&with, &map("initial = [\"h\"]", "", ""), &["layer \"rnn\"", "\"h\""]);
    let table: Tensor = ("table.weight", &[9, 3]);
    let list = [GRU[0], GRU[1], table];
    refused(
        &list,
        &layers(&[("rnn", "last = true"), ("table", "kind = \"embedding\"")]),
        &["layer \"table\"", "takes 1"],
    );
    let two: [Tensor; 4] = [GRU[0], GRU[1], ("two.weight_ih_l0", &[6, 2]), ("two.weight_hh_l0", &[6, 2])];
    refused(&two, &layers(&[("rnn", "last = true"), ("two", "")]), &["layer \"two\"", "last"]);
    let conv: Tensor = ("conv.weight", &[4, 3, 5]);
    for wrong in
        ["stride = 0", "dilation = 0", "groups = 3", "groups = 4611686018427387904", "dilation = 9223372036854775807"]
    {
        refused(&[conv], &layers(&[("conv", &format!("padding = \"valid\"\n{wrong}"))]), &["layer \"conv"]);
    }
}

#[test]
fn other_modules_are_refused_by_their_tensors() {
    let with = |more: Tensor, words: &[&str]| refused(&[GRU[0], GRU[1], more], "", words);
    with(("rnn.h0", &[2]), &["layer \"rnn\"", "\"h0\"", "LayerNorm"]);
    with(("attention.in_proj_weight", &[6, 2]), &["order", "[[layer]] name = \"attention\""]);
    with(("rnn.weight_hh_l1", &[6, 2]), &["layer \"rnn\"", "weight_hh_l1"]);
    with(REVERSE[0], &["layer \"rnn\"", "weight_hh_l0_reverse"]);
    with(("rnn.bias_ih_l0", &[6]), &["layer \"rnn\"", "bias_ih_l0", "no \"bias_hh_l0\""]);
    with(("conv.weight", &[6, 2, 3, 3]), &["layer \"conv\"", "\"weight\""]);
    refused(&[("fc.weight_g", &[2, 1]), ("fc.weight_v", &[2, 2])], "", &["layer \"fc\"", "remove_weight_norm"]);
    let computed = "fc.parametrizations.weight.original0";
    refused(&[("fc.bias", &[2]), (computed, &[2, 1])], "", &["layer \"fc\"", "remove_parametrizations"]);
    refused(&[("fc.weight_orig", &[2, 2]), ("fc.weight_mask", &[2, 2])], "", &["layer \"fc\"", "prune.remove"]);
    let odd: [Tensor; 2] = [("rnn.weight_ih_l0", &[10, 3]), ("rnn.weight_hh_l0", &[10, 2])];
    refused(&odd, "", &["layer \"rnn\"", "[10, 2]", "GRU"]);
    says(imported("m.safetensors", &file(&GRU, Dtype::I32, 4), ""), &["layer \"rnn\"", "I32", "float32"]);
}

#[test]
fn attention_that_does_not_fit() {
    let all: [Tensor; 5] = [
        ("attn.in_proj_weight", &[12, 4]),
        ("attn.in_proj_bias", &[12]),
        ("attn.out_proj.weight", &[4, 4]),
        ("attn.out_proj.bias", &[4]),
        ("v", &[2]),
    ];
    let mha = |more: &str, words: &[&str]| {
        refused(&all[..4], &layers(&[("attn", more)]), &[&["layer \"attn\""], words].concat());
    };
    let with = |more: &str| format!("heads = 2\nwindow = 8\n{more}");
    mha("", &["heads = N"]);
    mha("heads = 2", &["window = N", "--memory"]);
    for wrong in ["0", "3", "1000000000", "9223372036854775807"] {
        mha(&format!("heads = {wrong}\nwindow = 8"), &["heads"]);
    }
    for wrong in ["0", "65536", "1000000000"] {
        mha(&format!("heads = 2\nwindow = {wrong}"), &["window", "65535"]);
    }
    refused(&all[..4], &layers(&[("attn", "heads = -1")]), &["model.toml", "line 3"]);
    mha(&with("kv_heads = 1"), &["2 heads", "kv_heads is 1"]);
    mha(&with("causal = false"), &["later steps", "window = N at the top"]);
    mha(&with("rope = 0.0"), &["rope is 0"]);
    mha(&with("rope = nan"), &["rope is NaN"]);
    mha("heads = 4\nwindow = 8\nrope = 100.0", &["pairs"]);
    mha(&with("score = \"cosine\""), &["cosine", "scaled"]);
    mha(&with("score = \"additive\""), &["v = "]);
    mha(&with("v = \"attn.out_proj.bias\""), &["additive"]);
    mha(&with("ages = \"attn.out_proj.bias\""), &["attn.out_proj.bias", "2 times 8"]);
    mha(&with("ages = \"nothing\""), &["no tensor \"nothing\""]);
    mha(&with("last = \"hidden\""), &["last = true"]);
    mha(&with("steps = 4"), &["takes no steps"]);
    let additive = with("score = \"additive\"\nv = \"v\"");
    assert!(imported("m.safetensors", &file(&all, Dtype::F32, 4), &layers(&[("attn", &additive)])).is_ok());
    refused(&all, &layers(&[("attn", &with(""))]), &["layer \"\"", "does not name it"]);
    let from = |names: &str| layers(&[("a", "kind = \"activation\"\nactivation = \"relu\""), ("attn", &with(names))]);
    refused(&all[..4], &from(""), &["layer \"a\""]);
    let four = ["input"; 4].map(|n| format!("\"{n}\"")).join(", ");
    mha(&with(&format!("from = [{four}]")), &["4 inputs", "query, keys, values"]);
    // Tensors that another kind of attention has.
    for (name, shape) in
        [("attn.bias_k", &[1, 1, 4][..]), ("attn.in_proj_weight", &[8, 4]), ("attn.in_proj_bias", &[8])]
    {
        let mut list = all[..4].to_vec();
        list.retain(|t| t.0 != name);
        list.push((name, shape));
        refused(&list, &layers(&[("attn", &with(""))]), &["layer \"attn\"", name.split_once('.').unwrap().1]);
    }
    let twice = [all[0], all[2], ("attn.q_proj.weight", &[4, 4])];
    refused(&twice, &layers(&[("attn", &with(""))]), &["layer \"attn.q_proj\"", "another tensor"]);
    let odd: [Tensor; 2] = [("attn.q_proj.weight", &[4, 4]), ("attn.k_proj.weight", &[3, 4])];
    refused(
        &odd,
        &layers(&[("attn", &format!("kind = \"attention\"\n{}", with("")))]),
        &["layer \"attn\"", "keys of 3"],
    );
    // Without tensors: of what, and of the same width.
    let look = |more: &str| layers(&[("rnn", ""), ("look", &format!("kind = \"attention\"\n{more}")), ("fc", "")]);
    let list = [GRU[0], GRU[1], FC[0], FC[1]];
    refused(&list, &look(""), &["layer \"look\"", "window = N"]);
    refused(&list, &look("window = 3\nfrom = [\"rnn\", \"input\"]"), &["layer \"look\"", "keys of 3"]);
    let map = look("window = 3");
    assert!(imported("m.safetensors", &file(&list, Dtype::F32, 4), &map).is_ok());
    // A window of the network is one of attention; --memory makes a ring shorter.
    let folder = tempfile::tempdir().unwrap();
    let (model, path) = (folder.path().join("m.safetensors"), folder.path().join("model.toml"));
    std::fs::write(&model, file(&list, Dtype::F32, 4)).unwrap();
    std::fs::write(&path, look("")).unwrap();
    let slots = |window, memory| {
        let network = load(&model, Options { map: Some(&path), window, memory, ..Options::default() }).unwrap();
        let Layer::Attention(a) = &network.nodes[1].layer else { panic!("{network:?}") };
        (a.slots, a.causal)
    };
    assert_eq!(slots(Some(9), None), (9, false));
    assert_eq!(slots(None, Some(5)), (5, true));
    assert_eq!(slots(Some(9), Some(5)), (5, false));
}

#[test]
fn streams_that_do_not_fit() {
    let list = [GRU[0], GRU[1], FC[0], FC[1]];
    let stream = |name: &str, features: &str| format!("[[stream]]\nname = \"{name}\"\nfeatures = {features}\n");
    let with = |streams: &[String], rnn: &str, words: &[&str]| {
        refused(&list, &format!("{}{}", streams.concat(), layers(&[("rnn", rnn), ("fc", "")])), words);
    };
    with(&[stream("a", "2"), stream("b", "3")], "", &["layer \"rnn\"", "takes 3", "yields 2"]);
    with(&[stream("a", "2"), stream("b", "3")], "from = [\"input\"]", &["layer \"rnn\"", "\"input\"", "[[stream]]"]);
    with(&[stream("a", "3"), stream("rnn", "3")], "", &["stream \"rnn\"", "twice"]);
    with(&[stream("a", "3"), stream("a", "3")], "", &["stream \"a\"", "twice"]);
    with(&[stream("a", "0")], "", &["stream \"a\"", "features = N"]);
    with(&[stream("a", "3"), stream("b", "1000000000")], "", &["stream \"b\"", "65535"]);
    with(&[stream("a", "-3")], "", &["model.toml", "line 3"]);
    with(&["window = 4\n".to_owned(), stream("a", "3"), stream("b", "1")], "", &["several inputs", "window"]);
    let five: Vec<String> = (0..5).map(|k| stream(&format!("s{k}"), "3")).collect();
    with(&five, "", &["1 to 4 inputs"]);
    let network = golden("streams.pt");
    assert_eq!((network.streams.clone(), network.inputs()), (vec![2, 3], 5));
}

#[test]
fn prefixes_of_wrappers() {
    let list: [Tensor; 4] = [
        ("module._orig_mod.rnn.weight_ih_l0", GRU[0].1),
        ("module._orig_mod.rnn.weight_hh_l0", GRU[1].1),
        ("module.fc._orig_mod.weight", FC[0].1),
        ("module.fc._orig_mod.bias", FC[1].1),
    ];
    let network = imported("m.safetensors", &file(&list, Dtype::F32, 4), "").unwrap();
    let names: Vec<&str> = network.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["rnn", "fc"]);
    refused(&[("fc.weight", &[2, 2]), ("fc._orig_mod.weight", &[2, 2])], "", &["\"fc.weight\"", "wrapper"]);
}

/// A checkpoint of `torch.save`'s layout around a pickle.
fn pickled(pickle: &[u8]) -> Vec<u8> {
    archived(pickle, zip::CompressionMethod::Stored)
}

fn archived(pickle: &[u8], method: zip::CompressionMethod) -> Vec<u8> {
    use std::io::Write;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let parts = [("data.pkl", pickle), ("byteorder", b"little"), ("data/0", &[0; 16]), ("version", b"3\n")];
    for (name, bytes) in parts {
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        zip.start_file(format!("m/{name}"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[test]
fn pickles_are_not_run_and_other_objects_are_named() {
    let remedy = "torch.save(model.state_dict()";
    let load = |pickle: &[u8]| imported("m.pt", &pickled(pickle), "");
    // What would run a command if it were run.
    says(load(b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00true\x85R."), &["m.pt", "posix.system", remedy]);
    says(load(b"\x80\x02c__main__\nNet\n)\x81}X\x01\x00\x00\x00aK\x01sb."), &["__main__.Net", remedy]);
    says(load(b"\x80\x02c__main__\nNet\n)R."), &["__main__.Net", remedy]);
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQK\x00K\x02K\x02\x86K\x02K\x01\x86\x89}tR";
    let dict = |value: &[u8]| [b"\x80\x02}X\x09\x00\x00\x00fc.weight", value, b"s."].concat();
    assert_eq!(load(&dict(tensor)).unwrap().outputs(), 2);
    // A tensor within an object that is not known, a list in place of a dictionary, no tensor at all.
    let hidden = [b"cmy\nWeight\n", &tensor[..], b"\x85R"].concat();
    says(load(&dict(&hidden)), &["my.Weight", remedy]);
    says(load(b"\x80\x02]."), &["list", remedy]);
    says(load(b"\x80\x02}."), &["no tensors", remedy]);
    // Integers where floats are due; more elements than there are; an expanded tensor that would fill the memory.
    let other = |from: &str, to: &str| {
        let text: Vec<u8> = dict(tensor);
        let at = text.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        load(&[&text[..at], to.as_bytes(), &text[at + from.len()..]].concat())
    };
    says(other("FloatStorage", "IntStorage"), &["layer \"fc\"", "I32", "float32"]);
    says(other("K\x02K\x02", "K\x09K\x02"), &["m.pt", "[9, 2]", remedy]);
    let expanded = [&tensor[..tensor.len() - 14], b"J\x00\x00\x00\x7fK\x01\x86K\x00K\x00\x86\x89}tR"].concat();
    says(load(&dict(&expanded)), &["m.pt", "512 MiB"]);
}

#[test]
fn files_that_are_no_checkpoints() {
    says(imported("m.pt", b"", ""), &["m.pt", "state_dict()"]);
    says(imported("m.pth", &file(&GRU, Dtype::F32, 4), ""), &["m.pth", "state_dict()"]);
    says(imported("m.pt", b"\x80\x02}.", ""), &["m.pt", "torch.save"]);
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    says(imported("m.pt", &tar, ""), &["m.pt", "torch.save(model.state_dict()"]);
    // What unpacks to a thousand times its size, or has an object a byte.
    let large = [b"\x80\x02", &vec![b'N'; 9 << 20][..], b"."].concat();
    let deflated = archived(&large, zip::CompressionMethod::Deflated);
    says(imported("m.pt", &deflated, ""), &["m.pt", "compressed"]);
    says(imported("m.pt", &pickled(&large), ""), &["m.pt", "8388608", "torch.save"]);
    says(imported("m.pt", &large, ""), &["m.pt", "8388608", "torch.save"]);
    let names: Vec<String> = (0..1025).map(|k| format!("fc{k}.weight")).collect();
    let many: Vec<Tensor> = names.iter().map(|n| (n.as_str(), &[1, 1][..])).collect();
    refused(&many, "", &["1025 tensors", "1024"]);
    let missing = load(Path::new("nowhere.pt"), Options::default()).unwrap_err().to_string();
    assert!(missing.contains("nowhere.pt") && missing.contains("check the path"), "{missing}");
}

/// Truncations and changes of single bytes: an error in one line or a network that runs.
#[test]
fn damaged_files() {
    let folder = tempfile::tempdir().unwrap();
    let mut random = 7u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    let (mut errors, mut networks) = (0, 0);
    let mut tried = |model: &str, bytes: &[u8]| {
        let path = folder.path().join(model);
        std::fs::write(&path, bytes).unwrap();
        match load(&path, Options { map: map(&models().join(model)).as_deref(), ..Options::default() }) {
            Err(e) => {
                assert_eq!(e.to_string().lines().count(), 1, "{e}");
                errors += 1;
            }
            Ok(network) => {
                let mut eval = Evaluator::new(&network);
                for stream in 0..network.streams.len().max(1) {
                    eval.step_stream(stream, &vec![0.5; network.features(stream).len()]);
                }
                networks += 1;
            }
        }
    };
    for model in GOLDEN {
        let whole = std::fs::read(models().join(model)).unwrap();
        for k in 0..32 {
            tried(model, &whole[..whole.len() * k / 32]);
        }
        for _ in 0..100 {
            let mut bytes = whole.clone();
            let at = next(bytes.len());
            bytes[at] ^= 1 + next(255) as u8;
            tried(model, &bytes);
        }
    }
    println!("{errors} errors, {networks} networks");
    assert!(errors > 1500 && networks > 100);
}

/// Changes within the pickle, which the archive's checksums would hide.
#[test]
fn damaged_pickles() {
    let mut zip = zip::ZipArchive::new(std::fs::File::open(models().join("wrapped.ckpt")).unwrap()).unwrap();
    let mut pickle = Vec::new();
    std::io::Read::read_to_end(&mut zip.by_name("wrapped/data.pkl").unwrap(), &mut pickle).unwrap();
    let mut random = 3u64;
    let mut next = |below: usize| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) as usize % below
    };
    for k in 0..3000 {
        let mut bytes = pickle.clone();
        for _ in 0..=k % 3 {
            let at = next(bytes.len());
            bytes[at] = next(256) as u8;
        }
        if let Err(said) = imported("m.pt", &pickled(&bytes), "") {
            assert_eq!(said.lines().count(), 1, "{said}");
        }
    }
}
