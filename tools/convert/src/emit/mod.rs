//! From integers to bytes: [`blob`] lays out the `.cell`, [`rust`] writes the constants beside it.

pub mod blob;
pub mod rust;
