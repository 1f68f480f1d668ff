//! Updates for devices in the field: [`keys`], what is signed with them, and the [`image()`] of flash that a device begins with.
//!
//! The format itself is `cellstate_store`'s, which devices have too.

mod image;
pub mod keys;

pub use image::image;

use crate::error::{Error, Result, read};
use crate::self_test::on_host;
use cellstate::Model;
use cellstate_store::{Manifest, PublicKey, SecretKey, UpdateError, manifest};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// An update whose parts fit together: manifest, digest, model, self-test. Who signed it, [`verify`](Self::verify) says.
#[derive(Clone, Debug)]
pub struct Update {
    file: PathBuf,
    manifest: Manifest,
    /// The blob, in aligned memory.
    words: Vec<u32>,
}

/// Whether a file has an update, by its first bytes.
///
/// # Errors
/// If it cannot be read.
pub fn is_update(file: &Path) -> Result<bool> {
    Ok(read(file)?.starts_with(&manifest::MAGIC))
}

impl Update {
    /// Packs a blob as an update, signed if there is a key.
    ///
    /// # Errors
    /// What a device would refuse: no blob, one without test vectors, or whose vectors this host finds wrong.
    pub fn pack(file: &Path, version: u32, key: Option<&SecretKey>) -> Result<Self> {
        let blob = read(file)?;
        if blob.starts_with(&manifest::MAGIC) {
            return Err(Error::new(file, "it is an update already", "name the blob that it was made from"));
        }
        let manifest = Manifest::of(&blob, version);
        let manifest = manifest.ok_or_else(|| Error::new(file, "it is too long", "name a blob"))?;
        let manifest = key.map_or(manifest, |key| manifest.sign(key));
        Self::new(file, manifest, &blob)
    }

    /// Reads an update.
    ///
    /// # Errors
    /// If it is none, damaged, or has a model that a device would refuse.
    pub fn read(file: &Path) -> Result<Self> {
        let bytes = read(file)?;
        let parts = bytes.split_first_chunk();
        let (head, blob) = parts.ok_or_else(|| refused(file, UpdateError::Manifest))?;
        let manifest = Manifest::parse(head).map_err(|e| refused(file, e))?;
        if manifest.length as usize != blob.len() {
            return Err(refused(file, UpdateError::Length));
        }
        if manifest::digest(blob) != manifest.digest {
            return Err(refused(file, UpdateError::Digest));
        }
        Self::new(file, manifest, blob)
    }

    fn new(file: &Path, manifest: Manifest, blob: &[u8]) -> Result<Self> {
        let word = |c: &[u8]| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)));
        let update = Self { file: file.to_owned(), manifest, words: blob.chunks(4).map(word).collect() };
        let model = update.model()?;
        let outcome = on_host(&model).map_err(|e| Error::new(file, e, "a device would refuse it"))?;
        if !outcome.passed() {
            let (found, expected) = (outcome.found, outcome.expected);
            let cause = format!("the self-test fails here: checksum {found:08x} instead of {expected:08x}");
            return Err(Error::new(file, cause, "convert the model again"));
        }
        Ok(update)
    }

    /// Whether it is signed with a key.
    ///
    /// # Errors
    /// If it is not signed, or with another.
    pub fn verify(&self, key: &PublicKey) -> Result<()> {
        self.manifest.verify(Some(key)).map_err(|e| match e {
            UpdateError::Unsigned => Error::new(&self.file, "it is not signed", "sign it with `cellstate sign`"),
            _ => Error::new(&self.file, "it is signed with another key", "look at which key the devices have"),
        })
    }

    /// Its first bytes, decoded.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Whether there is a signature.
    pub fn is_signed(&self) -> bool {
        self.manifest.signature.is_some()
    }

    /// The blob.
    pub fn blob(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.manifest.length as usize]
    }

    /// The model.
    ///
    /// # Errors
    /// If the blob is none.
    pub fn model(&self) -> Result<Model<'_>> {
        Model::parse(self.blob()).map_err(|e| Error::new(&self.file, e, "convert the model again"))
    }

    /// As devices take it.
    pub fn bytes(&self) -> Vec<u8> {
        [&self.manifest.bytes()[..], self.blob()].concat()
    }

    /// The JSON object that `docs/cli.md` documents. `verified` says whether a key was given, and is the one.
    ///
    /// # Errors
    /// If the blob is none.
    pub fn as_json(&self, verified: bool) -> Result<Value> {
        let model = self.model()?;
        Ok(json!({
            "version": self.manifest.version,
            "bytes": manifest::BYTES + self.blob().len(),
            "signed": self.is_signed(),
            "verified": verified,
            "sha512": hex(&self.manifest.digest),
            "name": model.header().name,
            "provenance": model.header().provenance,
            "crc32": format!("{:08x}", model.id()),
            "inputs": model.inputs(),
            "outputs": model.outputs(),
            "flash_bytes": self.blob().len(),
            "state_bytes": model.state_bytes(),
            "self_test_steps": model.header().tests,
        }))
    }
}

/// Hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// What a device would say, with what to do about it.
fn refused(file: &Path, error: UpdateError) -> Error {
    let remedy = match error {
        UpdateError::Manifest => "name a file that `cellstate sign` wrote",
        _ => "the file is damaged: copy or sign it again",
    };
    Error::new(file, error, remedy)
}
