//! The float network that every importer produces, and its evaluation in 64-bit floating point.
//!
//! * [`network`]: the intermediate representation. Gate order and bias conventions end at the importers; here there is one.
//! * [`eval`]: one time step at a time, with the state in sight: what the integer model is measured against.

#![forbid(unsafe_code)]

pub mod eval;
pub mod network;

pub use eval::{Evaluator, Trace};
pub use network::{Activation, Dense, InputMap, Layer, Lstm, Matrix, Network};
