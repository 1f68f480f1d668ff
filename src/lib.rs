//! **cellstate**: integer-only recurrent inference for microcontrollers.
//!
//! A trained recurrent network, quantized by the host tool `cellstate` into one blob, runs here one time step at a time: no
//! allocation, no floating point on the step path, every buffer's size known at compile time, and the same bits on every
//! core.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use cellstate::{Aligned, Model, Session, State};
//!
//! static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!("../tests/models/watch/watch.cell"));
//!
//! let model = Model::parse(&BLOB.0)?; // every length, shape, scale and accumulator bound is checked here, once
//! let mut state = State::<316>::new(); // `watch.rs` beside the blob has the number
//! let mut session = Session::new(&model, &mut state)?;
//! let output = session.step_i16(&[-4438, -76, -112, 386, -1505, -2336])?; // one sample of raw sensor counts
//! println!("{:?}", model.label(output.argmax()));
//! # Ok(()) }
//! ```
//!
//! # Map
//!
//! * [`model`]: the blob. [`Model::parse`] checks it and gives a view; weights stay where they are. A layer's sizes have
//!   their home in [`model::layer`], and in [`model::more`] those of every layer but LSTM and dense.
//! * [`session`]: [`State`], [`Session`] and [`Output`], what an application holds. `session/walk.rs` runs the nodes of a
//!   model over a sample or a window, `session/others.rs` those of the other layers; `session/self_test.rs` compares this
//!   core with the host, on samples that travel in the blob; `session/profile.rs` tells a timer of each
//!   layer; `session/trace.rs` looks into a step that was taken; `session/generate.rs` feeds a model what it chose.
//! * [`layer`]: one file a layer, one step each: state in, state out.
//! * [`kernel`]: the dot products, the only place for `unsafe`.
//! * [`numeric`]: Q formats, the one rounding rule, sigmoid and tanh; powers of two for a softmax, parts of a turn for positions.
//!
//! Data flows one way: parse, session, layer, kernel.
//!
//! # Features
//!
//! * `layers`, on by default: every layer but LSTM and dense, windows, masks, several input streams, and generation. Without it
//!   `model/no_more.rs` and `session/no_others.rs` stand in their places, and a blob that has one is a [`LoadError::Header`].
//! * `deep`: models of up to 48 layers, such as transformers, for some 4 kB more of RAM in a parsed model.
//! * `portable`: the portable kernels on every target, to compare the others with.
//! * `defmt`: `defmt::Format` for the public types.

#![no_std]
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("cellstate reads weights in place from a little-endian blob; big-endian targets are not supported");

pub mod kernel;
pub mod layer;
pub mod model;
pub mod numeric;
pub mod session;

pub use model::{LoadError, Model};
#[cfg(feature = "layers")]
pub use session::{Choice, Generate, Sampler};
pub use session::{Output, Profile, RestoreError, SelfTestError, Session, State, StateTooSmall, StepError};

/// Aligns what it holds to 4 bytes, as a blob must be.
///
/// ```
/// static BLOB: cellstate::Aligned<[u8; 4]> = cellstate::Aligned(*b"CELL");
/// assert_eq!(BLOB.0.as_ptr() as usize % 4, 0);
/// ```
#[derive(Clone, Copy, Debug)]
#[repr(C, align(4))]
pub struct Aligned<T: ?Sized>(pub T);
