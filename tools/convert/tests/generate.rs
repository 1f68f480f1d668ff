//! `cellstate generate` and `cellstate trace`, and data of several streams through `run` and `eval`.

use cellstate::model::header::Weights;
use cellstate::{Choice, Model, Sampler, Session, State};
use cellstate_convert::convert;
use cellstate_convert::data::{self, Sequence, Sequences};
use cellstate_convert::drift::drift;
use cellstate_convert::eval::{STATE_BYTES, Score, Units, compare};
use cellstate_convert::random::Rng;
use cellstate_convert::text::Vocabulary;
use cellstate_reference::{Activation, Attention, Dense, Head, InputMap, Layer, Lstm, Matrix, Network, Node, Source};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const UNITS: usize = 12;

fn matrix(rng: &mut Rng, rows: usize, cols: usize, reach: f64) -> Matrix {
    let mut real = || rng.below(1 << 40) as f64 / (1u64 << 39) as f64 - 1.0;
    Matrix { rows, cols, data: (0..rows * cols).map(|_| real() * reach).collect() }
}

fn lstm(rng: &mut Rng, inputs: usize) -> Layer {
    let (w, u) = (matrix(rng, 4 * UNITS, inputs, 1.5), matrix(rng, 4 * UNITS, UNITS, 1.0));
    Layer::Lstm(Lstm::from_unit_major(w, u, vec![0.0; 4 * UNITS]))
}

fn softmax(rng: &mut Rng, inputs: usize, labels: &[&str]) -> Layer {
    let (w, b) = (matrix(rng, labels.len(), inputs, 4.0), vec![0.0; labels.len()]);
    Layer::Dense(Dense { w, b, activation: Activation::Softmax })
}

fn network(streams: &[usize], labels: &[&str], nodes: Vec<(&str, Layer, Vec<Source>)>) -> Network {
    Network {
        name: "text".to_owned(),
        heads: vec![Head { node: nodes.len() - 1, labels: labels.iter().map(|&l| l.to_owned()).collect() }],
        nodes: nodes.into_iter().map(|(name, layer, from)| Node::new(name, layer, from)).collect(),
        input: InputMap::identity(streams.iter().sum()),
        streams: if streams.len() > 1 { streams.to_vec() } else { Vec::new() },
        window: None,
        mask: None,
    }
}

const LABELS: [&str; 6] = ["a", "b", r"\n", " ", "é", "th"];

/// A model of text with random weights.
fn text() -> (Network, Sequences) {
    let mut rng = Rng(8);
    let nodes = vec![
        ("symbols", Layer::Embedding(matrix(&mut rng, LABELS.len(), 8, 1.0)), vec![Source::Input]),
        ("lstm", lstm(&mut rng, 8), vec![Source::Node(0)]),
        ("next", softmax(&mut rng, UNITS, &LABELS), vec![Source::Node(1)]),
    ];
    let samples = (0..100).map(|_| rng.below(LABELS.len() as u64) as f64).collect();
    (network(&[1], &LABELS, nodes), Sequences { features: 1, sequences: vec![Sequence::unlabelled(1, samples)] })
}

const WRITTEN: [&str; 5] = ["x", "y", "z", "begin", "end"];
/// Letters that the encoder reads, and symbols of the decoder behind them, in a sequence.
const READ: usize = 7;
const ASKED: usize = 4;

