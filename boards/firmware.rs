//! What the boards' build scripts share: the linker's arguments, and which model goes into the firmware.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Links with these arguments, and with the folder's `memory.x` where the HAL brings none; names the source file of the model,
/// which `cellstate convert --rust` wrote: that of `tests/models/<model>` unless the environment names another.
pub(crate) fn set_up(arguments: &[&str], model: &str) {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    if Path::new("memory.x").exists() {
        fs::copy("memory.x", out.join("memory.x")).unwrap();
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rerun-if-changed=memory.x");
    }
    for argument in arguments {
        println!("cargo:rustc-link-arg={argument}");
    }
    println!("cargo:rerun-if-env-changed=CELLSTATE_MODEL_RS");
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap());
    let usual = here.join("../../tests/models").join(model).join(format!("{model}.rs"));
    let source = env::var("CELLSTATE_MODEL_RS").map_or(usual, PathBuf::from);
    assert!(
        source.exists(),
        "{}: no such file; set CELLSTATE_MODEL_RS to the absolute path of what `cellstate convert --rust` wrote",
        source.display()
    );
    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rustc-env=CELLSTATE_MODEL_RS={}", source.display());
}
