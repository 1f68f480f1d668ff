//! `cargo run -p cellstate-targets --example seeds`: writes `fuzz/seeds` anew, but for what fuzzers found.
//!
//! Random networks under the runtime's targets; under the importers' the models of `tests/models` whose parts are files of their
//! own or stand in an archive. Those that are one file are seeds where they lie.

use cellstate_app::link::{Body, MAX_FRAME, Message, encode, frame};
use cellstate_app::protocol::{Named, Request, VERSION};
use cellstate_convert::random::{Rng, random};
use std::io::{Read, Result};
use std::path::Path;

/// The longest blob, and the longest model.
const BLOB: usize = 1500;
const MODEL: usize = 26_000;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let write = |target: &str, name: &str, bytes: &[u8]| {
        let folder = root.join("fuzz/seeds").join(target);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join(name), bytes)
    };
    let mut rng = Rng(7);
    let mut bytes = |n: usize| -> Vec<u8> { (0..n).map(|_| rng.next() as u8).collect() };
    for k in 0..48 {
        write("shaped", &format!("random{k}"), &bytes(64 + 4 * k))?;
    }
    let blobs = (1..).map(|seed| random(&mut Rng(seed * 977)).1).filter(|blob| blob.len() <= BLOB);
    for (k, blob) in blobs.take(32).enumerate() {
        if k % 4 == 0 {
            write("loader", &format!("random{k}"), &blob)?;
        } else if k % 4 == 1 {
            write("sealed", &format!("random{k}"), &blob)?;
        } else {
            write("step", &format!("random{k}"), &[&[100], &bytes(100)[..], &blob].concat())?;
        }
    }
    let piece = || [1, 0, 255].into_iter().collect();
    for (name, request) in [
        ("hello", Request::Hello { version: VERSION, connection: 7 }),
        ("reset", Request::Reset),
        ("sample", Request::Sample([1, -2, 0, 256].into_iter().collect())),
        ("profile", Request::Profile([300].into_iter().collect())),
        ("load", Request::Load { offset: 0, bytes: piece() }),
        ("read", Request::Read { offset: 192 }),
        ("name", Request::Name(Named::Output { head: 0, index: 1 })),
        ("update", Request::UpdateWrite { offset: 192, bytes: piece() }),
    ] {
        let (mut body, mut out) = (Body::new(), [0; MAX_FRAME]);
        let _ = encode(&request, &mut body);
        let len = frame(Message { number: 0, body: &body }, &mut out).unwrap_or(0);
        write("link", name, &[&[7, 0], &out[..len]].concat())?;
    }
    write("data", "labels.csv", b"sequence,a,b,label\n0,1.5,-2,1\n0,1,2,1\n1,0,0,0\n")?;
    let models = root.join("tests/models");
    for (config, weights) in [("whole2.json", "whole2.weights.h5"), ("whole3.json", "whole3.weights.h5")] {
        let [config_bytes, weights] = [config, weights].map(|name| std::fs::read(models.join("keras").join(name)));
        write("keras", config, &[&config_bytes?[..], &[0], &weights?].concat())?;
    }
    for (folder, most) in [("attention/keras", 3), ("keras", 9)] {
        let parts = smallest(&models.join(folder), "keras")?.into_iter().filter_map(|(name, file)| {
            let parts = ["config.json", "model.weights.h5"].map(|part| unpacked(&file, part));
            let [config, weights] = parts.map(std::result::Result::ok);
            Some((name, [&config?[..], &[0], &weights?].concat()))
        });
        for (name, seed) in parts.filter(|(_, seed)| seed.len() <= MODEL).take(most) {
            write("keras", &name, &seed)?;
        }
    }
    for folder in ["pytorch", "attention/pytorch"] {
        let folder = models.join(folder);
        let map = |name: &str| std::fs::read(folder.join(name).with_extension("toml")).unwrap_or_default();
        for (name, file) in smallest(&folder, "safetensors")?.into_iter().take(10) {
            write("pytorch", &name, &[b"#\n", &map(&name)[..], &[0], &file].concat())?;
        }
        for (name, file) in smallest(&folder, "pt")?.into_iter().take(10) {
            let top = name.trim_end_matches(".pt");
            let part = |part: &str| unpacked(&file, &format!("{top}/{part}")).or_else(|_| unpacked(&file, part));
            let (Ok(pickle), Ok(tensor)) = (part("data.pkl"), part("data/0")) else { continue };
            let file = [b"!", &(pickle.len() as u16).to_le_bytes()[..], &pickle, &tensor].concat();
            write("pytorch", &name, &[b"#\n", &map(&name)[..], &[0], &file].concat())?;
        }
    }
    for model in ["gpt2", "llama", "mistral"] {
        let part = |name: &str| std::fs::read(models.join("huggingface").join(model).join(name));
        let seed = [part("config.json")?, part("vocab.json").unwrap_or_default(), part("model.safetensors")?].join(&0);
        write("huggingface", model, &seed)?;
    }
    Ok(())
}

/// The files of a folder with an extension, small ones first.
fn smallest(folder: &Path, extension: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == extension) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            files.push((name, std::fs::read(&path)?));
        }
    }
    files.sort_by_key(|(name, bytes)| (bytes.len(), name.clone()));
    Ok(files)
}

fn unpacked(archive: &[u8], name: &str) -> Result<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(std::io::Cursor::new(archive))?;
    let mut bytes = Vec::new();
    archive.by_name(name)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
