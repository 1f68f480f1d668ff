//! A host that sets up the world before each sample: every reading reaches it, and a bus that is unplugged fails by itself.

use cellstate::{Model, Session, State};
use cellstate_app::clock::Clock;
use cellstate_app::link::{Body, FrameError, MAX_FRAME, Message, Receiver, encode, frame};
use cellstate_app::lockstep::{Holdable, Lockstep, Request, Response};
use cellstate_app::predictor::{Predicted, Predictor, Rules};
use cellstate_app::sampler::{Sampled, Sampler};
use cellstate_app::sensor::Fault;
use cellstate_app::sensors::tmp105::Thermometer;
use cellstate_app::server::serve;
use cellstate_app::unplug::Unpluggable;
use embedded_hal::delay::DelayNs;
use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};
use std::cell::Cell;
use std::collections::VecDeque;

const PERIOD: u32 = 5_000_000;
const RULES: Rules = Rules { bridge: 3, debounce: 2 };

/// Time that goes on while it is slept, and counts how often it was let go.
#[derive(Default)]
struct Time {
    nanos: u64,
    held: bool,
    released: u32,
}

impl Clock for Time {
    fn micros(&mut self) -> u32 {
        (self.nanos / 1000) as u32
    }
}

impl Holdable for Time {
    fn hold(&mut self, held: bool) {
        self.released += u32::from(self.held && !held);
        self.held = held;
    }
}

impl DelayNs for Time {
    fn delay_ns(&mut self, ns: u32) {
        assert!(!self.held, "nobody sleeps while time stands still");
        self.nanos += u64::from(ns);
    }
}

/// A port on which everything was said already.
struct Port {
    input: VecDeque<u8>,
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

fn command(number: u16, request: Request) -> Vec<u8> {
    let (mut body, mut out) = (Body::new(), [0; MAX_FRAME]);
    encode(&request, &mut body).unwrap();
    let len = frame(Message { number, body: &body }, &mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn every_request_is_one_sample() {
    let bytes = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/motes/motes.cell")).unwrap();
    let words: Vec<u32> = bytes.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let (mut state, mut replayed) = (State::<1024>::new(), State::<1024>::new());
    let mut replay = Session::new(&model, &mut replayed).unwrap();

    let setup = |address| Transaction::write(address, vec![0x01, 0x60]);
    let read = |bytes: [u8; 2]| Transaction::write_read(0x48, vec![0], bytes.to_vec());
    let nobody = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);
    let mut bus = Mock::new(&[
        setup(0x48),
        read([0x19, 0x10]),
        Transaction::write_read(0x7f, vec![0], vec![0, 0]).with_error(nobody),
        setup(0x7f).with_error(nobody),
        setup(0x48),
        read([0x19, 0x20]),
    ]);
    let plugged = Cell::new(true);
    let sensor = Thermometer::new(Unpluggable::new(bus.clone(), &plugged));
    let mut time = Time { held: true, ..Time::default() };
    let sampler = Sampler::new(sensor, PERIOD, time.micros());
    let predictor = Predictor::<1>::new(Session::new(&model, &mut state).unwrap(), RULES).unwrap();

    let requests = [(7, true), (8, false), (9, false), (9, true)];
    let mut input = requests.map(|(number, plugged)| command(number, Request::Next { plugged })).concat();
    let mut damaged = command(10, Request::Counts);
    damaged[2] ^= 4;
    input.extend(damaged);
    input.extend(command(11, Request::Counts));
    let mut port = Port { input: input.into(), output: Vec::new() };
    serve(&mut port, &mut Lockstep { sampler, predictor, time: &mut time, plugged: &plugged }).unwrap();
    bus.done();

    let mut receiver = Receiver::new();
    let answer = |&byte: &u8| receiver.push(byte).map(|m| m.map(|m| (m.number, m.decode().unwrap())).unwrap());
    let (numbers, got): (Vec<u16>, Vec<Response>) = port.output.iter().filter_map(answer).unzip();
    // A frame that was refused has no number.
    assert_eq!(numbers, [7, 8, 9, 9, 0, 11]);
    let readings = [Ok(401), Err(Fault::NoAcknowledge), Err(Fault::NoAcknowledge), Ok(402)];
    for (index, reading) in readings.into_iter().enumerate() {
        let Response::Taken(taken) = &got[index] else { panic!("{:?}", got[index]) };
        assert_eq!(taken.index, index as u32);
        assert_eq!(taken.reading, reading.map(|count| heapless::Vec::from_array([count])));
        // The two that fail are bridged when the last comes.
        let steps: &[i16] = match index {
            0 => &[401],
            3 => &[401, 401, 402],
            _ => &[],
        };
        for &count in steps {
            replay.step_i16(&[count]).unwrap();
        }
        assert_eq!(taken.digest, replay.digest());
        assert_eq!(taken.decision.is_some(), reading.is_ok());
        let outputs: Vec<i32> = replay.head(0).iter().chain(replay.head(1).iter()).collect();
        assert_eq!(taken.outputs, outputs[..]);
    }
    assert!(matches!(got[4], Response::Rejected(FrameError::Checksum | FrameError::Framing)), "{:?}", got[4]);
    let sampled = Sampled { read: 2, failed: 2, ..Sampled::default() };
    let predicted = Predicted { accepted: 2, faults: 2, bridged: 2, ..Predicted::default() };
    assert_eq!(got[5], Response::Counts { sampled, predicted });
    assert_eq!(got.len(), 6);
    assert_eq!((time.micros(), time.released), (3 * PERIOD, 4));
}
