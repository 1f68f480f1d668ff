//! One run of the bench firmware on an emulated core, traced instruction by instruction if asked to.

use super::core::{Core, Counter};
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What the firmware said of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trial {
    pub(crate) checksum: u32,
    /// Instructions of the slowest step by the core's own counter, with a few for reading it.
    pub(crate) counted: u64,
    /// Bytes of stack below the call of a step.
    pub(crate) stack: u64,
}

/// Ends the emulator on every way out.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs a pack to its end. Each traced program counter goes to `trace`, if there is one.
pub(crate) fn run(
    core: &Core,
    elf: &Path,
    pack: &[u8],
    limit: Duration,
    trace: Option<&mut dyn FnMut(u32)>,
) -> Result<Vec<Trial>> {
    let folder = tempfile::tempdir()?;
    let pack_file = folder.path().join("pack");
    std::fs::write(&pack_file, pack)?;
    let mut command = Command::new(core.emulator);
    command.args(["-M", core.machine, "-display", "none", "-monitor", "none", "-serial", "none"]);
    command.args(["-semihosting-config", "enable=on,target=native"]);
    if core.counter == Counter::Instructions {
        command.args(["-bios", "none"]);
    }
    // Counting instructions slows the emulator down, so only where they are looked at.
    if trace.is_some() {
        let shift = if core.counter == Counter::Instructions { 0 } else { 7 };
        command.arg("-icount").arg(format!("shift={shift},sleep=off"));
    }
    command.arg("-device");
    command.arg(format!("loader,file={},addr={:#x},force-raw=on", pack_file.display(), core.trials));
    let pipe = folder.path().join("trace");
    if trace.is_some() {
        ensure!(Command::new("mkfifo").arg(&pipe).status()?.success(), "mkfifo failed");
        command.args(["-singlestep", "-d", "exec,nochain", "-D"]).arg(&pipe);
    }
    command.arg("-kernel").arg(elf).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running(command.spawn().context(core.emulator)?);
    let mut stdout = running.0.stdout.take().context("no output")?;
    let mut stderr = running.0.stderr.take().context("no output")?;
    let printed = std::thread::spawn(move || {
        let mut text = String::new();
        let result = stdout.read_to_string(&mut text).and_then(|_| stderr.read_to_string(&mut text));
        result.map(|_| text)
    });
    let start = Instant::now();
    if let Some(visit) = trace {
        read_trace(&pipe, visit)?;
    }
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        ensure!(start.elapsed() < limit, "{}: the emulator did not end within {limit:?}", core.name);
        std::thread::sleep(Duration::from_millis(5));
    };
    let text = printed.join().map_err(|_| anyhow::anyhow!("reading failed"))??;
    ensure!(status.success(), "{}: the firmware failed: {text}", core.name);
    text.lines().map(|line| parse(core, line)).collect()
}

/// `trial CHECKSUM TICKS STACK`.
fn parse(core: &Core, line: &str) -> Result<Trial> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ["trial", checksum, ticks, stack] = fields[..] else {
        bail!("{}: the firmware said: {line}", core.name);
    };
    let ticks: u64 = ticks.parse()?;
    let counted = match core.counter {
        Counter::SysTick(nanoseconds) => (ticks * nanoseconds + 64) / 128,
        Counter::Instructions => ticks,
    };
    Ok(Trial { checksum: u32::from_str_radix(checksum, 16)?, counted, stack: stack.parse()? })
}

/// Lines of `Trace 0: 0x7f... [cs_base/pc/flags/cflags] symbol`, one an executed instruction.
fn read_trace(pipe: &Path, visit: &mut dyn FnMut(u32)) -> Result<()> {
    let mut reader = BufReader::with_capacity(1 << 20, std::fs::File::open(pipe)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if !line.starts_with(b"Trace") {
            continue;
        }
        let Some(open) = line.iter().position(|&b| b == b'[') else { continue };
        let mut fields = line[open + 1..].split(|&b| b == b'/');
        let pc = fields.nth(1).and_then(|f| std::str::from_utf8(f).ok());
        let pc = pc.and_then(|f| u64::from_str_radix(f, 16).ok()).context("a trace line without an address")?;
        visit(pc as u32);
    }
}
