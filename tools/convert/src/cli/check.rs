//! `cellstate check`.

use super::{Done, files};
use cellstate_convert::update::{Update, keys};
use clap::Args;
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate check model-2.cellu --key product.key.pub
  cellstate check model-2.cellu --json

docs/cli.md has the fields of --json.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The update.
    update: PathBuf,
    /// The public key that devices have: the .pub file that `cellstate keygen` wrote. Without, the signature is not verified.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// One JSON object instead of text.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(a: &Arguments) -> Done {
    let said = report(a).map_err(|e| e.to_string())?;
    files::print(&said)
}

fn report(a: &Arguments) -> cellstate_convert::Result<String> {
    let key = a.key.as_deref().map(keys::public).transpose()?;
    let update = Update::read(&a.update)?;
    if let Some(key) = &key {
        update.verify(key)?;
    }
    if a.json {
        return Ok(format!("{:#}\n", update.as_json(key.is_some())?));
    }
    let signature = match key {
        Some(key) => format!("good, by {key}"),
        None if update.is_signed() => "not verified; give the key by --key".to_owned(),
        None => "none; a program with a key refuses it".to_owned(),
    };
    let (model, bytes) = (update.model()?, update.bytes().len());
    let header = model.header();
    let lines = [
        format!("{}: version {}, {bytes} bytes", a.update.display(), update.manifest().version),
        format!("signature: {signature}"),
        format!("model: {}; {}", header.name, header.provenance),
        format!(
            "{} inputs, {} outputs, {} bytes of flash, {} bytes of state, CRC-32 {:08x}",
            model.inputs(),
            model.outputs(),
            update.blob().len(),
            model.state_bytes(),
            model.id()
        ),
        format!("self-test: passed on this host, {} steps\n", header.tests),
    ];
    Ok(lines.join("\n"))
}
