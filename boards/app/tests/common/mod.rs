//! A device in this process, whose line is a list of bytes.

use cellstate::{Model, Session, State};
use cellstate_app::device::{Device, Memory};
use cellstate_app::link::{Body, MAX_FRAME, Message, Receiver, encode, frame};
use cellstate_app::protocol::{Request, Response, VERSION};
use cellstate_app::server::{Counter, Service, Stack};
use cellstate_store::update::{UpdateError, Updates};
use std::cell::RefCell;

pub(crate) static BLOB: cellstate::Aligned<[u8; include_bytes!("../../../../tests/models/watch/watch.cell").len()]> =
    cellstate::Aligned(*include_bytes!("../../../../tests/models/watch/watch.cell"));
pub(crate) const STACK: Stack = Stack { used: 100, size: 16_384 };
/// Bytes of the watch model's saved state.
pub(crate) const SAVED: usize = 324;

/// Advances by 5 at each look.
pub(crate) struct Ticks(u32);

impl Counter for Ticks {
    fn now(&mut self) -> u32 {
        self.0 += 5;
        self.0
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        end - start
    }
}

/// Keeps an update as it comes; it is right if it is the bytes that are wanted.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) wanted: Vec<u8>,
    pub(crate) bytes: Option<Vec<u8>>,
    pub(crate) version: u32,
}

/// What the test looks at too.
pub(crate) struct Shared<'a>(pub(crate) &'a RefCell<Kept>);

impl Updates for Shared<'_> {
    fn begin(&mut self, bytes: u32) -> Result<(), UpdateError> {
        let mut kept = self.0.borrow_mut();
        if bytes as usize != kept.wanted.len() {
            return Err(UpdateError::Length);
        }
        kept.bytes = Some(Vec::new());
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        let mut kept = self.0.borrow_mut();
        let kept = kept.bytes.as_mut().ok_or(UpdateError::NotBegun)?;
        let known = kept.len().checked_sub(offset as usize).ok_or(UpdateError::Gap)?;
        kept.extend(bytes.iter().skip(known));
        Ok(())
    }

    fn received(&self) -> u32 {
        self.0.borrow().bytes.as_ref().map_or(0, Vec::len) as u32
    }

    fn finish(&mut self) -> Result<u32, UpdateError> {
        let mut kept = self.0.borrow_mut();
        let bytes = kept.bytes.take().ok_or(UpdateError::NotBegun)?;
        if bytes != kept.wanted {
            return Err(UpdateError::Digest);
        }
        kept.version += 1;
        Ok(kept.version)
    }
}

/// Runs a test with a device of the watch model.
pub(crate) fn with_device<U: Updates>(updates: U, test: impl FnOnce(&mut dyn FnMut(&[u8]) -> Vec<u8>)) {
    let model = Model::parse(&BLOB.0).unwrap();
    let (mut state, mut memory) = (State::<1024>::new(), Memory::<SAVED>::new());
    let session = Session::new(&model, &mut state).unwrap();
    let mut device = Device::new(session, &mut memory, Ticks(0), || STACK, updates);
    let (mut receiver, mut room) = (Receiver::new(), Body::new());
    test(&mut |bytes| {
        let mut answers = Vec::new();
        for &byte in bytes {
            device.arrived();
            if let Some(received) = receiver.push(byte)
                && let Some(answer) = device.answer(received, &mut room)
            {
                answers.extend(framed(answer));
                if device.restarts() {
                    device.restart();
                }
            }
        }
        answers
    });
}

pub(crate) fn framed(message: Message) -> Vec<u8> {
    let mut out = [0; MAX_FRAME];
    let len = frame(message, &mut out).unwrap();
    out[..len].to_vec()
}

pub(crate) fn command(number: u16, request: &Request) -> Vec<u8> {
    let mut body = Body::new();
    encode(request, &mut body).unwrap();
    framed(Message { number, body: &body })
}

pub(crate) fn hello(connection: u32) -> Vec<u8> {
    command(0, &Request::Hello { version: VERSION, connection })
}

/// The answers on a line, and their numbers.
pub(crate) fn answers(bytes: &[u8]) -> Vec<(u16, Response)> {
    let mut receiver = Receiver::new();
    let answer = |&byte: &u8| receiver.push(byte).map(|m| m.map(|m| (m.number, m.decode().unwrap())).unwrap());
    bytes.iter().filter_map(answer).collect()
}

/// The only answer.
pub(crate) fn answer(bytes: &[u8]) -> Response {
    let [(_, answer)] = &answers(bytes)[..] else { panic!("{:?}", answers(bytes)) };
    answer.clone()
}

pub(crate) fn sample(t: usize) -> [i16; 6] {
    std::array::from_fn(|k| (t * (7 * k + 3) % 4001) as i16 - 2000)
}
