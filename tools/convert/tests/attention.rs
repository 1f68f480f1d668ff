//! Every form of attention, and whole checkpoints, against the frameworks: 64-bit floats to 1e-5, integers by their outputs.
//!
//! The networks are those of tests/models/attention and tests/models/hf: see the READMEs there.

use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::data::{self, Sequences};
use cellstate_convert::eval::{STATE_BYTES, Units};
use cellstate_convert::import::{Options, load};
use cellstate_convert::{convert, lower};
use cellstate_reference::{Evaluator, Network};
use std::path::{Path, PathBuf};

fn models(folder: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(folder)
}

/// The files of a folder of this kind, in order.
fn files(folder: &str, kind: &str) -> Vec<PathBuf> {
    let all = std::fs::read_dir(models(folder)).unwrap().map(|e| e.unwrap().path());
    let mut files: Vec<PathBuf> = all.filter(|p| p.extension().is_some_and(|e| e == kind)).collect();
    files.sort();
    files
}

/// All values of the first output, step by step, sequence after sequence.
fn outputs(network: &Network, data: &Sequences) -> Vec<f64> {
    let head = network.heads[0].node;
    let mut eval = Evaluator::new(network);
    let mut all = Vec::new();
    for sequence in &data.sequences {
        eval.reset();
        for sample in sequence.steps() {
            eval.step(sample);
            all.extend(eval.traces(head).iter().flat_map(|t| &t.output).copied());
        }
    }
    all
}

/// The largest difference from the framework's values, relative to the largest of them.
fn worst(got: &[f64], golden: &[f64], name: &str) -> f64 {
    assert_eq!(got.len(), golden.len(), "{name}");
    let top = golden.iter().fold(1.0f64, |m, v| m.max(v.abs()));
    got.iter().zip(golden).fold(0.0f64, |w, (a, b)| w.max((a - b).abs())) / top
}

/// The signal over the error of the integers' outputs, in dB.
fn snr(network: &Network, data: &Sequences, weights: Weights) -> Result<f64, String> {
    let converted = convert(network, data, Units::Model, weights, "test", 0, || ()).map_err(|e| e.cause)?;
    let words: Vec<u32> = converted.blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(&model, &mut state).unwrap();
    let lowered = lower::lower(network);
    let head = lowered.heads[0].node;
    let mut float = Evaluator::new(&lowered);
    let (mut signal, mut noise) = (0.0, 0.0);
    for sequence in &data.sequences {
        session.reset();
        float.reset();
        for sample in sequence.steps() {
            float.step(sample);
            let sample: Vec<f32> = sample.iter().map(|&v| v as f32).collect();
            let new = session.step_f32(&sample).unwrap().is_new();
            assert_eq!(new, !float.traces(head).is_empty());
            for (t, trace) in float.traces(head).iter().enumerate() {
                let output = session.head_at(0, t);
                for (k, f) in trace.output.iter().enumerate() {
                    signal += f * f;
                    noise += (f - f64::from(output.value(k).unwrap())).powi(2);
                }
            }
        }
    }
    Ok(10.0 * f64::log10(signal / noise))
}

/// A network and its data, against its framework and in integers.
fn holds(path: &Path, options: Options, golden: (&Path, &str), least: [f64; 2]) {
    let name = path.strip_prefix(models("")).unwrap().display().to_string();
    let network = load(path, options).unwrap_or_else(|e| panic!("{e}"));
    let data = data::load(golden.0).unwrap();
    let expected = data::read_array(golden.0, golden.1).unwrap();
    let mut got = outputs(&network, &data);
    // A stream answers at each step what a framework answers at the end.
    if expected.shape.len() == 2 && expected.shape[0] == data.sequences.len() {
        let last = |rows: &[f64]| rows[rows.len() - expected.shape[1]..].to_vec();
        got = got.chunks_exact(got.len() / expected.shape[0]).flat_map(last).collect();
    }
    let error = worst(&got, &expected.data, &name);
    let found = [Weights::W8, Weights::W16].map(|w| snr(&network, &data, w).unwrap_or_else(|e| panic!("{name}: {e}")));
    println!("{name:44} {error:.1e}, {:.1} dB with w8, {:.1} with w16", found[0], found[1]);
    assert!(error <= 1e-5, "{name}: {error}");
    assert!(found[0] >= least[0] && found[1] >= least[1], "{name}: {found:?}");
}

#[test]
fn every_form_of_keras_attention_is_kept() {
    let all = files("attention/keras", "keras");
    assert_eq!(all.len(), 20);
    for path in all {
        holds(&path, Options::default(), (&path.with_extension("npz"), "y0"), [38.0, 60.0]);
    }
}

#[test]
fn every_form_of_pytorch_attention_is_kept() {
    let all = files("attention/pytorch", "safetensors");
    assert_eq!(all.len(), 14);
    for path in all {
        let map = path.with_extension("toml");
        let options = Options { map: Some(&map), ..Options::default() };
        holds(&path, options, (&path.with_extension("npz"), "y0"), [38.0, 60.0]);
    }
}

/// A ring of as many memories as transformers' mask lets through is that mask.
#[test]
fn checkpoints_are_kept_with_the_whole_past_and_with_a_window() {
    for name in ["llama", "llama_tied", "gpt2", "gpt2_relu"] {
        let folder = models("hf").join(name);
        let golden = folder.join("framework.npz");
        let window = data::read_array(&golden, "window").unwrap().data[0] as usize;
        // Random weights through whole networks: 30.0 and 66.7 dB at least, less two.
        for (memory, logits) in [(None, "logits"), (Some(window), "window_logits")] {
            let options = Options { memory, ..Options::default() };
            holds(&folder, options, (&golden, logits), [28.0, 64.7]);
        }
    }
}