/// An encoder, and a decoder that looks into what it left, with random weights.
fn translator() -> (Network, Sequences) {
    let mut rng = Rng(9);
    let attention = Attention::raw(UNITS, 6, cellstate_reference::Score::Dot { scale: 1.0 });
    let nodes = vec![
        ("letters", Layer::Embedding(matrix(&mut rng, 4, 8, 1.0)), vec![Source::Input]),
        ("encoder", lstm(&mut rng, 8), vec![Source::Node(0)]),
        ("symbols", Layer::Embedding(matrix(&mut rng, 5, 8, 1.0)), vec![Source::Stream(1)]),
        ("decoder", lstm(&mut rng, 8), vec![Source::Node(2)]),
        ("attention", Layer::Attention(Box::new(attention)), vec![Source::Node(3), Source::Node(1)]),
        ("symbol", softmax(&mut rng, 2 * UNITS, &WRITTEN), vec![Source::Node(3), Source::Node(4)]),
    ];
    let one = |rng: &mut Rng| {
        let streams: Vec<usize> = (0..READ + ASKED).map(|t| usize::from(t >= READ)).collect();
        let sample = |&s: &usize| rng.below([4, 5][s]) as f64;
        Sequence::interleaved(1, streams.iter().map(sample).collect(), streams)
    };
    let sequences = (0..20).map(|_| one(&mut rng)).collect();
    (network(&[1, 1], &WRITTEN, nodes), Sequences { features: 1, sequences })
}

fn blob(network: &Network, data: &Sequences) -> Vec<u8> {
    convert(network, data, Units::Model, Weights::W8, "test", 0, || ()).unwrap().blob
}

fn words(blob: &[u8]) -> Vec<u32> {
    blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
}

fn models(file: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file).display().to_string()
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> String {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path.display().to_string()
}

fn cellstate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellstate")).args(arguments).output().unwrap()
}

