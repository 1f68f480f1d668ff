//! What is wrong with an input file, in one sentence.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// A result of reading a file.
pub type Result<T> = std::result::Result<T, Error>;

/// What is wrong with a file: where, why, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}{cause}; {remedy}", file.display(), place.as_ref().map(|p| format!("{p}: ")).unwrap_or_default())]
pub struct Error {
    /// The file.
    pub file: PathBuf,
    /// The layer, array, row or key in the file, if it is about one.
    pub place: Option<String>,
    /// What is wrong.
    pub cause: String,
    /// What to do.
    pub remedy: String,
}

impl Error {
    /// About a file as a whole.
    pub fn new(file: &Path, cause: impl Display, remedy: impl Display) -> Self {
        Self { file: file.to_owned(), place: None, cause: cause.to_string(), remedy: remedy.to_string() }
    }

    /// About a place in the file.
    #[must_use]
    pub fn at(self, place: impl Display) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }

    /// About a layer.
    #[must_use]
    pub fn in_layer(self, name: &str) -> Self {
        self.at(format_args!("layer \"{name}\""))
    }
}

/// A file's bytes.
pub(crate) fn read(file: &Path) -> Result<Vec<u8>> {
    std::fs::read(file).map_err(|e| Error::new(file, e, "check the path"))
}

/// A zip archive and what may be read from it: a bomb is an error, not a full memory.
pub(crate) struct Archive<'a> {
    file: &'a Path,
    zip: zip::ZipArchive<std::io::Cursor<Vec<u8>>>,
}

/// The most that one file in an archive may hold when unpacked: 1 GiB.
const UNPACKED_LIMIT: u64 = 1 << 30;

impl<'a> Archive<'a> {
    pub(crate) fn open(file: &'a Path) -> Result<Self> {
        let bytes = std::io::Cursor::new(read(file)?);
        let zip = zip::ZipArchive::new(bytes).map_err(|e| Error::new(file, e, "the file is damaged: save it again"))?;
        Ok(Self { file, zip })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.zip.file_names().flatten().map(std::borrow::Cow::into_owned).collect()
    }

    pub(crate) fn unpack(&mut self, name: &str) -> Result<Vec<u8>> {
        use std::io::Read;
        let damaged = |e: &dyn Display| Error::new(self.file, e, "the file is damaged: save it again").at(name);
        let entry = self.zip.by_name(name).map_err(|e| damaged(&e))?;
        let too_large = || damaged(&"it unpacks to more than 1 GiB");
        if entry.size() > UNPACKED_LIMIT {
            return Err(too_large());
        }
        // The declared size may be a lie.
        let mut out = Vec::new();
        entry.take(UNPACKED_LIMIT + 1).read_to_end(&mut out).map_err(|e| damaged(&e))?;
        if out.len() as u64 > UNPACKED_LIMIT {
            return Err(too_large());
        }
        Ok(out)
    }
}
