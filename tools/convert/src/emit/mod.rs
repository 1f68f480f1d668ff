//! From integers to bytes: [`blob`] lays out the `.cell`, [`vectors`] gives it test vectors, [`rust`] writes the constants
//! beside it.

pub mod blob;
pub mod rust;
pub mod vectors;
