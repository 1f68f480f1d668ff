//! `cellstate keygen`.

use super::{Done, files};
use cellstate_convert::update::keys;
use clap::Args;
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate keygen product.key
  CELLSTATE_KEY=$(cat product.key.pub) cargo build --release

docs/updates.md says how to keep a key, and what to do when it is lost.";

#[derive(Args)]
pub(super) struct Arguments {
    /// Where the secret key goes, for its owner alone; the public one goes beside it, with .pub behind the name. Neither may be
    /// there yet.
    out: PathBuf,
}

pub(super) fn run(a: &Arguments) -> Done {
    let key = keys::generate(&a.out).map_err(|e| e.to_string())?;
    let public = keys::public_path(&a.out);
    files::print(&format!("{}: the secret key; keep it\n{}: {key}\n", a.out.display(), public.display()))
}
