//! Serves a serial port: frames in, answers out. What is answered is the [`Service`]'s.

use crate::link::{Body, FrameError, MAX_FRAME, Message, Receiver, encode, frame};
use embedded_io::{Read, Write};
use serde::{Deserialize, Serialize};

/// A free-running counter of 24 bits or more: cycles, instructions or microseconds.
pub trait Counter {
    /// The present count.
    fn now(&mut self) -> u32;
    /// What passed between two counts, wrap-around included.
    fn between(&self, start: u32, end: u32) -> u32;
}

/// The stack of a program, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// The most that was in use at any time since the start.
    pub used: u32,
    /// All that there is.
    pub size: u32,
}

/// What answers frames.
pub trait Service {
    /// A byte is here, perhaps the last of a frame.
    fn arrived(&mut self) {}

    /// Takes a frame, or why it was refused; gives the answer, if there is to be one. `room` is for its body.
    fn answer<'s>(&'s mut self, received: Result<Message<'_>, FrameError>, room: &'s mut Body) -> Option<Message<'s>>;

    /// Whether the program was asked to begin anew.
    fn restarts(&self) -> bool {
        false
    }

    /// As after power-up, for a program that goes on instead: the initial state, and nobody connected.
    fn restart(&mut self) {}
}

/// Why nothing is served any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The port closed.
    Closed,
    /// The host asked the program to begin anew, and has its answer.
    Restart,
}

/// Serves until the port closes or fails, or the service is to begin anew.
///
/// # Errors
/// The port's own.
pub fn serve<P: Read + Write>(port: &mut P, service: &mut impl Service) -> Result<Ended, P::Error> {
    let (mut receiver, mut room) = (Receiver::new(), Body::new());
    loop {
        let mut byte = [0];
        if port.read(&mut byte)? == 0 {
            return Ok(Ended::Closed);
        }
        service.arrived();
        let [byte] = byte;
        if let Some(received) = receiver.push(byte)
            && let Some(answer) = service.answer(received, &mut room)
        {
            transmit(port, answer)?;
            if service.restarts() {
                return Ok(Ended::Restart);
            }
        }
    }
}

/// Decodes a request, answers it, and encodes the answer under the request's number: all of a service whose commands are answered each
/// by itself. A frame that was refused has the number 0.
pub fn answered<'s, Q, A>(
    received: Result<Message<'_>, FrameError>,
    room: &'s mut Body,
    answer: impl FnOnce(Result<Q, FrameError>) -> A,
) -> Option<Message<'s>>
where
    Q: for<'de> Deserialize<'de>,
    A: Serialize,
{
    let number = received.map_or(0, |message| message.number);
    encode(&answer(received.and_then(|message| message.decode())), room).ok()?;
    Some(Message { number, body: room })
}

/// Sends one frame.
///
/// # Errors
/// The port's own.
pub fn transmit<P: Write>(port: &mut P, message: Message) -> Result<(), P::Error> {
    let mut out = [0; MAX_FRAME];
    if let Ok(len) = frame(message, &mut out) {
        port.write_all(out.get(..len).unwrap_or_default())?;
        port.flush()?;
    }
    Ok(())
}

/// Sends one message under the number 0. One that is too large for a frame is left out.
///
/// # Errors
/// The port's own.
pub fn send<P: Write>(port: &mut P, message: &impl Serialize) -> Result<(), P::Error> {
    let mut body = Body::new();
    match encode(message, &mut body) {
        Ok(()) => transmit(port, Message { number: 0, body: &body }),
        Err(_) => Ok(()),
    }
}
