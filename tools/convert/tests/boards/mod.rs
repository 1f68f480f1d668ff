//! Boards in this process, behind sockets and pseudo-terminals.
#![allow(dead_code, reason = "no test needs all of them")]

use cellstate::{Model, Session, State};
use cellstate_app::device::{Device, Memory};
use cellstate_app::link::{Body, FrameError, Message};
use cellstate_app::server::{Service, Stack};
use cellstate_link::faulty::Faulty;
use cellstate_link::local::{Local, Micros};
use cellstate_link::port::Port;
use rustix::fs::OFlags;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// The model on all of them.
pub(crate) static BLOB: cellstate::Aligned<[u8; include_bytes!("../../../../tests/models/watch/watch.cell").len()]> =
    cellstate::Aligned(*include_bytes!("../../../../tests/models/watch/watch.cell"));

pub(crate) fn models(file: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file).display().to_string()
}

pub(crate) fn watch() -> Model<'static> {
    Model::parse(&BLOB.0).unwrap()
}

/// What becomes of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It stays until the host closes it.
    Whole,
    /// It breaks after so many answers; what the board answers to the last commands is lost.
    Breaks(usize),
    /// The board begins anew, and then it stays.
    Anew,
    /// It stays, and the board begins anew after so many answers.
    Restarts(usize),
    /// It damages frames in both directions.
    Noisy,
    /// The board is another one, of a later version.
    Later,
    /// Nobody answers.
    Silent,
}

type Board<'a> = Device<'a, Micros, fn() -> Stack, (), 324>;

/// A board that can begin anew in the middle.
pub(crate) struct Unsteady<'a> {
    board: Board<'a>,
    answers: usize,
    until: Option<usize>,
}

impl Service for Unsteady<'_> {
    fn arrived(&mut self) {
        self.board.arrived();
    }

    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, room: &'s mut Body) -> Option<Message<'s>> {
        self.answers += 1;
        if self.until.is_some_and(|until| self.answers > until) {
            self.board.restart();
            self.until = None;
        }
        self.board.answer(received, room)
    }
}

/// Says that it is ready, in another version.
struct Later(Body);

impl Service for Later {
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, _: &'s mut Body) -> Option<Message<'s>> {
        self.0.clear();
        self.0.extend_from_slice(received.ok()?.body).ok()?;
        *self.0.get_mut(1)? = 2;
        Some(Message { number: 0, body: &self.0 })
    }
}

pub(crate) fn stack() -> Stack {
    Stack { used: 1234, size: 65_536 }
}

/// Runs something with a board of the watch model.
pub(crate) fn with_board<R>(until: Option<usize>, run: impl FnOnce(Unsteady) -> R) -> R {
    let model = watch();
    let (mut state, mut memory) = (State::<1024>::new(), Memory::<324>::new());
    let session = Session::new(&model, &mut state).unwrap();
    let board = Board::new(session, &mut memory, Micros::start(), stack, ());
    run(Unsteady { board, answers: 0, until })
}

/// One connection after the other, with one board.
pub(crate) fn serve(listener: &UnixListener, fates: &[Fate]) {
    let restarts = fates.iter().find_map(|fate| if let Fate::Restarts(n) = fate { Some(*n) } else { None });
    with_board(restarts, |board| {
        let mut local = Local::new(board);
        for &fate in fates {
            let Some(mut stream) = accept(listener) else { return };
            match fate {
                Fate::Silent => drop(std::io::copy(&mut stream, &mut std::io::sink())),
                Fate::Later => carry(&mut stream, &mut Local::new(Later(Body::new())), None),
                Fate::Breaks(answers) => carry(&mut stream, &mut local, Some(answers)),
                Fate::Noisy => return carry(&mut stream, &mut Faulty::new(local, 0.1, 3), None),
                Fate::Anew => {
                    // The connection before this one is the old board's.
                    drop(stream);
                    with_board(None, |board| {
                        if let Some(mut stream) = accept(listener) {
                            carry(&mut stream, &mut Local::new(board), None);
                        }
                    });
                    return;
                }
                Fate::Whole | Fate::Restarts(_) => carry(&mut stream, &mut local, None),
            }
        }
    });
}

/// The next connection; none if there is none for long.
fn accept(listener: &UnixListener) -> Option<UnixStream> {
    listener.set_nonblocking(true).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(20) {
        if let Ok((stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            return Some(stream);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// Carries bytes between a host and a board, until the host closes or so many answers are there.
fn carry(stream: &mut (impl Read + Write), board: &mut impl Port, answers: Option<usize>) {
    let (mut bytes, mut out, mut sent) = ([0; 4096], [0; 4096], 0);
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        board.send(&bytes[..count]).unwrap();
        loop {
            let count = board.receive(&mut out, Duration::ZERO).unwrap();
            if count == 0 {
                break;
            }
            sent += out[..count].split(|&byte| byte == 0).filter(|frame| !frame.is_empty()).count();
            if answers.is_some_and(|answers| sent > answers) {
                return;
            }
            if stream.write_all(&out[..count]).is_err() {
                return;
            }
        }
    }
}

/// The board's end of a serial port, and the name of the host's.
pub(crate) fn pseudo_terminal() -> (OwnedFd, String) {
    let board = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::io::fcntl_setfd(&board, rustix::io::FdFlags::CLOEXEC).unwrap();
    grantpt(&board).unwrap();
    unlockpt(&board).unwrap();
    let name = ptsname(&board, Vec::new()).unwrap().into_string().unwrap();
    (board, name)
}

/// Serves at a pseudo-terminal until the program at its other end ends.
pub(crate) fn serve_serial(board: OwnedFd, child: &mut Child) {
    rustix::fs::fcntl_setfl(&board, OFlags::NONBLOCK | OFlags::RDWR).unwrap();
    let mut stream = std::fs::File::from(board);
    with_board(None, |board| {
        let mut local = Local::new(board);
        let (mut bytes, mut out) = ([0; 4096], [0; 4096]);
        while child.try_wait().unwrap().is_none() {
            // Until it is opened, and while nothing is there, it is an error to read.
            let Ok(count @ 1..) = stream.read(&mut bytes) else {
                std::thread::sleep(Duration::from_millis(1));
                continue;
            };
            local.send(&bytes[..count]).unwrap();
            while let Ok(count @ 1..) = local.receive(&mut out, Duration::ZERO) {
                stream.write_all(&out[..count]).unwrap();
            }
        }
    });
}
