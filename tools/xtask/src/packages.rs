//! Debian packages, installed where that is possible without asking.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::sync::Once;

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
