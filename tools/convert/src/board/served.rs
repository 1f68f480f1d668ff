//! An emulated board that runs on, and what goes over its serial port.

use super::cores::Core;
use super::emulate::{Failure, Running};
use cellstate_link::port::{Line, Port};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the emulator may take to start.
const LIMIT: Duration = Duration::from_secs(20);

/// A running board; the emulator ends with it.
pub struct Served {
    _running: Running,
    line: Line<UnixStream>,
}

impl Served {
    /// Starts a board with this program. Its time advances with each instruction.
    ///
    /// # Errors
    /// [`Failure`] if there is no such emulator, or it does not start.
    pub fn start(core: &Core, elf: &Path) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let uart = folder.path().join("uart");
        let listener = UnixListener::bind(&uart)?;
        let [program, arguments @ ..] = &core.emulator(true)[..] else {
            return Err(std::io::Error::other("no emulator").into());
        };
        let mut command = Command::new(program);
        command.args(arguments).arg("-serial").arg(format!("unix:{}", uart.display()));
        command.arg("-kernel").arg(elf).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut running = Running::start(core, command)?;
        listener.set_nonblocking(true)?;
        let begun = Instant::now();
        let stream = loop {
            if let Ok((stream, _)) = listener.accept() {
                break stream;
            }
            if let Some(status) = running.0.try_wait()? {
                return Err(Failure::Firmware { core: core.name, said: format!("the emulator ended: {status}") });
            }
            if begun.elapsed() >= LIMIT {
                return Err(Failure::TimedOut { core: core.name, limit: LIMIT });
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        stream.set_nonblocking(false)?;
        Ok(Self { _running: running, line: Line::new(stream) })
    }
}

impl Port for Served {
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.line.send(frame)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> std::io::Result<usize> {
        self.line.receive(bytes, limit)
    }
}
