//! `.npz`: a zip archive of `.npy` arrays.

use super::{Sequences, npy, split};
use crate::error::{Archive, Error, Result};
use std::path::Path;

/// One array of an `.npz` file.
///
/// # Errors
/// A missing or damaged file, or no such array in it.
pub fn read_array(path: &Path, name: &str) -> Result<npy::Array> {
    let mut archive = Archive::open(path)?;
    array(path, &mut archive, name)
}

fn array(path: &Path, archive: &mut Archive, name: &str) -> Result<npy::Array> {
    let bytes = archive.unpack(&format!("{name}.npy"))?;
    npy::parse(path, &bytes).map_err(|e| e.at(name))
}

pub(super) fn load(path: &Path) -> Result<Sequences> {
    let mut archive = Archive::open(path)?;
    let names = archive.names();
    let has = |name: &str| names.iter().any(|n| n.strip_suffix(".npy") == Some(name));
    let Some(x) = ["x", "X"].into_iter().find(|n| has(n)) else {
        let cause = format!("it has no array x; it has {}", names.join(", "));
        return Err(Error::new(path, cause, "save the samples as x, their lengths as lengths and labels as y"));
    };
    let x = array(path, &mut archive, x)?;
    let lengths = has("lengths").then(|| array(path, &mut archive, "lengths")).transpose()?;
    let y = has("y").then(|| array(path, &mut archive, "y")).transpose()?;
    let streams = has("stream").then(|| array(path, &mut archive, "stream")).transpose()?;
    split(path, &x, lengths.as_ref(), y.as_ref(), streams.as_ref())
}
