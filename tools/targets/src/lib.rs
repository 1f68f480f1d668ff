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
//! | [`keras`](files::keras), [`pytorch`](files::pytorch), [`onnx`](files::onnx), [`tflite`](files::tflite), [`huggingface`](files::huggingface), [`data`](files::data) | files for the host tool |

#![forbid(unsafe_code)]

pub mod blob;
pub mod exercise;
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

/// All of them.
pub const ALL: [Target; 11] = [
    Target { longest: 4096, ..of("loader", blob::loader) },
    Target { longest: 4096, ..of("sealed", blob::sealed) },
    Target { longest: 4096, kernels: true, ..of("step", blob::step) },
    Target { longest: 512, kernels: true, ..of("shaped", shaped::shaped) },
    Target { longest: 2048, ..of("link", link::link) },
    Target { models: (&["keras", "attention/keras"], &["keras", "h5"]), ..of("keras", files::keras) },
    Target { models: (&["pytorch", "attention/pytorch"], &["safetensors", "pt"]), ..of("pytorch", files::pytorch) },
    Target { models: (&["onnx"], &["onnx"]), ..of("onnx", files::onnx) },
    Target { models: (&["tflite", "tflite/refused"], &["tflite"]), ..of("tflite", files::tflite) },
    of("huggingface", files::huggingface),
    Target { models: (&["keras", "tflite"], &["npz", "npy"]), ..of("data", files::data) },
];

const fn of(name: &'static str, run: fn(&[u8])) -> Target {
    Target { name, run, longest: 1 << 16, models: (&[], &[]), kernels: false }
}

/// The target of a name.
pub fn target(name: &str) -> Option<Target> {
    ALL.into_iter().find(|t| t.name == name)
}
