//! Programs that the commands need: Debian packages and cargo's own, installed where that is possible without asking.

use anyhow::{Context, Result, bail};
use std::path::{PathBuf, absolute};
use std::process::Command;
use std::sync::Once;

/// A program from crates.io.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
}

/// Where they are built.
const TOOLS: &str = "target/tools";
/// What makes a project of `boards/template`, without what it needs for the network: the last version that Rust
/// 1.89 can build.
pub(crate) const GENERATE: Tool = Tool { name: "cargo-generate", version: "0.23.8" };
/// What looks at licences and sources.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2" };

impl Tool {
    /// The folder that has it, built once.
    pub(crate) fn folder(&self) -> Result<PathBuf> {
        let Self { name, version } = self;
        let folder = absolute(TOOLS)?;
        if !folder.join("bin").join(name).is_file() {
            eprintln!("building {name} {version}, once, into {TOOLS}");
            let mut cargo = Command::new("cargo");
            cargo.args(["install", "--quiet", name, "--version", &format!("={version}"), "--locked", "--debug"]);
            cargo.args(["--no-default-features", "--root"]).arg(&folder);
            run(cargo.env("CARGO_PROFILE_DEV_DEBUG", "0"))?;
        }
        Ok(folder.join("bin"))
    }

    /// The program itself.
    pub(crate) fn program(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join(self.name))
    }
}

/// Whether a program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

/// Installs Debian packages, and says so. Only as root, and only where there is `apt-get`.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    static UPDATE: Once = Once::new();
    let list = packages.join(" ");
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.trim_ascii() == b"0");
    if !(root && has("apt-get")) {
        bail!("missing packages: as root, run `apt-get install {list}`");
    }
    eprintln!("installing Debian packages: {list}");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq").args(arguments);
        run(&mut command)
    };
    UPDATE.call_once(|| drop(apt(&["update"])));
    apt(&[&["install", "-y", "--no-install-recommends"], packages].concat())
        .with_context(|| format!("apt-get install {list}"))
}

/// Runs a command; its output is shown only if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    if output.status.success() {
        return Ok(());
    }
    bail!("{command:?} failed\n{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
