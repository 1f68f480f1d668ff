//! The models that are measured: float networks with random weights, put through the converter like any other.

use anyhow::{Result, anyhow};
use cellstate::model::header::Weights;
use cellstate_app::trial;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::Units;
use cellstate_reference::{InputMap, Layer, Lstm, Matrix, Network};

/// Inputs and hidden units.
pub(crate) const SIZES: [(usize, usize); 6] = [(3, 16), (6, 32), (12, 64), (40, 64), (28, 128), (64, 256)];
/// All weight formats.
pub(crate) const WEIGHTS: [Weights; 3] = [Weights::W8, Weights::W16, Weights::W4];

/// Uniform in -1..1.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// One LSTM layer with weights as frameworks initialize them, forget gates biased by one.
pub(crate) fn lstm(inputs: usize, units: usize) -> Network {
    let mut random = Uniform((inputs * 1000 + units) as u64);
    let mut matrix = |cols: usize| {
        let top = (6.0 / (cols + units) as f64).sqrt();
        let data: Vec<f64> = (0..4 * units * cols).map(|_| random.next() * top).collect();
        Matrix { rows: 4 * units, cols, data }
    };
    let (w, u) = (matrix(inputs), matrix(units));
    let b = (0..4 * units).map(|row| if row % 4 == 1 { 1.0 } else { 0.0 }).collect();
    Network {
        name: format!("lstm {inputs} {units}"),
        layers: vec![Layer::Lstm(Lstm { name: "lstm".to_owned(), w, u, b })],
        labels: Vec::new(),
        input: InputMap::identity(inputs),
    }
}

/// The network's blob, calibrated on a random walk.
pub(crate) fn blob(inputs: usize, units: usize, weights: Weights) -> Result<Vec<u8>> {
    let network = lstm(inputs, units);
    let mut random = Uniform(7);
    let mut x = vec![0.0; inputs];
    let mut samples = Vec::new();
    for _ in 0..64 {
        x.iter_mut().for_each(|x: &mut f64| *x = 0.9 * *x + random.next());
        samples.extend(&x);
    }
    let data = Sequences { features: inputs, sequences: vec![Sequence::unlabelled(inputs, samples)] };
    let converted = cellstate_convert::convert(&network, &data, Units::Model, weights, "bench", || ());
    Ok(converted.map_err(|e| anyhow!("{}: {}", e.layer, e.cause))?.blob)
}

/// A pack of trials for the firmware: each blob with its number of steps.
pub(crate) fn pack(trials: &[(u32, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![0; trial::PACK_PREFIX];
    for (steps, blob) in trials {
        out.extend(steps.to_le_bytes());
        out.extend((blob.len() as u32).to_le_bytes());
        out.extend(blob);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let len = (out.len() as u32).to_le_bytes();
    out[..4].copy_from_slice(&len);
    out
}
