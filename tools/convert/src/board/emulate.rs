//! One run of the bench firmware on an emulated core, counted or traced instruction by instruction if asked to.

use super::cores::Core;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What the firmware said of one trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Of all that came out.
    pub checksum: u32,
    /// Instructions of the slowest step by the core's own counter, with a few for reading it; not of a [`Look::No`].
    pub counted: u64,
    /// Bytes of stack below the call of a step.
    pub stack: u64,
}

/// How closely a run is looked at, which slows it down.
pub enum Look<'a> {
    /// Only at what it says.
    No,
    /// Its counter advances by instructions.
    Count,
    /// So it does, and each executed address is passed on.
    Trace(&'a mut dyn FnMut(u32)),
}

/// Why a run has no result.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// There is no such emulator.
    #[error("{program}: not found; install it, from the Debian package {package}")]
    NotInstalled {
        /// Its program.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// It ran for too long.
    #[error("{core}: the emulator did not end within {} s", limit.as_secs())]
    TimedOut {
        /// The core.
        core: &'static str,
        /// How long it may run.
        limit: Duration,
    },
    /// [`stop`] was called.
    #[error("stopped")]
    Stopped,
    /// The firmware or the emulator ended with a failure, or said what is not understood.
    #[error("{core}: the firmware failed: {said}")]
    Firmware {
        /// The core.
        core: &'static str,
        /// All that was said.
        said: String,
    },
    /// The trace is not understood.
    #[error("a line of the trace has no address")]
    Trace,
    /// The host refused something.
    #[error(transparent)]
    Host(#[from] std::io::Error),
}

/// Ends the emulator on every way out.
pub(super) struct Running(pub(super) Child);

impl Running {
    /// Starts it.
    pub(super) fn start(core: &Core, mut command: Command) -> Result<Self, Failure> {
        command.spawn().map(Self).map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => {
                Failure::NotInstalled { program: core.emulator.program, package: core.emulator.package }
            }
            _ => Failure::Host(e),
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

static STOPPED: AtomicBool = AtomicBool::new(false);

/// Ends every run of this process, now and from now on: for handlers of signals.
pub fn stop() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// Runs a pack to its end, for no longer than `limit`.
///
/// # Errors
/// [`Failure`] says what went wrong; the emulator has ended then, too.
pub fn run(core: &Core, elf: &Path, pack: &[u8], limit: Duration, look: Look) -> Result<Vec<Trial>, Failure> {
    let out = output(core, elf, pack, limit, look)?;
    let trials: Option<Vec<Trial>> = out.lines().map(|line| parse(core, line)).collect();
    trials.ok_or_else(|| Failure::Firmware { core: core.name, said: out.trim().to_owned() })
}

/// The same, of a program that prints anything: what it printed.
///
/// # Errors
/// As of [`run`].
pub fn output(core: &Core, elf: &Path, pack: &[u8], limit: Duration, look: Look) -> Result<String, Failure> {
    let folder = tempfile::tempdir()?;
    let pack_file = folder.path().join("pack");
    std::fs::write(&pack_file, pack)?;
    let [program, arguments @ ..] = &core.emulator(!matches!(look, Look::No))[..] else {
        return Err(std::io::Error::other("no emulator").into());
    };
    let mut command = Command::new(program);
    command.args(arguments).args(["-serial", "none"]);
    command.arg("-device");
    command.arg(format!("loader,file={},addr={:#x},force-raw=on", pack_file.display(), core.pack));
    let pipe = folder.path().join("trace");
    if matches!(look, Look::Trace(_)) {
        if !Command::new("mkfifo").arg(&pipe).status()?.success() {
            return Err(std::io::Error::other("mkfifo failed").into());
        }
        command.args(["-singlestep", "-d", "exec,nochain", "-D"]).arg(&pipe);
    }
    command.arg("-kernel").arg(elf).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = Running::start(core, command)?;
    let (stdout, stderr) = (running.0.stdout.take(), running.0.stderr.take());
    let printed = [std::thread::spawn(|| read(stdout)), std::thread::spawn(|| read(stderr))];
    let start = Instant::now();
    if let Look::Trace(visit) = look {
        read_trace(&pipe, visit)?;
    }
    let status = loop {
        if let Some(status) = running.0.try_wait()? {
            break status;
        }
        if STOPPED.load(Ordering::Relaxed) {
            return Err(Failure::Stopped);
        }
        if start.elapsed() >= limit {
            return Err(Failure::TimedOut { core: core.name, limit });
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let [out, err] = printed.map(|t| t.join().unwrap_or_else(|_| Err(std::io::Error::other("reading failed"))));
    let (out, err) = (out?, err?);
    if status.success() {
        return Ok(out);
    }
    Err(Failure::Firmware { core: core.name, said: format!("{out}{err}").trim().to_owned() })
}

/// All that comes through a pipe.
fn read(pipe: Option<impl Read>) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    pipe.map(|mut pipe| pipe.read_to_end(&mut bytes)).transpose()?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// `trial CHECKSUM TICKS STACK`.
fn parse(core: &Core, line: &str) -> Option<Trial> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let ["trial", checksum, ticks, stack] = fields[..] else { return None };
    Some(Trial {
        checksum: u32::from_str_radix(checksum, 16).ok()?,
        counted: core.counter.instructions(ticks.parse().ok()?),
        stack: stack.parse().ok()?,
    })
}

/// Lines of `Trace 0: 0x7f... [cs_base/pc/flags/cflags] symbol`, one an executed instruction.
fn read_trace(pipe: &Path, visit: &mut dyn FnMut(u32)) -> Result<(), Failure> {
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
        let pc = pc.and_then(|f| u64::from_str_radix(f, 16).ok()).ok_or(Failure::Trace)?;
        visit(pc as u32);
    }
}
