//! `cargo xtask fuzz`: runs the fuzzers for a while each, and says how often and how far they came.

use crate::packages::run;
use anyhow::{Context, Result, bail};
use cellstate_targets::{ALL, Target, target};
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use std::fs::{self, File};
use std::path::{Path, absolute};
use std::process::Command;

const VERSION: &str = "0.13.2";
const TOOLS: &str = "target/tools";
/// The most memory that an input may take, in MiB, and the most seconds.
const MEMORY: u32 = 1024;
const TIMEOUT: u32 = 10;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// These targets alone.
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Look after the kernels' `unsafe`: three times slower.
    #[arg(long)]
    address_sanitizer: bool,
}

pub(crate) fn fuzz(arguments: &Arguments) -> Result<()> {
    let names: Vec<&str> = ALL.iter().map(|t| t.name).collect();
    let chosen: Vec<&Target> = match &arguments.targets[..] {
        [] => ALL.iter().collect(),
        some => some
            .iter()
            .map(|name| {
                target(name).with_context(|| format!("no target is called {name}; there are {}", names.join(", ")))
            })
            .collect::<Result<_>>()?,
    };
    tool()?;
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["target", "executions", "per second", "edges", "features", "inputs kept", "peak MiB"]);
    let mut sum = 0;
    let mut found = Vec::new();
    for target in chosen {
        let (statistics, passed) = one(target, arguments)?;
        sum += statistics.executions;
        let Statistics { executions, per_second, edges, features, kept, memory } = statistics;
        let numbers = [executions, per_second, edges, features, kept, memory].map(|n| n.to_string());
        table.add_row([target.name.to_owned()].into_iter().chain(numbers));
        if !passed {
            found.push(target.name);
        }
    }
    println!("{table}\n{sum} executions in all");
    if !found.is_empty() {
        let logs: Vec<String> = found.iter().map(|name| log(name)).collect();
        bail!("an input broke {}: see fuzz/artifacts and {}", found.join(", "), logs.join(", "));
    }
    Ok(())
}

fn log(name: &str) -> String {
    format!("target/fuzz/{name}.log")
}

/// A nightly toolchain, whose compiler counts edges, and cargo-fuzz, built once.
fn tool() -> Result<()> {
    let nightly = Command::new("cargo").args(["+nightly", "--version"]).output();
    if !nightly.is_ok_and(|o| o.status.success()) {
        bail!("fuzzing needs a nightly toolchain: rustup toolchain install nightly");
    }
    if !Path::new(TOOLS).join("bin/cargo-fuzz").is_file() {
        eprintln!("building cargo-fuzz {VERSION}, once, into {TOOLS}");
        let mut cargo = Command::new("cargo");
        cargo.args(["install", "--quiet", "cargo-fuzz", "--locked", "--version", &format!("={VERSION}"), "--root"]);
        run(cargo.arg(absolute(TOOLS)?))?;
    }
    Ok(())
}

/// What libFuzzer says at its end.
#[derive(Default)]
struct Statistics {
    executions: u64,
    per_second: u64,
    edges: u64,
    features: u64,
    kept: u64,
    memory: u64,
}

/// Runs a target; says what it reached, and whether nothing broke it.
fn one(target: &Target, arguments: &Arguments) -> Result<(Statistics, bool)> {
    let name = target.name;
    // The runtime's targets by themselves: the fuzzer looks at every counter of the program after each input.
    let runtime = target.longest < 1 << 12;
    let sanitizer = if arguments.address_sanitizer { "address" } else { "none" };
    let build = format!("target/fuzz/{}-{sanitizer}", if runtime { "runtime" } else { "files" });
    let folders = [format!("fuzz/corpus/{name}"), format!("fuzz/seeds/{name}")];
    fs::create_dir_all(&folders[0])?;
    fs::create_dir_all("target/fuzz")?;
    let mut cargo = Command::new(Path::new(TOOLS).join("bin/cargo-fuzz"));
    // As `cargo +nightly fuzz` would: it calls the cargo that it is told of.
    cargo.args(["fuzz", "run", "--release", "--sanitizer", sanitizer]);
    cargo.env("RUSTUP_TOOLCHAIN", "nightly").env_remove("CARGO").env("CARGO_TARGET_DIR", absolute(build)?);
    if runtime {
        cargo.arg("--no-default-features");
    }
    cargo.arg(name).args(folders);
    cargo.args(target.models.0.iter().map(|folder| format!("tests/models/{folder}")));
    cargo.arg("--").args([
        format!("-max_total_time={}", arguments.seconds),
        format!("-max_len={}", target.longest),
        format!("-timeout={TIMEOUT}"),
        format!("-rss_limit_mb={MEMORY}"),
        "-print_final_stats=1".to_owned(),
    ]);
    // Importers read files, thousands a second.
    let memory = Path::new("/dev/shm");
    let temporary = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }?;
    cargo.env("TMPDIR", temporary.path());
    eprintln!("{name}: {} s, into {}", arguments.seconds, log(name));
    let status =
        cargo.stdout(File::create(log(name))?).stderr(File::options().append(true).open(log(name))?).status()?;
    let text = String::from_utf8_lossy(&fs::read(log(name))?).into_owned();
    let statistics = statistics(&text);
    if statistics.executions == 0 {
        let last: Vec<&str> = text.lines().rev().take(8).collect();
        bail!("{name} did not run:\n{}", last.into_iter().rev().collect::<Vec<_>>().join("\n"));
    }
    Ok((statistics, status.success()))
}

/// The numbers of a log: the last line of progress, and the final statistics.
fn statistics(log: &str) -> Statistics {
    let number = |text: &str| text.split(['/', ' ']).find(|w| !w.is_empty()).and_then(|w| w.parse().ok()).unwrap_or(0);
    let stat = |key: &str| log.lines().rev().find_map(|l| l.strip_prefix(key)).map_or(0, number);
    let progress = log.lines().rev().find(|l| l.starts_with('#') && l.contains(" cov: ")).unwrap_or_default();
    let after = |key: &str| progress.split_once(key).map_or(0, |(_, rest)| number(rest));
    Statistics {
        executions: stat("stat::number_of_executed_units:"),
        per_second: stat("stat::average_exec_per_sec:"),
        edges: after(" cov: "),
        features: after(" ft: "),
        kept: after(" corp: "),
        memory: stat("stat::peak_rss_mb:"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libfuzzers_numbers_are_read() {
        let log = "#1\tINITED cov: 1 ft: 2 corp: 1/1b exec/s: 0 rss: 25Mb\n\
                   #157617\tDONE   cov: 130 ft: 811 corp: 313/27Kb lim: 530 exec/s: 9851 rss: 27Mb\n\
                   Done 157617 runs in 16 second(s)\n\
                   stat::number_of_executed_units: 157617\n\
                   stat::average_exec_per_sec:     9851\n\
                   stat::peak_rss_mb:              27\n";
        let s = statistics(log);
        assert_eq!((s.executions, s.per_second, s.edges, s.features), (157_617, 9851, 130, 811));
        assert_eq!((s.kept, s.memory), (313, 27));
    }
}
