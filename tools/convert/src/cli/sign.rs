//! `cellstate sign`.

use super::{Done, files};
use cellstate_convert::update::{Update, keys};
use clap::{Args, value_parser};
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate sign model.cell --key product.key --version 2 -o model-2.cellu
  cellstate check model-2.cellu --key product.key.pub";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob.
    blob: PathBuf,
    /// The secret key that `cellstate keygen` wrote.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The update's version. A device takes it if it is above that of every model that it had.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    version: u32,
    /// Where the update goes.
    #[arg(short, long, value_name = "UPDATE.cellu")]
    out: PathBuf,
}

pub(super) fn run(a: &Arguments) -> Done {
    let key = keys::secret(&a.key).map_err(|e| e.to_string())?;
    let update = Update::pack(&a.blob, a.version, Some(&key)).map_err(|e| e.to_string())?;
    let bytes = update.bytes();
    files::write(&a.out, &bytes)?;
    let (out, version, count) = (a.out.display(), a.version, bytes.len());
    files::print(&format!("{out}: version {version}, {count} bytes, signed with {}\n", key.public()))
}
