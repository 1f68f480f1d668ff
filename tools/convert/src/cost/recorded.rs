//! What `cargo xtask bench --record` counted last, from `docs/performance.json`.

use serde::Deserialize;
use std::sync::LazyLock;

const JSON: &str = include_str!("../../../../docs/performance.json");

/// One LSTM layer on one core: a whole step of it, and the bytes of the smallest program that steps it.
#[derive(Clone, Debug, Deserialize)]
pub struct Recorded {
    /// The core, as `cargo xtask bench` names it.
    pub core: String,
    /// w4, w8 or w16.
    pub weights: String,
    /// Input features.
    pub input: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Instructions of a step.
    pub instructions: u64,
    /// Those of the dot products with their set-up and requantization.
    pub mac: u64,
    /// Those of sigmoid and tanh.
    pub activation: u64,
    /// All others.
    pub rest: u64,
    /// Code of the smallest program that loads a model and steps it.
    pub text_bytes: u64,
    /// The same of a program with the feature `layers`.
    pub layers_text_bytes: u64,
    /// What a step uses of the stack.
    pub stack_bytes: u64,
    /// Cycles of a step, of cores whose timings are published, once they are recorded.
    #[serde(default)]
    pub cycles: Option<u64>,
}

impl Recorded {
    /// Blocks of four rows by four columns: an LSTM has a record a unit and two products in each.
    pub fn blocks(&self) -> usize {
        self.hidden * (self.input.div_ceil(4) + self.hidden.div_ceil(4))
    }
}

#[derive(Deserialize)]
struct File {
    results: Vec<Recorded>,
}

/// All that was recorded.
///
/// # Panics
/// If `docs/performance.json` was damaged when this program was built; a test reads it.
pub fn recorded() -> &'static [Recorded] {
    static ALL: LazyLock<Vec<Recorded>> = LazyLock::new(|| {
        serde_json::from_str::<File>(JSON).expect("docs/performance.json is what xtask wrote").results
    });
    &ALL
}

/// What was recorded of one core, and of one format of weights if one is named.
pub fn of<'a>(core: &'a str, weights: Option<&'a str>) -> impl Iterator<Item = &'static Recorded> + 'a {
    recorded().iter().filter(move |r| r.core == core && weights.is_none_or(|w| r.weights == w))
}
