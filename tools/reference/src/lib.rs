//! The float network that every importer produces, and its evaluation in 64-bit floating point.
//!
//! * [`network`]: the intermediate representation: nodes and how they are joined.
//! * [`layer`]: what a node computes. Gate order and bias conventions end at the importers; here there is one.
//! * [`eval`]: the network in motion, with every layer's values in sight: what the integer model is measured against.
//! * [`cell`]: one layer's step; [`attention`]: that of a query over memories.
//! * [`tflite`]: what TensorFlow Lite makes of an LSTM, to be compared with.

#![forbid(unsafe_code)]

pub mod attention;
pub mod cell;
pub mod eval;
pub mod layer;
pub mod matrix;
pub mod network;
pub mod tflite;

pub use attention::{Attention, Score};
pub use eval::Evaluator;
pub use layer::{Activation, Dense, Gru, Initial, Layer, Lstm, Rnn};
pub use matrix::Matrix;
pub use network::{Head, InputMap, Network, Node, Source};
