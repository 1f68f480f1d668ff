//! The serial line: frames, and a board that answers them.

use arbitrary::{Arbitrary, Result, Unstructured};
use cellstate::{Model, Session, State};
use cellstate_app::device::{Device, Memory};
use cellstate_app::link::{Body, MAX_BODY, MAX_FRAME, Message, Receiver, encode, frame};
use cellstate_app::protocol::{Counts, Request, Response, VERSION};
use cellstate_app::server::{Counter, Service, Stack};

static BLOB: cellstate::Aligned<[u8; include_bytes!("../../../tests/models/motes/motes.cell").len()]> =
    cellstate::Aligned(*include_bytes!("../../../tests/models/motes/motes.cell"));

/// Any bytes are frames or errors, and any frames' messages are commands to a board, which answers each as it should; a frame
/// arrives whole, whatever came before it.
pub fn link(bytes: &[u8]) {
    let mut receiver = Receiver::new();
    for &byte in bytes {
        if let Some(Ok(message)) = receiver.push(byte) {
            let _ = message.decode::<Request>();
            let _ = message.decode::<Response>();
        }
    }
    let _ = among_garbage(&mut Unstructured::new(bytes));
    let _ = to_a_board(&mut Unstructured::new(bytes));
}

fn among_garbage(u: &mut Unstructured) -> Result<()> {
    let mut receiver = Receiver::new();
    while !u.is_empty() {
        for &byte in <&[u8]>::arbitrary(u)? {
            let _ = receiver.push(byte);
        }
        let (number, body) = (u.arbitrary()?, <&[u8]>::arbitrary(u)?);
        let message = Message { number, body: &body[..body.len().min(MAX_BODY)] };
        let mut out = [0xaa; MAX_FRAME];
        let len = frame(message, &mut out).unwrap_or_else(|e| panic!("{message:?} has no frame: {e:?}"));
        let [first, inner @ .., last] = &out[..len] else { panic!("{len} bytes are no frame") };
        assert!(*first == 0 && *last == 0 && !inner.contains(&0));
        let _ = receiver.push(0);
        assert!(inner.iter().all(|&byte| receiver.push(byte).is_none()));
        assert_eq!(receiver.push(0), Some(Ok(message)));
    }
    Ok(())
}

/// Counts looks.
struct Looks(u32);

impl Counter for Looks {
    fn now(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(1);
        self.0
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}

/// Messages with a right frame around them: whatever they are, the counts add up, and no more samples are predicted than commands
/// were executed.
fn to_a_board(u: &mut Unstructured) -> Result<()> {
    let (mut state, mut memory) = (State::<512>::new(), Memory::<512>::new());
    let model = Model::parse(&BLOB.0).unwrap_or_else(|e| panic!("the committed model does not load: {e}"));
    let Ok(session) = Session::new(&model, &mut state) else { panic!("the state is too small") };
    let mut device = Device::new(session, &mut memory, Looks(0), || Stack { used: 0, size: 0 }, ());
    let (mut body, mut room) = (Body::new(), Body::new());
    let hello = Request::Hello { version: VERSION, connection: u.arbitrary()? };
    let _ = encode(&hello, &mut body);
    let mut next: u16 = 0;
    assert!(device.answer(Ok(Message { number: next, body: &body }), &mut room).is_some());
    while !u.is_empty() {
        // The next one, or one around it.
        let off = if u.arbitrary()? { 0 } else { u.int_in_range(-10..=3)? };
        let number = next.wrapping_add_signed(off);
        let message = Message { number, body: <&[u8]>::arbitrary(u)? };
        let before = device.counts();
        let answer = device.answer(Ok(message), &mut room);
        let Some(answer) = answer else { panic!("no answer to {message:?}") };
        assert!(answer.decode::<Response>().is_ok());
        let Counts { commands, accepted, .. } = device.counts();
        assert!(accepted - before.accepted <= commands - before.commands && commands - before.commands <= 1);
        next = if device.counts().hellos > before.hellos {
            0
        } else {
            next.wrapping_add((commands - before.commands) as u16)
        };
        assert_eq!(device.counts().frames, device.counts().sum());
    }
    Ok(())
}
