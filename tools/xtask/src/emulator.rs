//! An emulated board, spoken to over its UART.

use crate::monitor::Monitor;
use crate::packages::{has, install};
use anyhow::{Context, Result, bail, ensure};
use cellstate_app::link::{Body, MAX_FRAME, Message, Receiver, encode, frame};
pub(crate) use cellstate_convert::board::cores::{ARM, RISCV};
use cellstate_convert::board::cores::{Core, Emulator};
use cellstate_link::port::Line;
use cellstate_link::{Device, Port, Settings};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::VecDeque;
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

/// Ends the emulator on every way out.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A running board; the emulator ends with it. It is a [`Port`] for the protocol of the link.
pub(crate) struct Board {
    running: Running,
    line: Line<UnixStream>,
    receiver: Receiver,
    /// What came and is not looked at yet.
    unread: VecDeque<u8>,
    monitor: Monitor,
}

impl Board {
    /// Starts an emulated board whose time advances with each instruction; time that the firmware sleeps takes no time here.
    /// `devices` are those that the board has beside its own, as the emulator takes them.
    pub(crate) fn start(core: &Core, elf: &Path, devices: &[&str]) -> Result<Self> {
        let arguments: Vec<&str> = devices.iter().flat_map(|device| ["-device", device]).collect();
        Self::with(&core.emulator(true), elf, &arguments)
    }

    /// Starts one that counts nothing, which is faster but where the firmware does not sleep; with anything else that the emulator
    /// takes.
    pub(crate) fn uncounted(core: &Core, elf: &Path, arguments: &[&str]) -> Result<Self> {
        Self::with(&core.emulator(false), elf, arguments)
    }

    fn with(emulator: &[String], elf: &Path, arguments: &[&str]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (uart, monitor) = (folder.path().join("uart"), folder.path().join("monitor"));
        let listeners = [UnixListener::bind(&uart)?, UnixListener::bind(&monitor)?];
        // The kernel ends it where nothing here can: when this process is killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).args(emulator);
        command.arg("-serial").arg(format!("unix:{}", uart.display()));
        command.arg("-qmp").arg(format!("unix:{}", monitor.display()));
        command.args(arguments).arg("-kernel").arg(elf).stdin(Stdio::null()).stdout(Stdio::null());
        let mut running = Running(command.spawn().with_context(|| emulator.join(" "))?);
        let [line, monitor] = listeners.map(|listener| accept(&listener, &mut running.0));
        Ok(Self {
            running,
            line: Line::new(line?),
            receiver: Receiver::new(),
            unread: VecDeque::new(),
            monitor: Monitor::greet(monitor?)?,
        })
    }

    /// Speaks the protocol of the link with it. A board that computes takes its time, and its line loses nothing.
    pub(crate) fn link(self) -> Result<Device<Self>> {
        Ok(Device::connect(self, Settings { patience: TIMEOUT, attempts: 1, window: 4 })?)
    }

    /// Waits until the emulator ended by itself; whether the firmware said that all was well.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.running.0.try_wait()? {
                return Ok(status.success());
            }
            ensure!(start.elapsed() < TIMEOUT, "the emulator goes on");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sets a property of the device of this id.
    pub(crate) fn set(&mut self, id: &str, property: &str, value: i64) -> Result<()> {
        self.monitor.set(&format!("/machine/peripheral/{id}"), property, value)
    }

    /// Sends a request that is no command of the link's, and waits for the answer.
    pub(crate) fn request<A: DeserializeOwned>(&mut self, request: &impl Serialize) -> Result<A> {
        let (mut body, mut out) = (Body::new(), [0; MAX_FRAME]);
        let framed = encode(request, &mut body).and_then(|()| frame(Message { number: 0, body: &body }, &mut out));
        let len = framed.map_err(|e| anyhow::anyhow!("the request does not fit a frame: {e:?}"))?;
        self.line.send(&out[..len])?;
        self.next()
    }

    /// Waits for what the board says next.
    pub(crate) fn next<A: DeserializeOwned>(&mut self) -> Result<A> {
        let mut bytes = [0; MAX_FRAME];
        let mut seen = Vec::new();
        loop {
            while let Some(byte) = self.unread.pop_front() {
                if let Some(message) = self.receiver.push(byte) {
                    let message = message.and_then(|message| message.decode());
                    return message.map_err(|e| {
                        let seen = String::from_utf8_lossy(&seen).into_owned();
                        anyhow::anyhow!("the board said what is not understood: {e:?}: {seen}")
                    });
                }
            }
            let count = match self.line.receive(&mut bytes, TIMEOUT) {
                Ok(0) => bail!("the board does not answer"),
                Ok(count) => count,
                Err(e) => bail!("the board ended: {e}: {}", String::from_utf8_lossy(&seen)),
            };
            seen.extend_from_slice(&bytes[..count]);
            self.unread.extend(&bytes[..count]);
        }
    }
}

impl Port for Board {
    fn send(&mut self, frame: &[u8]) -> std::io::Result<()> {
        self.line.send(frame)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> std::io::Result<usize> {
        self.line.receive(bytes, limit)
    }
}

/// The emulator's end of a socket, as soon as it is there.
fn accept(listener: &UnixListener, child: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let start = Instant::now();
    let stream = loop {
        if let Ok((stream, _)) = listener.accept() {
            break stream;
        }
        ensure!(start.elapsed() < TIMEOUT && child.try_wait()?.is_none(), "the emulator did not start");
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.set_nonblocking(false)?;
    Ok(stream)
}
