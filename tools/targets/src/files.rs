//! Files for the host tool, in a folder of the test's own. Where a file has a checksum or is several, the bytes are its parts.

use cellstate_convert::import::{Options, load};
use cellstate_convert::{data as samples, lower};
use std::io::Write;
use std::path::{Path, PathBuf};

thread_local! {
    static FOLDER: Option<tempfile::TempDir> = tempfile::tempdir().ok();
}

/// Writes files and gives their paths; the harness cannot do without.
fn written<const N: usize>(files: [(&str, &[u8]); N]) -> [PathBuf; N] {
    FOLDER.with(|folder| {
        let folder = folder.as_ref().unwrap_or_else(|| panic!("no temporary folder"));
        files.map(|(name, bytes)| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            path
        })
    })
}

/// Reads a model, and folds what can be folded.
fn import(model: &Path, options: Options) {
    if let Ok(network) = load(model, options) {
        let _ = lower::lower(&network);
    }
}

/// What stands before the first zero byte, and behind it.
fn halves(bytes: &[u8]) -> (&[u8], &[u8]) {
    let at = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
    (&bytes[..at], bytes.get(at + 1..).unwrap_or_default())
}

/// An archive whose parts are stored as they are.
fn archive<const N: usize>(parts: [(&str, &[u8]); N]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let plain = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, bytes) in parts {
        let _ = zip.start_file(name, plain).map(|()| zip.write_all(bytes));
    }
    zip.finish().map(std::io::Cursor::into_inner).unwrap_or_default()
}

/// A `.keras` or `.h5` file; or, if it begins with a brace, a configuration, a zero byte, and weights in HDF5: once as two
/// files and once in an archive.
pub fn keras(bytes: &[u8]) {
    if !bytes.starts_with(b"{") {
        let [path] = written([("model.keras", bytes)]);
        return import(&path, Options::default());
    }
    let (config, weights) = halves(bytes);
    let [model, config_file] = written([("model.h5", weights), ("model.json", config)]);
    import(&model, Options { config: Some(&config_file), window: Some(4), ..Options::default() });
    let [path] = written([("parts.keras", &archive([("config.json", config), ("model.weights.h5", weights)]))]);
    import(&path, Options::default());
}

/// A PyTorch file; or, if it begins with a bracket or a number sign, a `model.toml`, a zero byte, and the file. That is a
/// `.safetensors`, what `torch.save` writes, or an `!`, the length of a pickle in two bytes, the pickle, and a tensor's bytes.
pub fn pytorch(bytes: &[u8]) {
    let mapped = bytes.starts_with(b"[") || bytes.starts_with(b"#");
    let (map, file) = if mapped { halves(bytes) } else { (&[][..], bytes) };
    let made;
    let (name, file) = match file {
        [b'!', a, b, rest @ ..] => {
            let (pickle, tensor) = rest.split_at(rest.len().min(usize::from(u16::from_le_bytes([*a, *b]))));
            made = archive([("model/data.pkl", pickle), ("model/byteorder", b"little"), ("model/data/0", tensor)]);
            ("model.pt", &made[..])
        }
        [b'P', b'K', ..] | [0x80, ..] => ("model.pt", file),
        _ => ("model.safetensors", file),
    };
    let [model, map] = written([(name, file), ("model.toml", map)]);
    import(&model, Options { map: mapped.then_some(&*map), ..Options::default() });
}

/// An ONNX file.
pub fn onnx(bytes: &[u8]) {
    let [path] = written([("model.onnx", bytes)]);
    import(&path, Options::default());
}

/// A TensorFlow Lite file.
pub fn tflite(bytes: &[u8]) {
    let [path] = written([("model.tflite", bytes)]);
    import(&path, Options::default());
}

/// A checkpoint: `config.json`, a zero byte, `vocab.json`, a zero byte, `model.safetensors`.
pub fn huggingface(bytes: &[u8]) {
    let (config, rest) = halves(bytes);
    let (vocabulary, weights) = halves(rest);
    let files = [("hf/config.json", config), ("hf/vocab.json", vocabulary), ("hf/model.safetensors", weights)];
    FOLDER.with(|f| f.as_ref().map(|f| std::fs::create_dir_all(f.path().join("hf"))));
    let [path, ..] = written(files);
    import(&path, Options::default());
}

/// Samples: an `.npy`, an `.npz`, or else a `.csv`.
pub fn data(bytes: &[u8]) {
    let name = match bytes {
        [0x93, b'N', ..] => "data.npy",
        [b'P', b'K', ..] => "data.npz",
        _ => "data.csv",
    };
    let [path] = written([(name, bytes)]);
    if let Ok(data) = samples::load(&path) {
        assert!(data.features > 0 && data.steps() > 0 && !data.sequences.is_empty());
    }
}
