//! Converts trained float networks to cellstate blobs, and measures them against the float original.
//!
//! Data flows one way:
//! * [`import`]: model files to the intermediate representation, [`cellstate_reference::Network`];
//! * [`data`]: calibration and test sequences;
//! * [`lower`]: the network as the device runs it;
//! * [`quantize`]: the network to integers;
//! * [`search`] and [`budget`]: the rounding and the formats that serve a model best, as [`measure`] has it;
//! * [`emit`]: the integers to a blob and to Rust source;
//! * [`convert()`] does all of it, and [`eval`] compares the result with the float network,
//! * [`drift`] does so over one long stream, both by the pairs of layers of [`beside`];
//! * [`self_test`] compares what a blob gives on the host, or on a [`board`] that an emulator stands for, with its vectors;
//! * [`monitor`] streams samples to a board and shows what comes back, live;
//! * [`trace`] looks into a model's steps, and [`text`] is what symbols stand for in a model that writes;
//! * [`update`] signs a blob for devices in the field, and looks into what was signed;
//! * [`cost`] says what a model takes on a device, [`inspect`] what it holds, and [`report`] shows all of it.

#![forbid(unsafe_code)]

pub mod beside;
pub mod board;
pub mod budget;
pub mod convert;
pub mod cost;
pub mod data;
pub mod drift;
pub mod emit;
pub mod error;
pub mod eval;
pub mod import;
pub mod inspect;
pub mod lower;
pub mod measure;
pub mod monitor;
pub mod quantize;
pub mod random;
pub mod report;
pub mod search;
pub mod self_test;
pub mod synthetic;
pub mod text;
pub mod trace;
pub mod update;

pub use convert::{Converted, convert, convert_within};
pub use error::{Error, Result};
