//! The layers: one step each, on buffers whose sizes the loader has checked.
//!
//! A layer reads its records in order, once a step, from the words section of the blob. All but `input`, `lstm` and `dense`
//! are of the feature `layers`.

#[cfg(feature = "layers")]
pub(crate) mod attended;
#[cfg(feature = "layers")]
pub mod attention;
pub mod dense;
#[cfg(feature = "layers")]
pub mod embedding;
#[cfg(feature = "layers")]
pub mod gru;
pub mod input;
#[cfg(feature = "layers")]
pub mod join;
pub mod lstm;
#[cfg(feature = "layers")]
pub mod lstm_variants;
#[cfg(feature = "layers")]
pub mod norm;
#[cfg(feature = "layers")]
pub mod position;
#[cfg(feature = "layers")]
pub mod rnn;
#[cfg(feature = "layers")]
pub(crate) mod sums;
#[cfg(feature = "layers")]
pub mod window;
