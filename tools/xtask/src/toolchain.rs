//! A compiler for bare-metal targets: rustup's where the target is there or can be added, else Debian's `rustc-web`, whose
//! core library is built once and kept outside `target/`.

use crate::packages::{has, install, run};
use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

const HOST: &str = "x86_64-unknown-linux-gnu";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";

/// What `cargo` needs in its environment to build for a target.
pub(crate) struct Toolchain {
    rustc: Option<PathBuf>,
}

impl Toolchain {
    /// A toolchain that can build for `target`.
    pub(crate) fn for_target(target: &str) -> Result<Self> {
        if installed(target) {
            return Ok(Self { rustc: None });
        }
        if has("rustup") {
            eprintln!("adding rustup target {target}");
            let added = Command::new("timeout").args(["60", "rustup", "target", "add", target]).output();
            if added.is_ok_and(|o| o.status.success()) && installed(target) {
                return Ok(Self { rustc: None });
            }
            eprintln!("rustup could not add it; using Debian's rustc-web");
        }
        Ok(Self { rustc: Some(debian(target)?) })
    }

    /// Whether it has clippy, as rustup's has.
    pub(crate) fn has_clippy(&self) -> bool {
        self.rustc.is_none()
    }

    /// Points a cargo command at this toolchain.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Some(rustc) = &self.rustc {
            command.env("RUSTC", rustc);
        }
    }
}

/// Whether the present toolchain has a core library for `target`.
fn installed(target: &str) -> bool {
    let output = Command::new("rustc").args(["--print", "target-libdir", "--target", target]).output();
    output.is_ok_and(|o| o.status.success() && Path::new(String::from_utf8_lossy(&o.stdout).trim()).is_dir())
}

/// A wrapper of Debian's compiler with a core library for `target`.
fn debian(target: &str) -> Result<PathBuf> {
    let debian_version = || {
        let output = Command::new(DEBIAN_RUSTC).arg("-V").output().ok()?;
        Some(String::from_utf8_lossy(&output.stdout).split_whitespace().nth(1)?.to_owned())
    };
    let needed = ["rustc-web", "cargo-web", "rust-web-src", "lld"];
    let sources =
        Path::new("/usr/lib/rustlib/src/rust/library/core").is_dir() || Path::new("/usr/src/rustc-web").is_dir();
    if debian_version().is_none() || !Path::new(DEBIAN_CARGO).is_file() || !has("ld.lld") || !sources {
        install(&needed)?;
    }
    let version = debian_version().context("rustc-web does not run")?;
    let out = cache()?.join(format!("sysroot-{version}"));
    wrapper(&out)?;
    let libraries = out.join("lib/rustlib").join(target).join("lib");
    if !libraries.is_dir() {
        eprintln!("building the core library for {target}, once, into {}", out.display());
        core_library(&out, target, &libraries)?;
    }
    Ok(out.join("bin/rustc"))
}

/// Where things are kept that outlive `cargo clean` and a clone.
fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set")?.join("cellstate"))
}

/// `bin/rustc` with its own sysroot, whose host part is Debian's.
fn wrapper(out: &Path) -> Result<()> {
    let output = Command::new(DEBIAN_RUSTC).args(["--print", "sysroot"]).output()?;
    let sysroot = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let host = out.join("lib/rustlib").join(HOST);
    fs::create_dir_all(host.join("bin"))?;
    fs::create_dir_all(out.join("bin"))?;
    link(&sysroot.join("lib/rustlib").join(HOST).join("lib"), &host.join("lib"))?;
    link(Path::new("/usr/bin/ld.lld"), &host.join("bin/rust-lld"))?;
    let rustc = out.join("bin/rustc");
    fs::write(&rustc, format!("#!/bin/sh\nexec {DEBIAN_RUSTC} --sysroot \"{}\" \"$@\"\n", out.display()))?;
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

fn link(to: &Path, at: &Path) -> Result<()> {
    if fs::symlink_metadata(at).is_err() {
        symlink(to, at).with_context(|| at.display().to_string())?;
    }
    Ok(())
}

/// Builds core, alloc and the compiler's builtins, and puts them in place in one rename.
fn core_library(out: &Path, target: &str, libraries: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let empty = work.path().join("empty");
    fs::create_dir_all(empty.join("src"))?;
    fs::write(empty.join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(
        empty.join("Cargo.toml"),
        "[package]\nname = \"empty\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[profile.release]\nopt-level = 3\n\
         codegen-units = 1\npanic = \"abort\"\n\n[workspace]\n",
    )?;
    let mut build = Command::new(DEBIAN_CARGO);
    build.current_dir(&empty).env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
    build.env("RUSTFLAGS", "-Cembed-bitcode=yes -Cdebuginfo=0 -Cforce-frame-pointers=no");
    build.env("CARGO_TARGET_DIR", work.path().join("target")).env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN");
    run(build.args(["build", "-q", "--release", "-Zbuild-std=core,alloc", "--target", target]))?;

    let parent = libraries.parent().context("a target's folder")?;
    fs::create_dir_all(parent)?;
    let staged = tempfile::tempdir_in(out)?;
    for entry in fs::read_dir(work.path().join("target").join(target).join("release/deps"))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let wanted = ["libcore-", "liballoc-", "libcompiler_builtins-", "librustc_std_workspace_core-"];
        if path.extension().is_some_and(|e| e == "rlib") && wanted.iter().any(|w| name.starts_with(w)) {
            fs::copy(&path, staged.path().join(name))?;
        }
    }
    fs::set_permissions(staged.path(), fs::Permissions::from_mode(0o755))?;
    let staged = staged.keep();
    fs::rename(&staged, libraries).or_else(|e| {
        // Another process may have been first.
        let _ = fs::remove_dir_all(&staged);
        if libraries.is_dir() { Ok(()) } else { Err(e) }
    })?;
    Ok(())
}
