//! The layers: one step each, on buffers whose sizes the loader has checked.
//!
//! A layer reads its records in order, once, from the words section of the blob.

pub mod dense;
pub mod embedding;
pub mod gru;
pub mod input;
pub mod lstm;
pub mod lstm_variants;
pub mod norm;
pub mod window;
