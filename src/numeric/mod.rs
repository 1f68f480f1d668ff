//! Q formats, rounding, requantization, sigmoid and tanh: the arithmetic every layer and every core agrees on.
//!
//! The contract is written down in `docs/numeric.md`. In one line each:
//! * inputs, hidden states and gates are Q0.15 in `i16` ([`fixed::types::I1F15`]);
//! * pre-activations are Q16.16 in `i32` ([`fixed::types::I16F16`]);
//! * every rounding is *round half up*, `floor(v + 1/2)`, and stands in [`rounding`].

pub mod activation;
#[cfg(feature = "layers")]
pub mod exp2;
#[cfg(feature = "layers")]
pub(crate) mod linear_units;
pub mod rounding;
#[cfg(feature = "layers")]
pub mod turn;

pub use activation::{sigmoid, tanh};
