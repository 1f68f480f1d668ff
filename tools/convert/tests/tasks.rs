//! The tasks that models with working memory were trained for, float and integer side by side.

use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::eval::{STATE_BYTES, Score, Units, compare};
use cellstate_convert::{convert, data, import};
use cellstate_reference::cell::softmax;
use cellstate_reference::{Evaluator, Network, Source};
use std::path::PathBuf;

fn models(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

fn network(file: &str, map: &str) -> Network {
    let map = models(map);
    import::load(&models(file), import::Options { map: Some(&map), ..import::Options::default() }).unwrap()
}

fn aligned(blob: &[u8]) -> Vec<u32> {
    blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect()
}

/// What both sides answer with: the index of the largest score.
trait Answers {
    fn step(&mut self, stream: usize, index: usize) -> usize;
    fn clear(&mut self);
}

impl Answers for Evaluator<'_> {
    fn step(&mut self, stream: usize, index: usize) -> usize {
        let (scores, _) = self.step_stream(stream, &[index as f64]);
        let best = scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1).then(b.0.cmp(&a.0)));
        best.map_or(0, |b| b.0)
    }

    fn clear(&mut self) {
        self.reset();
    }
}

impl Answers for Session<'_> {
    fn step(&mut self, stream: usize, index: usize) -> usize {
        self.step_stream_i16(stream, &[index as i16]).unwrap().argmax()
    }

    fn clear(&mut self) {
        self.reset();
    }
}

/// What a text means: its letters into stream 0, then stream 1 from `begin` on, each answer being the next symbol.
fn translate(side: &mut impl Answers, letters: &[usize], symbols: &[String]) -> String {
    let of = |name: &str| symbols.iter().position(|s| s == name).unwrap();
    side.clear();
    for &letter in letters {
        side.step(0, letter);
    }
    let (mut symbol, mut out) = (of("begin"), String::new());
    for _ in 0..20 {
        symbol = side.step(1, symbol);
        if symbol == of("end") {
            break;
        }
        out.push_str(&symbols[symbol]);
    }
    out
}

#[test]
fn dates_of_five_languages_become_iso_8601() {
    let network = network("dates/dates.keras", "dates/model.toml");
    let calibration = data::load(&models("dates/calibration.npz")).unwrap();
    let table = std::fs::read_to_string(models("dates/test.tsv")).unwrap();
    let letters: serde_json::Value =
        serde_json::from_slice(&std::fs::read(models("dates/letters.json")).unwrap()).unwrap();
    let (alphabet, first) = (letters["letters"].as_str().unwrap(), letters["first"].as_u64().unwrap() as usize);
    let texts: Vec<(Vec<usize>, &str)> = table
        .lines()
        .map(|line| {
            let (text, iso) = line.split_once('\t').unwrap();
            let index = |c: char| alphabet.chars().position(|a| a == c).map_or(0, |k| k + first);
            (text.chars().map(index).collect(), iso)
        })
        .collect();
    assert_eq!(texts.len(), 1000);
    let mut float = Evaluator::new(&network);
    let expected: Vec<String> = texts.iter().map(|(t, _)| translate(&mut float, t, network.labels())).collect();
    let right = |all: &[String]| all.iter().zip(&texts).filter(|(got, (_, iso))| got == iso).count();
    let by_float = right(&expected);
    for weights in [Weights::W8, Weights::W16] {
        let blob = convert(&network, &calibration, Units::Model, weights, "dates", 16, || ()).unwrap().blob;
        let words = aligned(&blob);
        let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
        let mut state = Box::new(State::<STATE_BYTES>::new());
        let mut session = Session::new(&model, &mut state).unwrap();
        let got: Vec<String> = texts.iter().map(|(t, _)| translate(&mut session, t, network.labels())).collect();
        let (by_integer, alike) = (right(&got), got.iter().zip(&expected).filter(|(a, b)| a == b).count());
        println!("{}: exact {by_integer} of 1000, float {by_float}; alike {alike}", weights.name());
        // Half a point.
        assert!(by_integer + 5 >= by_float && by_float >= 990);
    }
}

