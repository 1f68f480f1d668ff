//! Networks with random weights, for benches: a size is all there is to them.

use crate::emit;
use crate::quantize::calibrate::Calibration;
use crate::quantize::levers::uniform;
use crate::quantize::{Unquantizable, quantize};
use cellstate::model::header::Weights;
use cellstate_reference::{Layer, Lstm, Matrix, Network};

/// Steps of [`walk`].
pub const WALK_STEPS: usize = 64;

/// Uniform in -1..1.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}

/// One LSTM layer with weights as frameworks initialize them, forget gates biased by one.
pub fn lstm(inputs: usize, units: usize) -> Network {
    let mut random = Uniform((inputs * 1000 + units) as u64);
    let mut matrix = |cols: usize| {
        let top = (6.0 / (cols + units) as f64).sqrt();
        let data: Vec<f64> = (0..4 * units * cols).map(|_| random.next() * top).collect();
        Matrix { rows: 4 * units, cols, data }
    };
    let (w, u) = (matrix(inputs), matrix(units));
    let b = (0..4 * units).map(|row| if row % 4 == 1 { 1.0 } else { 0.0 }).collect();
    let layer = Layer::Lstm(Lstm::from_unit_major(w, u, b));
    Network::chain(&format!("lstm {inputs} {units}"), inputs, vec![("lstm".to_owned(), layer)])
}

/// The samples of a random walk, [`WALK_STEPS`] of them one after the other.
pub fn walk(inputs: usize) -> Vec<f64> {
    let mut random = Uniform(7);
    let mut x = vec![0.0f64; inputs];
    let mut samples = Vec::new();
    for _ in 0..WALK_STEPS {
        for x in &mut x {
            *x = 0.9 * *x + random.next();
        }
        samples.extend(&x);
    }
    samples
}

/// The blob of [`lstm`], calibrated on [`walk`], with every weight rounded to the nearest: it is stepped for its cost.
///
/// # Errors
/// As of [`quantize`]; none, for sizes that fit a blob.
pub fn blob(inputs: usize, units: usize, weights: Weights) -> Result<Vec<u8>, Unquantizable> {
    let network = lstm(inputs, units);
    let mut calibration = Calibration::new(&network);
    for sample in walk(inputs).chunks_exact(inputs) {
        calibration.observe(sample);
    }
    let quantized = quantize(&network, &calibration, &uniform(&network, weights))?;
    Ok(emit::blob::blob(&network, &quantized, "bench"))
}
