//! Frames and the server, on the host.

use cellstate_app::link::{MAX_FRAME, Reason, Receiver, Request, Response, encode};
use cellstate_app::profile::{self, Profiler};
use cellstate_app::server::{Counter, Server, Stack, serve};

fn frame(request: &impl serde::Serialize) -> Vec<u8> {
    let mut out = [0; MAX_FRAME];
    let len = encode(request, &mut out).unwrap();
    out[..len].to_vec()
}

fn sample() -> Request {
    Request::Sample(heapless::Vec::from_slice(&[1, -2, 300, i16::MIN, i16::MAX, 0]).unwrap())
}

#[test]
fn frames_come_back() {
    for request in [Request::Hello, Request::Reset, Request::Stack, sample()] {
        let bytes = frame(&request);
        assert_eq!(bytes.iter().position(|&b| b == 0), Some(bytes.len() - 1));
        let mut receiver = Receiver::new();
        let got: Vec<_> = bytes.iter().filter_map(|&b| receiver.push::<Request>(b)).collect();
        assert_eq!(got, [Ok(request)]);
    }
}

#[test]
fn no_flipped_bit_passes_and_the_next_frame_does() {
    let good = frame(&sample());
    for bit in 0..(good.len() - 1) * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.extend(&good);
        let mut receiver = Receiver::new();
        let got: Vec<_> = bytes.iter().filter_map(|&b| receiver.push::<Request>(b)).collect();
        assert!(got.len() >= 2, "bit {bit}");
        assert!(got[..got.len() - 1].iter().all(Result::is_err), "bit {bit}");
        assert_eq!(got[got.len() - 1], Ok(sample()), "bit {bit}");
    }
}

#[test]
fn a_frame_without_end_is_too_long() {
    let mut receiver = Receiver::new();
    for _ in 0..10 * MAX_FRAME {
        assert_eq!(receiver.push::<Request>(7), None);
    }
    assert!(receiver.push::<Request>(0).unwrap().is_err());
    let got: Vec<_> = frame(&Request::Hello).iter().filter_map(|&b| receiver.push::<Request>(b)).collect();
    assert_eq!(got, [Ok(Request::Hello)]);
}

struct Port {
    input: std::collections::VecDeque<u8>,
    output: Vec<u8>,
}

impl embedded_io::ErrorType for Port {
    type Error = core::convert::Infallible;
}

impl embedded_io::Read for Port {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Self::Error> {
        let byte = self.input.pop_front();
        buf.iter_mut().zip(byte).for_each(|(slot, b)| *slot = b);
        Ok(usize::from(byte.is_some()))
    }
}

impl embedded_io::Write for Port {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Self::Error> {
        self.output.extend(buf);
        Ok(buf.len())
    }

    fn flush(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}

struct Ticks(u32);

impl Counter for Ticks {
    fn now(&mut self) -> u32 {
        self.0 += 5;
        self.0
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        end - start
    }
}

static BLOB: cellstate::Aligned<[u8; include_bytes!("../../../tests/models/watch/watch.cell").len()]> =
    cellstate::Aligned(*include_bytes!("../../../tests/models/watch/watch.cell"));

#[test]
fn the_server_answers_and_rejects_without_losing_its_state() {
    let model = cellstate::Model::parse(&BLOB.0).unwrap();
    let mut state = cellstate::State::<1024>::new();
    let session = cellstate::Session::new(&model, &mut state).unwrap();
    let mut damaged = frame(&sample());
    damaged[3] ^= 4;
    let short = Request::Sample(heapless::Vec::from_slice(&[1]).unwrap());
    let requests = [
        frame(&Request::Hello),
        frame(&sample()),
        damaged,
        frame(&short),
        frame(&Request::Stack),
        frame(&Request::Reset),
        frame(&sample()),
    ];
    let mut port = Port { input: requests.concat().into(), output: Vec::new() };
    let stack = Stack { used: 100, size: 16_384 };
    serve(&mut port, &mut Server::new(session, Ticks(0), || stack)).unwrap();
    let mut receiver = Receiver::new();
    let got: Vec<Response> = port.output.iter().filter_map(|&b| receiver.push(b)).map(Result::unwrap).collect();
    assert_eq!(got.len(), 7);
    assert!(matches!(got[0], Response::Ready { inputs: 6, .. }));
    // The counter advances at each look at it: at the last byte, before the step, after it, and at the decision.
    assert!(matches!(got[1], Response::Prediction { ticks: 5, latency: 15, .. }), "{:?}", got[1]);
    assert!(matches!(got[2], Response::Rejected(Reason::Frame(_))));
    assert_eq!(got[3], Response::Rejected(Reason::Shape));
    assert_eq!(got[4], Response::Stack(stack));
    assert_eq!(got[5], Response::Done);
    assert_eq!(got[6], got[1]);
}

#[test]
fn the_profiler_tells_layers_and_steps_as_the_server_does() {
    let model = cellstate::Model::parse(&BLOB.0).unwrap();
    let (mut state, mut plain) = (cellstate::State::<1024>::new(), cellstate::State::<1024>::new());
    let session = cellstate::Session::new(&model, &mut state).unwrap();
    let counts = [1, -2, 300, i16::MIN, i16::MAX, 0];
    let samples = [&counts[..], &counts[..1], &counts[..]].map(|s| heapless::Vec::from_slice(s).unwrap());
    let mut input = samples.map(|s| frame(&profile::Request::Sample(s))).concat();
    input[3] ^= 4;
    let mut port = Port { input: input.into(), output: Vec::new() };
    serve(&mut port, &mut Profiler::new(session, Ticks(0))).unwrap();
    let mut receiver = Receiver::new();
    let got: Vec<profile::Response> =
        port.output.iter().filter_map(|&b| receiver.push(b)).map(Result::unwrap).collect();
    let mut session = cellstate::Session::new(&model, &mut plain).unwrap();
    session.step_i16(&counts).unwrap();
    assert!(matches!(got[0], profile::Response::Rejected(Reason::Frame(_))));
    assert_eq!(got[1], profile::Response::Rejected(Reason::Shape));
    // Two layers of two looks each, and one look before and after.
    let layers = heapless::Vec::from_slice(&[5, 5]).unwrap();
    assert_eq!(got[2], profile::Response::Stepped { digest: session.digest(), ticks: 25, layers });
    assert_eq!(got.len(), 3);
}
