//! The tasks that models with working memory were trained for, float and integer side by side.

use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::eval::{STATE_BYTES, Units};
use cellstate_convert::{convert, data, import};
use cellstate_reference::{Evaluator, Network};
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
