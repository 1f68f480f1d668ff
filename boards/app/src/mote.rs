//! What the firmware of a sensor mote and the host that watches it agree on, for the model `tests/models/motes`.

use crate::predictor::Rules;

/// Microseconds from one reading to the next: the model was trained on a reading every 5 s.
pub const PERIOD: u32 = 5_000_000;
/// A quarter of a minute is bridged, for the room does not change by then; two readings in a row make an event.
pub const RULES: Rules = Rules { bridge: 3, debounce: 2 };
