//! `cellstate update`.

use super::{Done, files};
use cellstate_convert::update::{Update, image, is_update, keys};
use clap::{ArgGroup, Args, value_parser};
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate update model-1.cellu --image store.bin --slot 16384 --erase 4096
  cellstate update model.cell --key product.key --version 2 -o model-2.cellu
  cellstate update model.cell --unsigned --version 2 -o model-2.cellu

docs/updates.md says where in flash the image goes.";

#[derive(Args)]
#[command(group(ArgGroup::new("target").required(true).multiple(true)))]
pub(super) struct Arguments {
    /// The update; or a blob, to be made one with --version and --key.
    file: PathBuf,
    /// Of a blob: the update's version.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// Of a blob: the secret key to sign with.
    #[arg(long, value_name = "FILE", conflicts_with = "unsigned")]
    key: Option<PathBuf>,
    /// Allows what is not signed. Programs that have a key refuse it.
    #[arg(long)]
    unsigned: bool,
    /// Where the update goes as a file.
    #[arg(short, long, value_name = "UPDATE.cellu", group = "target")]
    out: Option<PathBuf>,
    /// Where the flash goes that a device begins with: journal and first slot.
    #[arg(long, value_name = "IMAGE.bin", group = "target", requires_all = ["slot", "erase"])]
    image: Option<PathBuf>,
    /// Of the image: bytes of a slot, as the program has it in its layout.
    #[arg(long, value_name = "BYTES", requires = "image")]
    slot: Option<u32>,
    /// Of the image: bytes that the flash erases at once.
    #[arg(long, value_name = "BYTES", requires = "image")]
    erase: Option<u32>,
}

pub(super) fn run(a: &Arguments) -> Done {
    let update = pack(a)?;
    let said = |path: &PathBuf, what: &str, bytes: usize| {
        let (version, signed) = (update.manifest().version, if update.is_signed() { "signed" } else { "unsigned" });
        files::print(&format!("{}: {what}version {version}, {signed}, {bytes} bytes\n", path.display()))
    };
    if let Some(path) = &a.out {
        let bytes = update.bytes();
        files::write(path, &bytes)?;
        said(path, "", bytes.len())?;
    }
    if let (Some(path), Some(slot), Some(erase)) = (&a.image, a.slot, a.erase) {
        let bytes = image(&update, slot, erase).map_err(|e| {
            let needed = update.bytes().len();
            format!("{}: {e}; the update has {needed} bytes, see --slot {slot} and --erase {erase}", path.display())
        })?;
        files::write(path, &bytes)?;
        said(path, "flash image of ", bytes.len())?;
    }
    Ok(())
}

/// The update as it is, or made of a blob.
fn pack(a: &Arguments) -> Result<Update, String> {
    let shown = a.file.display();
    let update = if is_update(&a.file).map_err(|e| e.to_string())? {
        if a.version.is_some() || a.key.is_some() {
            return Err(format!(
                "{shown}: it is an update, with a version and perhaps a signature; leave --version and --key out"
            ));
        }
        Update::read(&a.file)
    } else {
        let version =
            a.version.ok_or_else(|| format!("{shown}: it is no update; give a blob its version by --version N"))?;
        let key = a.key.as_deref().map(keys::secret).transpose().map_err(|e| e.to_string())?;
        Update::pack(&a.file, version, key.as_ref())
    };
    let update = update.map_err(|e| e.to_string())?;
    if !update.is_signed() && !a.unsigned {
        return Err(format!("{shown}: it is not signed; sign it by --key FILE, or say --unsigned"));
    }
    Ok(update)
}
