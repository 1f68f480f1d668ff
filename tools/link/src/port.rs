//! What carries the bytes.

use crate::error::LinkError;
use serial2::SerialPort;
#[cfg(unix)]
use std::fs::TryLockError;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::fd::AsFd;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// A line to one board.
pub trait Port {
    /// Sends a frame.
    ///
    /// # Errors
    /// What the system says.
    fn send(&mut self, frame: &[u8]) -> Result<()>;

    /// Waits for bytes up to the time limit; gives how many came, 0 if none did.
    ///
    /// # Errors
    /// What the system says; [`ErrorKind::UnexpectedEof`] if the line closed.
    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> Result<usize>;
}

impl<P: Port + ?Sized> Port for Box<P> {
    fn send(&mut self, frame: &[u8]) -> Result<()> {
        (**self).send(frame)
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> Result<usize> {
        (**self).receive(bytes, limit)
    }
}

/// A line that a stream is: a socket or a serial port.
#[derive(Debug)]
pub struct Line<S> {
    stream: S,
    /// The time limit that is set.
    limit: Option<Duration>,
}

impl<S: Stream> Line<S> {
    /// A line of a stream that is open.
    pub fn new(stream: S) -> Self {
        Self { stream, limit: None }
    }
}

/// What a [`Line`] is made of.
pub trait Stream: Read + Write {
    /// Sets the time limit of reads, above zero.
    ///
    /// # Errors
    /// What the system says.
    fn limit(&mut self, limit: Duration) -> Result<()>;
}

impl Stream for TcpStream {
    fn limit(&mut self, limit: Duration) -> Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

#[cfg(unix)]
impl Stream for UnixStream {
    fn limit(&mut self, limit: Duration) -> Result<()> {
        self.set_read_timeout(Some(limit))
    }
}

impl Stream for SerialPort {
    fn limit(&mut self, limit: Duration) -> Result<()> {
        self.set_read_timeout(limit)
    }
}

impl<S: Stream> Port for Line<S> {
    fn send(&mut self, frame: &[u8]) -> Result<()> {
        self.stream.write_all(frame)?;
        self.stream.flush()
    }

    fn receive(&mut self, bytes: &mut [u8], limit: Duration) -> Result<usize> {
        // A limit of zero would be none.
        let limit = limit.max(Duration::from_millis(1));
        if self.limit != Some(limit) {
            self.stream.limit(limit)?;
            self.limit = Some(limit);
        }
        match self.stream.read(bytes) {
            Ok(0) => Err(Error::new(ErrorKind::UnexpectedEof, "it closed")),
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => Ok(0),
            result => result,
        }
    }
}

/// Opens `unix:PATH` or `tcp:HOST:PORT`, where an emulator listens, or else a serial port with this baud rate.
///
/// # Errors
/// [`LinkError::Open`] says what the system says.
pub fn open(name: &str, baud: u32) -> std::result::Result<Box<dyn Port + Send>, LinkError> {
    let opened = match name.split_once(':') {
        #[cfg(unix)]
        Some(("unix", path)) => UnixStream::connect(path).map(|s| Box::new(Line::new(s)) as Box<dyn Port + Send>),
        Some(("tcp", address)) => tcp(address).map(|s| Box::new(Line::new(s)) as _),
        _ => serial(name, baud).map(|s| Box::new(Line::new(s)) as _),
    };
    opened.map_err(|cause| LinkError::Open { name: name.to_owned(), cause })
}

/// The serial ports that there are, by their names.
pub fn available() -> Vec<String> {
    let mut names: Vec<String> =
        SerialPort::available_ports().unwrap_or_default().iter().map(|path| path.display().to_string()).collect();
    names.sort();
    names
}

/// For this program alone: two that read from a port would each have half of every answer.
fn serial(name: &str, baud: u32) -> Result<SerialPort> {
    let port = SerialPort::open(name, baud)?;
    #[cfg(unix)]
    alone(&port)?;
    Ok(port)
}

/// A lock that ends with the port. Windows opens ports for one program by itself.
#[cfg(unix)]
fn alone(port: &SerialPort) -> Result<()> {
    let file = std::fs::File::from(port.as_fd().try_clone_to_owned()?);
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(Error::new(ErrorKind::ResourceBusy, "another program has it open")),
        // A system without such locks has none to respect.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

/// Without waiting for more to send.
fn tcp(address: &str) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
