//! Reading blobs and data, writing outputs whole or not at all, and the progress bar.

use cellstate::Model;
use cellstate_convert::data::{self, Sequences};
use cellstate_store::manifest;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::path::Path;

/// A blob read from a file into aligned memory.
pub(super) struct Blob {
    words: Vec<u32>,
    len: usize,
    path: String,
}

impl Blob {
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let bytes = std::fs::read(path)
            .map_err(|e| format!("{shown}: {e}; name a .cell file that `cellstate convert` wrote"))?;
        Ok(Self { words: aligned(&bytes), len: bytes.len(), path: shown })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    pub(super) fn model(&self) -> Result<Model<'_>, String> {
        let update = self.bytes().starts_with(&manifest::MAGIC);
        let remedy =
            if update { "it is an update: look at it by `cellstate check`" } else { "convert the model again" };
        Model::parse(self.bytes()).map_err(|e| format!("{}: {e}; {remedy}", self.path))
    }
}

/// A copy of bytes that begins at a multiple of 4.
pub(super) fn aligned(bytes: &[u8]) -> Vec<u32> {
    let word = |c: &[u8]| u32::from_le_bytes(std::array::from_fn(|k| c.get(k).copied().unwrap_or(0)));
    bytes.chunks(4).map(word).collect()
}

/// Data of a model whose input streams have so many features each; samples stand in rows of the widest.
pub(super) fn sequences(path: &Path, streams: &[usize], layer: &str) -> Result<Sequences, String> {
    let data = data::load(path).map_err(|e| e.to_string())?;
    data.fit_streams(streams.len()).map_err(|e| format!("{}: {e}", path.display()))?;
    let inputs = streams.iter().copied().max().unwrap_or(0);
    if data.features != inputs {
        return Err(format!(
            "{}: its samples have {} features and layer \"{layer}\" takes {inputs}; give data with the columns that the model was \
             trained on",
            path.display(),
            data.features,
        ));
    }
    Ok(data)
}

/// The features of each of a model's input streams.
pub(super) fn widths(model: &Model) -> Vec<usize> {
    (0..model.streams()).map(|stream| model.header().stream_width(stream)).collect()
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let failed = |e: std::io::Error| {
        format!("{}: {e}; name an output in a folder that exists and can be written", path.display())
    };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.persist(path).map_err(|e| failed(e.error))?;
    Ok(())
}

/// Prints text; a reader such as `head` may close the pipe when it has enough.
pub(super) fn print(text: &str) -> Result<(), String> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(()),
    }
}

/// A bar on standard error over `len` sequences, silent where that is not a terminal.
pub(super) fn progress(what: &str, len: usize) -> ProgressBar {
    progress_in("sequences", what, len)
}

/// A bar on standard error over `len` of a unit, silent where that is not a terminal.
pub(super) fn progress_in(unit: &str, what: &str, len: usize) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template(&format!("{{prefix}} {{wide_bar}} {{pos}}/{{len}} {unit}, {{eta}}"));
    let bar = ProgressBar::with_draw_target(Some(len as u64), target).with_prefix(what.to_owned());
    if let Ok(style) = style { bar.with_style(style) } else { bar }
}
