//! The emulated board, spoken to in lock step over its UART.

use crate::packages::{has, install};
use anyhow::{Context, Result, bail};
use cellstate_app::link::{MAX_FRAME, Receiver, Request, Response, encode};
use cellstate_convert::board::cores::Emulator;
pub(crate) use cellstate_convert::board::cores::{ARM, RISCV};
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the board may take to start and to answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Makes sure that there are emulators, installing them where that is possible.
pub(crate) fn ensure(emulators: &[Emulator]) -> Result<()> {
    let missing: Vec<_> = emulators.iter().filter_map(|e| (!has(e.program)).then_some(e.package)).collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// A running board; the emulator ends with it.
pub(crate) struct Board {
    child: Child,
    port: UnixStream,
    receiver: Receiver,
}

impl Drop for Board {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Board {
    /// Starts an emulated MPS2 AN386 with exact instruction counting: 128 ns of its time an instruction.
    pub(crate) fn start(elf: &Path) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("uart");
        let listener = UnixListener::bind(&socket)?;
        listener.set_nonblocking(true)?;
        let mut command = Command::new(ARM.program);
        command.args(["-M", "mps2-an386", "-display", "none", "-monitor", "none", "-semihosting"]);
        command.args(["-icount", "shift=7,sleep=off", "-serial"]).arg(format!("unix:{}", socket.display()));
        command.arg("-kernel").arg(elf).stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = command.spawn().context(ARM.program)?;
        let start = Instant::now();
        let port = loop {
            if let Ok((port, _)) = listener.accept() {
                break port;
            }
            if start.elapsed() > TIMEOUT || child.try_wait()?.is_some() {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the emulator did not start");
            }
            std::thread::sleep(Duration::from_millis(5));
        };
        port.set_nonblocking(false)?;
        port.set_read_timeout(Some(TIMEOUT))?;
        Ok(Self { child, port, receiver: Receiver::new() })
    }

    /// Sends a request and waits for the answer.
    pub(crate) fn request(&mut self, request: &Request) -> Result<Response> {
        let mut frame = [0; MAX_FRAME];
        let len =
            encode(request, &mut frame).map_err(|e| anyhow::anyhow!("the request does not fit a frame: {e:?}"))?;
        self.port.write_all(&frame[..len])?;
        let mut bytes = [0; MAX_FRAME];
        let mut seen = Vec::new();
        loop {
            let count = self.port.read(&mut bytes).context("the board does not answer")?;
            if count == 0 {
                bail!("the board ended: {}", String::from_utf8_lossy(&seen));
            }
            seen.extend_from_slice(&bytes[..count]);
            for &byte in &bytes[..count] {
                match self.receiver.push(byte) {
                    None => {}
                    Some(Ok(response)) => return Ok(response),
                    Some(Err(_)) => bail!("the board said: {}", String::from_utf8_lossy(&seen)),
                }
            }
        }
    }
}

/// Instructions from ticks of the board's 25 MHz timer: a tick is 40 ns, an instruction 128 ns.
pub(crate) fn instructions(ticks: u32) -> u64 {
    (u64::from(ticks) * 40 + 64) / 128
}
