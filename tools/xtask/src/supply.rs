//! What the project is made of: licences, sources and advisories of its dependencies, the device crate's few, `unsafe`, and whether
//! it could be published.

use crate::packages::{DENY, run};
use crate::physical;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::process::Command;

/// Workspaces beside the physical boards'.
const MANIFESTS: [&str; 3] = ["Cargo.toml", "boards/qemu/Cargo.toml", "fuzz/Cargo.toml"];
/// Where the device crate's dependencies are listed, a row of a table each.
const LIST: &str = "docs/security.md";
/// Crates whose roots may have `unsafe` in them, and why.
const UNSAFE: [(&str, &str); 1] = [("src/lib.rs", "the kernels")];
/// Roots of all crates that are not firmware.
const ROOTS: [&str; 9] = [
    "src/lib.rs",
    "boards/app/src/lib.rs",
    "boards/store/src/lib.rs",
    "tools/convert/src/lib.rs",
    "tools/convert/src/main.rs",
    "tools/link/src/lib.rs",
    "tools/reference/src/lib.rs",
    "tools/targets/src/lib.rs",
    "tools/xtask/src/main.rs",
];

/// Licences, sources and versions of everything, and advisories where their database can be had.
pub(crate) fn deny() -> Result<()> {
    let deny = DENY.program()?;
    let boards = physical::BOARDS.map(|(folder, ..)| format!("boards/{folder}/Cargo.toml"));
    for manifest in MANIFESTS.map(str::to_owned).into_iter().chain(boards) {
        let mut command = Command::new(&deny);
        command.args(["--manifest-path", &manifest, "--log-level", "error", "--config", "deny.toml"]);
        run(command.args(["check", "licenses", "bans", "sources"])).context(manifest)?;
    }
    println!("licences, versions and sources are as deny.toml has them");
    let mut fetch = Command::new(&deny);
    if fetch.args(["--log-level", "off", "fetch", "db"]).status().is_ok_and(|s| s.success()) {
        let mut command = Command::new(&deny);
        return run(command.args(["check", "advisories"]));
    }
    println!("advisories were not looked at: their database cannot be had from here");
    Ok(())
}

/// The device crate's dependencies are those that are listed, and no others.
pub(crate) fn dependencies() -> Result<()> {
    let listed = std::fs::read_to_string(LIST).context(LIST)?;
    let names = |line: &str| Some(line.strip_prefix("| `")?.split_once('`')?.0.to_owned());
    let table = listed.lines().skip_while(|l| !l.starts_with("## What the device crate depends on"));
    let listed: BTreeSet<String> = table.take_while(|l| !l.starts_with("## Semver")).filter_map(names).collect();
    let mut tree = Command::new("cargo");
    // What runs on the device: no macros, which run in the compiler.
    tree.args([
        "tree",
        "-p",
        "cellstate",
        "--locked",
        "-e",
        "normal,no-proc-macro",
        "--prefix",
        "none",
        "--no-dedupe",
        "-f",
        "{lib}",
    ]);
    let output = tree.args(["--target", "thumbv7em-none-eabihf"]).output()?;
    ensure!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let versions: BTreeSet<String> = String::from_utf8(output.stdout)?.lines().map(str::to_owned).collect();
    let names = versions.iter().filter_map(|line| line.split(' ').next()).filter(|n| *n != "cellstate");
    let found: BTreeSet<String> = names.map(str::to_owned).collect();
    ensure!(found.len() + 1 == versions.len(), "two versions of one crate: {versions:?}");
    let (new, gone): (Vec<_>, Vec<_>) = (found.difference(&listed).collect(), listed.difference(&found).collect());
    ensure!(new.is_empty() && gone.is_empty(), "{LIST} must list {new:?}, and must not list {gone:?}");
    println!("{} dependencies of the device crate, all listed in {LIST}", found.len());
    Ok(())
}

/// Every crate forbids `unsafe` but those that are named.
pub(crate) fn without_unsafe() -> Result<()> {
    for root in ROOTS {
        let text = std::fs::read_to_string(root).context(root)?;
        let allowed = UNSAFE.iter().find(|(name, _)| *name == root);
        ensure!(
            allowed.is_some() || text.contains("#![forbid(unsafe_code)]"),
            "{root} must say #![forbid(unsafe_code)]"
        );
    }
    Ok(())
}

/// Packs the device crate as the registry would have it, and builds what is in the pack.
pub(crate) fn publish() -> Result<()> {
    run(Command::new("cargo").args(["publish", "--quiet", "--dry-run", "-p", "cellstate", "--locked", "--allow-dirty"]))
}
