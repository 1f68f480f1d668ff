//! The memory of the machine that a target is emulated on, and where the emulator puts the trials.

use std::path::PathBuf;
use std::{env, fs};

/// Linker script, and address of the trials, by the beginning of the target's name.
const MACHINES: [(&str, &str, u32); 4] = [
    ("thumbv8m", "FLASH : ORIGIN = 0x10000000, LENGTH = 1M\n RAM : ORIGIN = 0x38000000, LENGTH = 1M", 0x8000_0000),
    ("riscv32", "FLASH : ORIGIN = 0x80000000, LENGTH = 1M\n RAM : ORIGIN = 0x80100000, LENGTH = 1M", 0x8040_0000),
    // The nRF51 of the micro:bit, the smallest machine: the trials' state and the stack share 16 KB.
    ("thumbv6m", "FLASH : ORIGIN = 0x00000000, LENGTH = 64K\n RAM : ORIGIN = 0x20000000, LENGTH = 16K", 0x0001_0000),
    ("thumbv7", "FLASH : ORIGIN = 0x00000000, LENGTH = 64K\n RAM : ORIGIN = 0x20000000, LENGTH = 1M", 0x0001_0000),
];

fn main() {
    let out = PathBuf::from(env::var("OUT_DIR").unwrap());
    let target = env::var("TARGET").unwrap();
    let (_, memory, trials) = *MACHINES
        .iter()
        .find(|(prefix, ..)| target.starts_with(prefix))
        .unwrap_or_else(|| panic!("no emulated machine for {target}"));
    let mut script = format!("MEMORY {{\n {memory}\n}}\n");
    if target.starts_with("riscv32") {
        for region in ["TEXT", "RODATA"] {
            script += &format!("REGION_ALIAS(\"REGION_{region}\", FLASH);\n");
        }
        for region in ["DATA", "BSS", "HEAP", "STACK"] {
            script += &format!("REGION_ALIAS(\"REGION_{region}\", RAM);\n");
        }
    }
    fs::write(out.join("memory.x"), script).unwrap();
    println!("cargo:rustc-link-search={}", out.display());
    if target.starts_with("riscv32") {
        println!("cargo:rustc-link-arg=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-check-cfg=cfg(small)");
    if target.starts_with("thumbv6m") {
        println!("cargo:rustc-cfg=small");
    }
    println!("cargo:rustc-env=TRIALS={trials}");
    println!("cargo:rerun-if-changed=build.rs");
}
