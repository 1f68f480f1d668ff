//! The HAL's memory layout, and which model goes into the firmware.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rustc-link-arg=-Tlinkall.x");

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
