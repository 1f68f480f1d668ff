//! What the firmware of a magnetometer beside a lane and the host that watches it agree on, for the model `tests/models/lane`.

use crate::predictor::Rules;

/// Microseconds from one reading to the next: the model was trained on 25 a second.
pub const PERIOD: u32 = 40_000;
/// A vehicle is near for some ten readings: fewer are bridged, and three in a row make a decision.
pub const RULES: Rules = Rules { bridge: 3, debounce: 3 };