/// The shares of right answers of float and integers, and how many were asked for.
fn answers(network: &Network, folder: &str, test: &str, units: Units, weights: Weights) -> (f64, f64, u64) {
    let calibration = data::load(&models(&format!("{folder}/calibration.npz"))).unwrap();
    let blob = convert(network, &calibration, units, weights, folder, 16, || ()).unwrap().blob;
    let words = aligned(&blob);
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let test = data::load(&models(&format!("{folder}/{test}"))).unwrap();
    let report = compare(&model, network, &test, units, Score::Step, || ()).unwrap();
    (report.accuracy_float().unwrap(), report.accuracy_int().unwrap(), report.scored)
}

#[test]
fn questions_about_a_log_are_answered_by_every_number_of_hops() {
    for (hops, least) in [(1, 0.67), (2, 0.87), (3, 0.97)] {
        let name = format!("events/events{hops}.safetensors");
        let network = network(&name, &format!("events/events{hops}.toml"));
        for weights in [Weights::W8, Weights::W16] {
            let (float, integer, asked) = answers(&network, "events", "test.npz", Units::Model, weights);
            println!("{hops} hops, {}: {integer:.4} of {asked} questions, float {float:.4}", weights.name());
            assert!(asked == 1000 && float > least && integer >= float - 0.005);
        }
    }
}

#[test]
fn two_sensors_of_two_rates_make_one_decision() {
    let network = network("rates/rates.safetensors", "rates/model.toml");
    for weights in [Weights::W8, Weights::W16] {
        let (float, integer, steps) = answers(&network, "rates", "later.npz", Units::Counts, weights);
        println!("rates, {}: {integer:.4} of {steps} steps, float {float:.4}", weights.name());
        assert!(float > 0.75 && integer >= float - 0.005);
    }
}

/// Bits per character of a model's logits over a text.
struct Bits {
    sum: f64,
    count: u32,
}

impl Bits {
    fn observe(&mut self, logits: &[f64], next: i64) {
        self.sum -= softmax(logits)[next as usize].log2();
        self.count += 1;
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }
}

#[test]
fn texts_cost_as_many_bits_in_integers() {
    let calibration = data::load(&models("text/calibration.npz")).unwrap();
    let test = data::load(&models("text/test.npz")).unwrap();
    let bodies = [("lstm", "lstm.safetensors"), ("attention", "attention.safetensors"), ("llama", "llama")];
    for (name, file) in bodies {
        let network = network(&format!("text/{file}"), &format!("text/{name}.toml"));
        let head = network.heads[0].node;
        let is_softmax = network.nodes[head].layer.is_softmax();
        let mut float = Evaluator::new(&network);
        let mut by_float = Bits { sum: 0.0, count: 0 };
        let sequence = &test.sequences[0];
        let count = CHARACTERS.min(sequence.len());
        for t in 0..count {
            float.step(sequence.step(t));
            let trace = float.traces(head).last().unwrap();
            by_float.observe(if is_softmax { &trace.z } else { &trace.output }, sequence.label(t).unwrap());
        }
        for weights in [Weights::W8, Weights::W4] {
            let blob = convert(&network, &calibration, Units::Model, weights, name, 16, || ()).unwrap().blob;
            let words = aligned(&blob);
            let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
            let mut state = Box::new(State::<STATE_BYTES>::new());
            let mut session = Session::new(&model, &mut state).unwrap();
            let mut by_integer = Bits { sum: 0.0, count: 0 };
            for t in 0..count {
                let output = session.step_i16(&[sequence.step(t)[0] as i16]).unwrap();
                let logits: Vec<f64> = (0..output.len()).map(|k| output.value(k).unwrap().into()).collect();
                by_integer.observe(&logits, sequence.label(t).unwrap());
            }
            let (integer, float) = (by_integer.mean(), by_float.mean());
            println!(
                "{name}, {}: {integer:.4} bits per character, float {float:.4}; {} bytes of flash, {} of state",
                weights.name(),
                blob.len(),
                model.state_bytes()
            );
            let width = network.width(Source::Node(head));
            assert!(width == 65 && (weights == Weights::W4 || integer < float + 0.02));
        }
    }
}

/// Of the held-out text.
const CHARACTERS: usize = 20_000;
