//! The fuzzers' seeds and all that they ever found, once more: without a fuzzer, in seconds.

use cellstate_targets::{ALL, Target, target};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Runs a target on each of its seeds. What takes long takes long for a reason that must be found.
fn replay(target: &Target) -> usize {
    let mut count = 0;
    for path in files(&root().join("fuzz/seeds").join(target.name)) {
        println!("{}", path.display());
        let begun = Instant::now();
        (target.run)(&std::fs::read(&path).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(10), "{} took {:?}", path.display(), begun.elapsed());
        count += 1;
    }
    count
}

#[test]
fn every_seed_of_the_runtime_passes() {
    for name in ["loader", "sealed", "step", "shaped", "link"] {
        assert!(replay(target(name).unwrap()) > 2, "{name}");
    }
}

#[test]
fn every_seed_of_an_importer_passes() {
    for name in ["keras", "pytorch", "onnx", "tflite", "huggingface", "data"] {
        assert!(replay(target(name).unwrap()) > 0, "{name}");
    }
}

/// Prefixes and single changed bytes of every seed: a small fuzzer for whoever has no other.
#[test]
fn changed_seeds_of_the_runtime_pass() {
    for name in ["loader", "sealed", "step", "shaped", "link"] {
        let target = target(name).unwrap();
        for path in files(&root().join("fuzz/seeds").join(name)).iter().step_by(4) {
            let mut bytes = std::fs::read(path).unwrap();
            for at in (0..bytes.len()).step_by(3) {
                (target.run)(&bytes[..at]);
                let old = std::mem::replace(&mut bytes[at], 0xff);
                (target.run)(&bytes);
                bytes[at] = old;
            }
        }
    }
}

#[test]
fn every_target_has_a_binary_and_seeds() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
    for target in ALL {
        let binary = format!("path = \"fuzz_targets/{}.rs\"", target.name);
        assert!(manifest.contains(&binary), "fuzz/Cargo.toml lacks {}", target.name);
        assert!(root().join("fuzz/fuzz_targets").join(target.name).with_extension("rs").exists());
        for folder in target.models.0 {
            assert!(root().join("tests/models").join(folder).is_dir(), "{folder}");
        }
    }
    assert_eq!(files(&root().join("fuzz/fuzz_targets")).len(), ALL.len());
    assert_eq!(files(&root().join("fuzz/seeds")).len(), ALL.len());
}

#[test]
fn seeds_are_small() {
    let folders = files(&root().join("fuzz/seeds"));
    let sizes = folders.iter().flat_map(|f| files(f)).map(|file| file.metadata().unwrap().len());
    let sum: u64 = sizes.sum();
    assert!(sum < 1 << 20, "{sum} bytes");
}
