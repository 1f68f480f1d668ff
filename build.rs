//! Chooses the kernels from the target: `cellstate_kernel` is the name of a file in `src/kernel/`.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=CARGO_ENCODED_RUSTFLAGS");
    println!(
        "cargo:rustc-check-cfg=cfg(cellstate_kernel, values(\"portable\", \"dsp\", \"thumbv7m\", \"thumbv6m\", \
         \"riscv32\", \"x86_64\"))"
    );
    println!("cargo:rustc-check-cfg=cfg(cellstate_armv8m)");
    let target = env::var("TARGET").unwrap_or_default();
    if target.starts_with("thumbv8m.main") {
        println!("cargo:rustc-cfg=cellstate_armv8m");
    }
    let forced = env::var_os("CARGO_FEATURE_PORTABLE").is_some();
    println!("cargo:rustc-cfg=cellstate_kernel=\"{}\"", if forced { "portable" } else { kernel(&target) });
}

fn kernel(target: &str) -> &'static str {
    match target.split('-').next().unwrap_or_default() {
        "thumbv7em" => "dsp",
        "thumbv8m.main" if mainline_has_dsp() => "dsp",
        "thumbv7m" | "thumbv8m.main" => "thumbv7m",
        "thumbv6m" | "thumbv8m.base" => "thumbv6m",
        "riscv32im" | "riscv32imc" | "riscv32imac" | "riscv32imafc" | "riscv32ima" => "riscv32",
        "x86_64" => "x86_64",
        _ => "portable",
    }
}

/// Armv8-M leaves the DSP instructions to the core: ask the compiler's flags for one that has them.
///
/// `cfg(target_feature = "dsp")` would tell, but is not visible on stable Rust.
fn mainline_has_dsp() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let cores = ["cortex-m33", "cortex-m35p", "cortex-m52", "cortex-m55", "cortex-m85"];
    flags.contains("+dsp") || cores.iter().any(|core| flags.contains(core))
}