fn said(arguments: &[&str]) -> String {
    let output = cellstate(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// One sentence on standard error with all of `words`, exit code 2, and nothing written.
fn refused(arguments: &[&str], words: &[&str]) {
    let output = cellstate(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {error}");
    assert!(output.stdout.is_empty(), "{arguments:?}");
    for word in words {
        assert!(error.contains(word), "{arguments:?}: {word:?} is not in {error}");
    }
}

/// What the library writes.
fn written(blob: &[u8], stream: usize, read: &[u16], prompt: &[u16], sampler: &mut Sampler, steps: usize) -> Vec<u16> {
    let words = words(blob);
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(&model, &mut state).unwrap();
    for &letter in read {
        session.step_stream_f32(0, &[f32::from(letter)]).unwrap();
    }
    session.generate(stream, prompt.iter().copied(), sampler).unwrap().take(steps).collect()
}

#[test]
fn the_command_writes_what_a_session_does() {
    let (network, data) = text();
    let bytes = blob(&network, &data);
    let folder = tempfile::tempdir().unwrap();
    let model = file(&folder, "text.cell", &bytes);
    let words = words(&bytes);
    let vocabulary = Vocabulary::new(&Model::parse(bytemuck::cast_slice(&words)).unwrap()).unwrap();
    let prompt = vocabulary.encode("ab\nthé").unwrap();
    assert_eq!(prompt, [0, 1, 2, 5, 4]);
    let mut all = Vec::new();
    for (options, choice) in [
        ("", Choice::Greedy),
        ("--temperature 0 --seed 3", Choice::Greedy),
        ("--top-k 4 --seed 3", Choice::Sample { temperature: 1 << 16, top: 4 }),
        ("--temperature 1.5 --seed 3", Choice::Sample { temperature: 3 << 15, top: 0 }),
        ("--temperature 1.5 --seed 4", Choice::Sample { temperature: 3 << 15, top: 0 }),
        ("--temperature 0.25 --top-k 2 --seed 3", Choice::Sample { temperature: 1 << 14, top: 2 }),
    ] {
        let seed = if options.ends_with('4') { 4 } else { 3 };
        let expected = written(&bytes, 0, &[], &prompt, &mut Sampler::new(seed, choice), 60);
        let given: Vec<&str> = options.split_whitespace().collect();
        let arguments = [&["generate", &model, "--prompt", "ab\nthé", "--steps", "60"][..], &given].concat();
        assert_eq!(said(&arguments), vocabulary.decode(&expected) + "\n", "{options}");
        all.push(expected);
    }
    assert_eq!(all[0], all[1]);
    assert!(all[3] != all[4] && all[2] != all[3] && all[0] != all[3]);
    // It ends before its end symbol.
    let end = all[3][20];
    let until = all[3].iter().position(|&s| s == end).unwrap();
    let arguments = ["generate", &model, "--prompt", "ab\nthé", "--temperature", "1.5", "--seed", "3", "--end"];
    let arguments = [&arguments[..], &[LABELS[usize::from(end)]]].concat();
    assert_eq!(said(&arguments), vocabulary.decode(&all[3][..until]) + "\n");
}

#[test]
fn an_encoder_is_read_to_before_the_decoder_writes() {
    let (network, data) = translator();
    let bytes = blob(&network, &data);
    let folder = tempfile::tempdir().unwrap();
    let model = file(&folder, "t.cell", &bytes);
    let letters = file(&folder, "letters.json", br#"{"first": 1, "letters": "abc"}"#);
    let mut found = Vec::new();
    for text in ["abcab", "cc?", ""] {
        let read: Vec<u16> = text.chars().map(|c| "abc".find(c).map_or(0, |k| k as u16 + 1)).collect();
        let expected = written(&bytes, 1, &read, &[3], &mut Sampler::new(0, Choice::Greedy), 12);
        let expected: String = expected.iter().take_while(|&&s| s != 4).map(|&s| WRITTEN[usize::from(s)]).collect();
        let encode = ["generate", &model, "--encode", text, "--letters", &letters];
        let rest = ["--begin", "begin", "--end", "end", "--steps", "12"];
        assert_eq!(said(&[&encode[..], &rest].concat()), format!("{expected}\n"), "{text}");
        found.push(expected);
    }
    assert!(found[0] != found[1] || found[0] != found[2], "{found:?}");
    // Without letters the encoder reads the labels.
    said(&["generate", &model, "--encode", "xyz", "--begin", "begin"]);
    refused(&["generate", &model, "--encode", "a", "--begin", "begin"], &["--encode: 'a', character 1"]);
    let rest = ["--begin", "begin"];
    let wide = file(&folder, "wide.json", br#"{"first": 3, "letters": "abc"}"#);
    refused(
        &[&["generate", &model, "--encode", "ab", "--letters", &wide][..], &rest].concat(),
        &["index 4", "reads 4"],
    );
    refused(&[&["generate", &model, "--encode", "a", "--letters", &model][..], &rest].concat(), &["t.cell"]);
    refused(&["generate", &model, "--begin", "begin"], &["2 input streams", "--encode"]);
    refused(&["generate", &model, "--encode", "x"], &["--begin"]);
    refused(&["generate", &model, "--encode", "x", "--begin", "start"], &["\"start\" is no symbol", "begin end"]);
}

#[test]
fn what_cannot_be_written_is_said() {
    let (mut network, data) = text();
    let folder = tempfile::tempdir().unwrap();
    let model = file(&folder, "text.cell", &blob(&network, &data));
    refused(
        &["generate", &model, "--prompt", "ab?"],
        &["text.cell", "'?', character 3", "not in the vocabulary", "\\n"],
    );
    refused(&["generate", &model, "--prompt", ""], &["the prompt is empty"]);
    refused(&["generate", &model], &["--prompt"]);
    refused(&["generate", &model, "--prompt", "a", "--encode", "a", "--begin", "a"], &["two input streams", "has 1"]);
    refused(&["generate", &model, "--prompt", "a", "--temperature", "warm"], &["not a number"]);
    refused(&["generate", &model, "--prompt", "a", "--temperature=-1"], &["from 0 to 65535"]);
    refused(&["generate", &model, "--prompt", "a", "--top-k", "0"], &["--top-k"]);
    refused(
        &["generate", &models("watch/watch.cell"), "--prompt", "PEN"],
        &["not the index of a symbol", "6 features"],
    );
    network.heads[0].labels.clear();
    let model = file(&folder, "bare.cell", &blob(&network, &data));
    refused(&["generate", &model, "--prompt", "a"], &["bare.cell", "no labels", "model.toml"]);
    // It reads more symbols than it writes.
    let (mut network, data) = text();
    network.nodes[0].layer = Layer::Embedding(Matrix { rows: 7, cols: 8, data: vec![0.5; 56] });
    let model = file(&folder, "more.cell", &blob(&network, &data));
    refused(&["generate", &model, "--prompt", "a"], &["reads 7 symbols and writes 6"]);
}

/// An `.npz` of whole numbers.
fn npz(folder: &tempfile::TempDir, name: &str, arrays: &[(&str, &str, &[i64])]) -> String {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, shape, values) in arrays {
        let text = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}\n");
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(b"\x93NUMPY\x01\x00").unwrap();
        zip.write_all(&(text.len() as u16).to_le_bytes()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
        values.iter().for_each(|v| zip.write_all(&v.to_le_bytes()).unwrap());
    }
    file(folder, name, &zip.finish().unwrap().into_inner())
}

const X: [i64; 7] = [1, 2, 3, 3, 0, 1, 3];
const STREAMS: [i64; 7] = [0, 0, 1, 1, 0, 0, 1];
/// The second label stands at a step of the encoder: there is no answer to be compared with it.
const Y: [i64; 7] = [-1, 2, 0, 1, -1, -1, -1];

#[test]
fn data_of_several_streams_are_run_and_scored_where_there_is_an_answer() {
    let (network, calibration) = translator();
    let bytes = blob(&network, &calibration);
    let folder = tempfile::tempdir().unwrap();
    let model = file(&folder, "t.cell", &bytes);
    let x = ("x", "(7, 1)", &X[..]);
    let lengths = ("lengths", "(2,)", &[4i64, 3][..]);
    let stream = ("stream", "(7,)", &STREAMS[..]);
    let whole = npz(&folder, "d.npz", &[x, lengths, stream, ("y", "(7,)", &Y)]);
    let lines = said(&["run", &model, "--input", &whole, "--per", "step"]);
    let steps: Vec<String> =
        lines.lines().skip(1).map(|l| l.split(',').take(2).collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(steps, ["0 2", "0 3", "1 2"], "{lines}");
    assert_eq!(said(&["run", &model, "--input", &whole]).lines().count(), 3);

    let data = data::load(Path::new(&whole)).unwrap();
    let words = words(&bytes);
    let parsed = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let report = compare(&parsed, &network, &data, Units::Model, Score::Step, || ()).unwrap();
    assert_eq!((report.steps, report.scored), (7, 2));
    assert_eq!(report.decisions.keys().map(|k| k.0).collect::<Vec<_>>(), [0, 1]);
    let report = compare(&parsed, &network, &data, Units::Model, Score::Sequence, || ()).unwrap();
    assert_eq!(report.scored, 1);
    let drift = drift(&parsed, &network, &data, Units::Model, 100).unwrap();
    assert!(drift.steps >= 100 && drift.outputs[0].points.len() * 7 <= drift.steps * 3 + 7);

    let bare = npz(&folder, "bare.npz", &[x, lengths]);
    refused(&["run", &model, "--input", &bare, "--format", "jsonl"], &["bare.npz", "2 input streams", "array stream"]);
    let others = npz(&folder, "others.npz", &[x, lengths, ("stream", "(7,)", &[0, 0, 1, 1, 0, 2, 1])]);
    refused(
        &["run", &model, "--input", &others, "--format", "jsonl"],
        &["others.npz", "stream 2", "has 2, counted from 0"],
    );
}

#[test]
fn a_trace_shows_gates_states_and_where_a_query_looks() {
    let (network, calibration) = translator();
    let folder = tempfile::tempdir().unwrap();
    let model = file(&folder, "t.cell", &blob(&network, &calibration));
    let stream = ("stream", "(7,)", &STREAMS[..]);
    let data = npz(&folder, "d.npz", &[("x", "(7, 1)", &X), ("lengths", "(2,)", &[4, 3]), stream]);
    let json = said(&["trace", &model, "--input", &data, "--json"]);
    let trace: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(trace["streams"], serde_json::json!([0, 0, 1, 1]));
    assert!(trace["decisions"][0].is_null() && trace["decisions"][2].is_string());
    let layers = trace["layers"].as_array().unwrap();
    let names: Vec<&str> = layers.iter().map(|l| l["layer"].as_str().unwrap()).collect();
    assert_eq!(names.iter().map(|n| n.split_once(' ').unwrap().1).collect::<Vec<_>>(), ["lstm", "lstm", "attention"]);
    let titles: Vec<&str> =
        layers[0]["maps"].as_array().unwrap().iter().map(|m| m["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["input gate", "forget gate", "candidate", "output gate", "cell state", "hidden state"]);
    for (layer, runs) in [(0, [true, true, false, false]), (1, [false, false, true, true])] {
        for map in layers[layer]["maps"].as_array().unwrap() {
            let rows = map["values"].as_array().unwrap();
            assert_eq!((rows.len(), map["rows"].as_array().unwrap().len()), (UNITS, UNITS));
            for row in rows {
                let there: Vec<bool> = row.as_array().unwrap().iter().map(serde_json::Value::is_number).collect();
                assert_eq!(there, runs);
            }
        }
    }
    let weights = layers[2]["maps"][0]["values"].as_array().unwrap();
    assert_eq!(weights.len(), 6);
    let at = |age: usize, t: usize| weights[age][t].as_f64();
    let sum: f64 = (0..2).map(|age| at(age, 2).unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-3 && at(2, 2).is_none() && at(0, 1).is_none(), "{sum}");

    let page = folder.path().join("trace.html");
    let shown = page.display().to_string();
    assert_eq!(
        said(&["trace", &model, "--input", &data, "--sequence", "1", "--report", &shown]),
        format!("report: {shown}\n")
    );
    check(&std::fs::read_to_string(&page).unwrap(), &["steps", "outputs", "layer0", "layer1", "layer2"]);
    refused(&["trace", &model, "--input", &data, "--json", "--sequence", "2"], &["d.npz", "no sequence 2", "has 2"]);
    refused(&["trace", &model, "--input", &data], &["--report"]);
    refused(&["trace", &model, "--input", &data, "--json", "--steps", "301"], &["300"]);
}

/// Well-formed, with these sections, and with nothing that would be fetched or run.
fn check(page: &str, sections: &[&str]) {
    let document = roxmltree::Document::parse(page.strip_prefix("<!DOCTYPE html>").unwrap()).unwrap();
    let ids: Vec<_> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    assert_eq!(ids, sections);
    for element in document.descendants().filter(roxmltree::Node::is_element) {
        let name = element.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object", "use", "image"].contains(&name), "{name}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
}

#[test]
fn the_trace_of_a_trained_model_is_of_bounded_size() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("trace.html");
    let (model, data, shown) = (models("watch/watch.cell"), models("watch/later.npz"), page.display().to_string());
    said(&["trace", &model, "--input", &data, "--raw", "--steps", "300", "--report", &shown]);
    let page: String = std::fs::read_to_string(PathBuf::from(&shown)).unwrap();
    check(&page, &["steps", "outputs", "layer0"]);
    let paths = page.matches("<path").count();
    println!("{} bytes, {paths} paths", page.len());
    // Seven maps of twenty shades and one for none; 32 units at 300 steps.
    assert!(paths > 50 && paths <= 7 * 21 && page.len() < 1 << 20, "{paths} {}", page.len());
    assert!(page.contains("forget gate, up to 1") && page.contains("PEN"), "{page}");
}
