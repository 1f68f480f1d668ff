//! `cargo xtask tutorials`: the commands of `docs/tutorials`, in their order, each tutorial in an empty folder that has the
//! checkout as `cellstate` and what a reader has installed.
//!
//! What a fenced block is, its first line says:
//!
//! | block | what becomes of it |
//! | --- | --- |
//! | `sh run` | run; a command that fails fails the tutorial |
//! | `sh train` | run where Python has what the tutorial trains with |
//! | `sh trained` | run in its place elsewhere: it fetches what was trained |
//! | `sh setup`, `sh hardware` | not run: installs what is there already; needs a board |
//! | `text output` | what the block before it prints, but for lines left out at `...` |
//! | `LANGUAGE file=PATH` | written to this file |

use crate::packages::{GENERATE, run as run_command};
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use std::fmt::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, absolute};
use std::process::{Command, Stdio};
use std::time::Instant;

const FOLDER: &str = "docs/tutorials";
/// The tutorials, the Python module that each trains with, and where it finds dependencies that were built already.
const TUTORIALS: [(&str, Option<&str>, &str); 4] = [
    ("keras-to-microbit", Some("keras"), "target/boards"),
    ("pytorch-to-pico", Some("torch"), "target/boards"),
    ("add-a-sensor", None, "target"),
    ("add-a-board", None, "target/boards"),
];
const TARGETS: [&str; 2] = ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"];

/// Runs all, or the one of this name.
pub(crate) fn run(only: Option<&str>) -> Result<()> {
    let mut cargo = Command::new("cargo");
    // As the tests have it: optimized, and built already where they ran.
    run_command(cargo.args([
        "build",
        "--quiet",
        "--profile",
        "test",
        "-p",
        "cellstate-convert",
        "--bin",
        "cellstate",
    ]))?;
    let wanted: Vec<_> = TUTORIALS.iter().filter(|(name, ..)| only.is_none_or(|only| only == *name)).collect();
    ensure!(!wanted.is_empty(), "no such tutorial; there are {}", TUTORIALS.map(|(name, ..)| name).join(", "));
    for (name, module, builds) in wanted {
        let start = Instant::now();
        let blocks = blocks(&std::fs::read_to_string(Path::new(FOLDER).join(name).with_extension("md"))?)?;
        let commands = one(&blocks, *module, builds).with_context(|| format!("{FOLDER}/{name}.md"))?;
        println!("{name}: {commands} blocks of commands run, {} s", start.elapsed().as_secs());
    }
    Ok(())
}

/// A fenced block: its first line, and the rest.
#[derive(Debug)]
struct Block {
    info: String,
    text: String,
}

fn blocks(page: &str) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (None, Some(info)) => open = Some(Block { info: info.to_owned(), text: String::new() }),
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => writeln!(block.text, "{line}")?,
            (None, None) => {}
        }
    }
    ensure!(open.is_none(), "a block does not end");
    Ok(blocks)
}

/// Runs one tutorial; returns how many of its blocks were run.
fn one(blocks: &[Block], module: Option<&str>, builds: &str) -> Result<usize> {
    let trains = module.is_some_and(has_module);
    let mut script = "set -eu\nexec 2>&1 </dev/null\n".to_owned();
    let mut shown: Vec<(&Block, Option<&Block>)> = Vec::new();
    for (k, Block { info, text }) in blocks.iter().enumerate() {
        if let Some((_, file)) = info.split_once(" file=") {
            ensure!(!text.contains("\nEND_OF_FILE\n"), "{file}: has the line that ends it");
            write!(script, "mkdir -p \"$(dirname '{file}')\"\ncat > '{file}' <<'END_OF_FILE'\n{text}END_OF_FILE\n")?;
        }
        let runs = match info.as_str() {
            "sh run" => true,
            "sh train" => trains,
            "sh trained" => !trains,
            "sh setup" | "sh hardware" => false,
            _ if info.starts_with("sh") => bail!("`{info}` does not say whether it is run"),
            _ => continue,
        };
        if runs {
            write!(script, "printf '\\0'\n{text}")?;
            let output = blocks.get(k + 1).filter(|next| next.info == "text output");
            // What is trained here has other figures than what was trained for the page.
            shown.push((&blocks[k], output.filter(|_| !trains)));
        }
    }
    if let (Some(module), false) = (module, trains) {
        println!("*** NOT TRAINED: python3 has no {module}; the tutorial goes on with the model that is committed ***");
    }
    let said = session(&script, builds)?;
    let mut parts = said.split('\0').skip(1);
    for (block, expected) in &shown {
        let said = parts.next().with_context(|| format!("never came to:\n{}", block.text))?;
        if let Some(expected) = expected {
            let mut lines = said.lines().map(str::trim_end);
            for line in expected.text.lines().map(str::trim_end).filter(|line| *line != "..." && !line.is_empty()) {
                let text = &block.text;
                ensure!(lines.any(|l| l == line), "{said}is printed by\n{text}and not in its place this line:\n{line}");
            }
        }
    }
    ensure!(!shown.is_empty(), "no block is run");
    Ok(shown.len())
}

fn has_module(module: &str) -> bool {
    let status =
        Command::new("python3").args(["-c", &format!("import {module}, numpy")]).stderr(Stdio::null()).status();
    status.is_ok_and(|s| s.success())
}

/// What a script prints, with builds in this folder.
fn session(script: &str, builds: &str) -> Result<String> {
    let folder = tempfile::tempdir()?;
    symlink(absolute(".")?, folder.path().join("cellstate"))?;
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).current_dir(folder.path());
    let mut paths = vec![absolute("target/debug")?];
    if script.contains("cargo generate") {
        paths.push(GENERATE.folder()?);
    }
    let old = std::env::var_os("PATH").unwrap_or_default();
    bash.env("PATH", std::env::join_paths(paths.into_iter().chain(std::env::split_paths(&old)))?);
    for target in TARGETS {
        Toolchain::for_target(target)?.apply(&mut bash);
    }
    bash.env("CARGO_TARGET_DIR", absolute(builds)?);
    for target in TARGETS {
        // As the boards are built.
        let flags = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
        bash.env(flags, "-Dwarnings");
    }
    let output = bash.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{}, after\n{}", output.status, said.replace('\0', "---\n"));
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(page: &str) -> Result<usize> {
        one(&blocks(page)?, None, "target")
    }

    #[test]
    fn commands_run_in_order_and_their_output_counts() {
        let good = "```text file=a/b\nhello\n```\nthen\n```sh run\ncat a/b; echo 2\n```\n```text output\n...\n2\n```\n```sh hardware\nfalse\n```\n";
        assert_eq!(page(good).unwrap(), 1);
        assert!(page(&good.replace("...\n2", "3")).is_err());
        assert!(page(&good.replace("echo 2", "false")).is_err());
        assert!(page(&good.replace("sh run", "sh")).is_err());
        assert!(page("nothing to run").is_err());
    }
}
