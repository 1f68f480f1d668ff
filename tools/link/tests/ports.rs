//! Sockets and serial ports as ports.
#![cfg(unix)]

use cellstate_link::port::{self, Line, Port};
use cellstate_link::{Device, LinkError, Settings};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

#[test]
fn a_port_that_does_not_open_says_its_name_and_what_there_is() {
    for name in ["/nowhere/tty", "unix:/nowhere/uart", "tcp:localhost:1"] {
        let Err(error) = port::open(name, 115_200) else { panic!("{name} opens") };
        let text = error.to_string();
        assert!(text.starts_with(name) && text.contains("/dev/ttyACM0"), "{text}");
    }
}

#[test]
fn sockets_carry_bytes_and_say_when_nothing_comes_and_when_they_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("uart");
    let unix = UnixListener::bind(&path).unwrap();
    let tcp = TcpListener::bind("localhost:0").unwrap();
    let names = [format!("unix:{}", path.display()), format!("tcp:{}", tcp.local_addr().unwrap())];
    for (k, name) in names.iter().enumerate() {
        let mut port = port::open(name, 0).unwrap();
        port.send(&[1, 2, 3]).unwrap();
        let mut bytes = [0; 8];
        let mut echo = |stream: &mut dyn ReadWrite| {
            stream.read_exact(&mut bytes[..3]).unwrap();
            stream.write_all(&bytes[..3]).unwrap();
        };
        if k == 0 {
            echo(&mut unix.accept().unwrap().0);
        } else {
            echo(&mut tcp.accept().unwrap().0);
        }
        let mut got = Vec::new();
        let closed = loop {
            match port.receive(&mut bytes, Duration::from_secs(5)) {
                Ok(count) => got.extend(&bytes[..count]),
                Err(e) => break e,
            }
        };
        assert_eq!((&got[..], closed.kind()), (&[1, 2, 3][..], ErrorKind::UnexpectedEof), "{name}");
    }
}

// The name of a pseudo-terminal is looked up as Linux has it.
#[cfg(target_os = "linux")]
#[test]
fn a_serial_port_is_one_programs() {
    use std::os::fd::AsRawFd;
    let (_board, ours) = serial2::SerialPort::pair().unwrap();
    let name = std::fs::read_link(format!("/proc/self/fd/{}", ours.as_raw_fd())).unwrap().display().to_string();
    let first = port::open(&name, 115_200).unwrap();
    let Err(LinkError::Open { cause, .. }) = port::open(&name, 115_200) else { panic!("{name} opens twice") };
    assert_eq!((cause.kind(), cause.to_string().as_str()), (ErrorKind::ResourceBusy, "another program has it open"));
    drop(first);
    port::open(&name, 115_200).unwrap();
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn a_board_that_does_not_answer_is_given_up_in_time() {
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let settings = Settings { patience: Duration::from_millis(20), attempts: 3, window: 1 };
    let begun = Instant::now();
    let error = Device::connect(Line::new(ours), settings).unwrap_err();
    assert!(matches!(error, LinkError::NoAnswer(_)) && error.to_string().contains("baud rate"), "{error}");
    assert!(begun.elapsed() >= Duration::from_millis(80) && begun.elapsed() < Duration::from_secs(5));
}
