//! Files of keys: a secret one, and beside it a public one with nothing but 64 hexadecimal digits.

use crate::error::{Error, Result, read};
use cellstate_store::{PublicKey, SecretKey};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The first line of a secret key's file.
const TITLE: &str = "cellstate secret key 1";

/// What a damaged key is answered with.
const REMEDY: &str = "take the file that `cellstate keygen` wrote, from a backup";

/// Where the public half of a secret key's file is written: the same name and `.pub`.
pub fn public_path(secret: &Path) -> PathBuf {
    let mut name = secret.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

/// Makes a pair of files, the secret one for its owner alone.
///
/// # Errors
/// If one of them is there already, or cannot be written; the sentence says which.
pub fn generate(secret: &Path) -> Result<PublicKey> {
    let public = public_path(secret);
    let mut seed = [0; 32];
    let random = getrandom::fill(&mut seed).map_err(|e| Error::new(secret, e, "the system must have random numbers"));
    random?;
    let key = SecretKey::from_seed(seed).ok_or_else(|| Error::new(secret, "the seed is zero", "try again"))?;
    for path in [secret, &public] {
        // Before any is written, so that no pair is left that does not belong together.
        if path.symlink_metadata().is_ok() {
            return Err(exists(path));
        }
    }
    create(secret, &format!("{TITLE}\nseed {}\npublic {}\n", super::hex(&seed), key.public()), true)?;
    create(&public, &format!("{}\n", key.public()), false)?;
    Ok(key.public())
}

fn exists(path: &Path) -> Error {
    Error::new(
        path,
        "it is there already",
        "devices that have its key take updates of no other: name another file, or move this one away",
    )
}

/// Writes a file that is not there yet.
fn create(path: &Path, text: &str, secret: bool) -> Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    if secret {
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    }
    #[cfg(not(unix))]
    let _ = secret;
    let written = options.open(path).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|e| match e.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::new(path, e, "name a file in a folder that exists and can be written"),
    })
}

/// Reads a secret key.
///
/// # Errors
/// If the file is none or damaged: its halves must belong together.
pub fn secret(path: &Path) -> Result<SecretKey> {
    let text = text(path)?;
    let mut lines = text.lines();
    if lines.next() != Some(TITLE) {
        let public = PublicKey::from_hex(text.trim()).is_some();
        let cause = if public { "it is a public key, and signing needs the secret one" } else { "it is no secret key" };
        return Err(Error::new(path, cause, "name the file that `cellstate keygen` wrote, without .pub"));
    }
    let damaged = || Error::new(path, "the key is damaged", REMEDY);
    let mut half = |name: &str| {
        let hex = lines.next().and_then(|line| line.strip_prefix(name)).and_then(|rest| rest.strip_prefix(' '));
        hex.and_then(PublicKey::from_hex).ok_or_else(damaged)
    };
    let (seed, public) = (half("seed")?, half("public")?);
    let key = SecretKey::from_seed(*seed.bytes()).filter(|key| key.public() == public).ok_or_else(damaged)?;
    if lines.next().is_some() { Err(damaged()) } else { Ok(key) }
}

/// Reads a public key.
///
/// # Errors
/// If the file is none: it must have 64 hexadecimal digits.
pub fn public(path: &Path) -> Result<PublicKey> {
    let text = text(path)?;
    PublicKey::from_hex(text.trim()).ok_or_else(|| {
        let secret = text.starts_with(TITLE);
        let cause = if secret { "it is a secret key" } else { "it is no public key of 64 hexadecimal digits" };
        Error::new(path, cause, "name the .pub file that `cellstate keygen` wrote")
    })
}

fn text(path: &Path) -> Result<String> {
    let bytes = read(path)?;
    String::from_utf8(bytes).map_err(|_| Error::new(path, "it is not text, so no key", REMEDY))
}
