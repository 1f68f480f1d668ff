//! Serves requests over a serial port.

use crate::link::{MAX_FRAME, Reason, Receiver, Request, Response, encode};
use cellstate::Session;
use embedded_io::{Read, Write};

/// A free-running counter of 24 bits or more that counts up: cycles, instructions or microseconds.
pub trait Counter {
    /// The present count.
    fn now(&mut self) -> u32;
    /// What passed between two counts, wrap-around included.
    fn between(&self, start: u32, end: u32) -> u32;
}

/// Answers one request.
pub fn answer(request: Request, session: &mut Session, counter: &mut impl Counter) -> Response {
    match request {
        Request::Hello => Response::Ready {
            model: session.model().id(),
            inputs: session.model().inputs() as u16,
            state_bytes: session.model().state_bytes() as u32,
        },
        Request::Reset => {
            session.reset();
            Response::Done
        }
        Request::Sample(sample) => {
            let start = counter.now();
            let stepped = session.step_i16(&sample).is_ok();
            let end = counter.now();
            let output = session.output();
            if !stepped || output.len() > crate::link::MAX_OUTPUTS {
                return Response::Rejected(Reason::Shape);
            }
            let argmax = output.argmax() as u16;
            // Room was checked above; `collect` would bring in a panic.
            let mut outputs = heapless::Vec::new();
            output.iter().all(|v| outputs.push(v).is_ok());
            Response::Prediction { argmax, outputs, digest: session.digest(), ticks: counter.between(start, end) }
        }
    }
}

/// Serves until the port fails.
///
/// # Errors
/// The port's own.
pub fn serve<P: Read + Write>(port: &mut P, session: &mut Session, counter: &mut impl Counter) -> Result<(), P::Error> {
    let mut receiver = Receiver::new();
    let mut frame = [0; MAX_FRAME];
    loop {
        let mut byte = [0];
        if port.read(&mut byte)? == 0 {
            return Ok(());
        }
        let [byte] = byte;
        let Some(request) = receiver.push(byte) else {
            continue;
        };
        let response = match request {
            Ok(request) => answer(request, session, counter),
            Err(e) => Response::Rejected(Reason::Frame(e)),
        };
        if let Ok(len) = encode(&response, &mut frame) {
            port.write_all(frame.get(..len).unwrap_or_default())?;
            port.flush()?;
        }
    }
}
