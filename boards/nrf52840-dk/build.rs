//! The memory layout, and which model goes into the firmware.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    fs::copy("memory.x", out.join("memory.x")).unwrap();
    println!("cargo:rustc-link-search={}", out.display());
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo:rustc-link-arg={argument}");
    }
    println!("cargo:rerun-if-changed=memory.x");

    // A source file that `cellstate convert --rust` wrote; the watch model unless the environment names another.
    println!("cargo:rerun-if-env-changed=CELLSTATE_MODEL_RS");
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap());
    let model =
        env::var("CELLSTATE_MODEL_RS").map_or_else(|_| here.join("../../tests/models/watch/watch.rs"), PathBuf::from);
    assert!(
        Path::new(&model).exists(),
        "{}: no such file; set CELLSTATE_MODEL_RS to the absolute path of what `cellstate convert --rust` wrote",
        model.display()
    );
    println!("cargo:rerun-if-changed={}", model.display());
    println!("cargo:rustc-env=CELLSTATE_MODEL_RS={}", model.display());
}
