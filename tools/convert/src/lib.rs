//! Converts.
#![forbid(unsafe_code)]
pub mod emit;
pub mod quantize;
