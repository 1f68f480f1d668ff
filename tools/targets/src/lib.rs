//! What fuzzers feed with bytes: every part of cellstate that reads what others wrote.
//!
//! A target is a function from bytes to nothing that panics where a promise is broken. `fuzz/` calls them from libFuzzer;
//! `tests/replay.rs` calls them with the committed seeds and with all that ever broke one.
//!
//! | target | what the bytes are |
//! | --- | --- |
//! | [`loader`](blob::loader) | a blob as it came |
//! | [`sealed`](blob::sealed) | a blob whose lengths and checksum are set right first |
//! | [`step`](blob::step) | commands to a session, then a blob as of `sealed` |
//! | [`shaped`](shaped::shaped) | choices from which a header is made whose words have the right number, then commands |
//! | [`link`](link::link) | bytes on a serial line, and messages among them |
//! | `keras`, `pytorch`, `onnx`, `tflite`, `huggingface`, `data` | files for the host tool: see `files.rs` |

#![forbid(unsafe_code)]
#![allow(clippy::missing_panics_doc, reason = "a panic is how a target says that a promise is broken")]

pub mod blob;
pub mod exercise;
#[cfg(feature = "files")]
pub mod files;
pub mod link;
pub mod shaped;

/// A target: its name in `fuzz/fuzz_targets`, its function, and the folders of `tests/models` whose files are seeds too.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// Takes any bytes.
    pub run: fn(&[u8]),
    /// The longest input that a fuzzer should try.
    pub longest: usize,
    /// Folders of `tests/models`, and the extensions of their files that are seeds.
    pub models: (&'static [&'static str], &'static [&'static str]),
    /// Whether it runs the kernels, whose `unsafe` the address sanitizer looks after.
    pub kernels: bool,
}

/// All of them: those of the runtime, then those of the host tool.
pub const ALL: &[Target] = &[
    Target { longest: 1024, ..of("loader", blob::loader) },
    Target { longest: 1024, ..of("sealed", blob::sealed) },
    Target { longest: 1536, kernels: true, ..of("step", blob::step) },
    Target { longest: 512, kernels: true, ..of("shaped", shaped::shaped) },
    Target { longest: 600, ..of("link", link::link) },
    #[cfg(feature = "files")]
    Target { models: (&["keras", "attention/keras"], &["keras", "h5"]), ..of("keras", files::keras) },
    #[cfg(feature = "files")]
    Target { models: (&["pytorch", "attention/pytorch"], &["safetensors", "pt"]), ..of("pytorch", files::pytorch) },
    #[cfg(feature = "files")]
    Target { models: (&["onnx"], &["onnx"]), ..of("onnx", files::onnx) },
    #[cfg(feature = "files")]
    Target { models: (&["tflite", "tflite/refused"], &["tflite"]), ..of("tflite", files::tflite) },
    #[cfg(feature = "files")]
    of("huggingface", files::huggingface),
    #[cfg(feature = "files")]
    Target { longest: 1 << 14, models: (&["keras", "tflite"], &["npz", "npy"]), ..of("data", files::data) },
];

const fn of(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, longest: 1 << 16, models: (&[], &[]), kernels: false }
}

/// The target of a name.
pub fn target(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|t| t.name == name)
}
