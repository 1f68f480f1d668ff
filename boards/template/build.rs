//! The memory layout, and which model goes into the firmware.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    fs::copy("memory.x", out.join("memory.x")).unwrap();
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
    for argument in ["-Tlink.x", "-Tdefmt.x", "--nmagic"] {
        println!("cargo:rustc-link-arg={argument}");
    }
    // A path from this folder, or an absolute one; the environment may name another.
    println!("cargo:rerun-if-env-changed=CELLSTATE_MODEL_RS");
    let source = env::var("CELLSTATE_MODEL_RS").unwrap_or_else(|_| "{{model}}".to_owned());
    let source = Path::new(&env::var("CARGO_MANIFEST_DIR").unwrap()).join(source);
    assert!(source.exists(), "{}: no such file; `cellstate convert --rust` writes it", source.display());
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rustc-env=CELLSTATE_MODEL_RS={}", source.display());
}
