//! The loop that every board with a sensor runs: what it reports, and when it sleeps.

use cellstate::{Model, Session, State};
use cellstate_app::app::{Application, COUNTS_EVERY, Refused, Report, Settings};
use cellstate_app::clock::Clock;
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Fault, Revived, Sensor};
use embedded_hal::digital::{ErrorType, OutputPin, StatefulOutputPin};
use std::cell::Cell;
use std::convert::Infallible;

const LABELS: [&str; 7] = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"];
const SETTINGS: Settings = Settings { period: 40_000, rules: Rules { bridge: 5, debounce: 3 }, labels: &LABELS };
/// Readings until a sensor fails.
const LIFE: u32 = 600;

struct Time(u32);

impl Clock for Time {
    fn micros(&mut self) -> u32 {
        self.0
    }
}

/// Waves that change every hundred readings; it loses its settings after [`LIFE`].
struct Mortal(u32);

impl Sensor<6> for Mortal {
    fn read(&mut self) -> Result<[i16; 6], Fault> {
        self.0 += 1;
        let t = self.0 as i32;
        if self.0 > LIFE {
            return Err(Fault::Bus);
        }
        Ok([3, 5, 7, 11, 13, 17].map(|k| (t * k % 200 * (t / 100 * 20) - 4000) as i16))
    }
}

/// Counts how often it is toggled.
struct Light<'a>(&'a Cell<u32>);

impl ErrorType for Light<'_> {
    type Error = Infallible;
}

impl OutputPin for Light<'_> {
    fn set_low(&mut self) -> Result<(), Infallible> {
        self.0.set(self.0.get() + 1);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        self.set_low()
    }
}

impl StatefulOutputPin for Light<'_> {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(!self.0.get().is_multiple_of(2))
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.get().is_multiple_of(2))
    }
}

fn blob() -> Vec<u32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/watch/watch.cell");
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect()
}

#[test]
fn failures_are_reported_once_and_the_sensor_is_set_up_again() {
    let words = blob();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = State::<1024>::new();
    let session = Session::new(&model, &mut state).unwrap();
    let (tries, toggles) = (Cell::new(0), Cell::new(0));
    // Absent at first, for three periods.
    let sensor = Revived::new(|| {
        tries.set(tries.get() + 1);
        if tries.get() <= 3 { Err(Fault::NoAcknowledge) } else { Ok(Mortal(0)) }
    });
    let mut time = Time(7);
    let mut application = Application::new(SETTINGS, session, sensor, Light(&toggles), time.0).unwrap();
    let (mut rest, mut decided, mut counts) = (Vec::new(), 0, Vec::new());
    for turn in 0..2 * COUNTS_EVERY {
        let left = application.turn(&mut time, |report| match report {
            Report::Decided { label, latency, .. } => {
                assert!(LABELS.contains(&label.0));
                assert_eq!(latency, 0);
                decided += 1;
            }
            Report::Counts { sampled, predicted } => counts.push((turn + 1, sampled, predicted)),
            Report::Failed { index, fault } => rest.push((index, Some(fault))),
            Report::Recovered { index } => rest.push((index, None)),
        });
        assert_eq!(left, SETTINGS.period, "nothing is due before the next period");
        assert_eq!(application.turn(&mut time, |_| panic!("nothing happened")), left);
        time.0 += left;
    }
    let dies = [3 + LIFE, 3 + LIFE + 1 + LIFE, 3 + 2 * (LIFE + 1) + LIFE];
    let mut expected = vec![(0, Some(Fault::NoAcknowledge)), (3, None)];
    expected.extend(dies.iter().flat_map(|&at| [(at, Some(Fault::Bus)), (at + 1, None)]));
    assert_eq!(rest, expected);
    assert_eq!(tries.get(), 3 + 1 + 3, "once before, and once after each fault");
    assert_eq!(decided, toggles.get());
    assert!(decided > 3, "{decided} decisions");
    assert_eq!(counts.iter().map(|c| c.0).collect::<Vec<_>>(), [COUNTS_EVERY, 2 * COUNTS_EVERY]);
    for (turns, sampled, predicted) in counts {
        assert_eq!((sampled.read + sampled.failed, sampled.missed, sampled.dropped), (turns, 0, 0));
        assert_eq!((predicted.accepted, predicted.faults), (sampled.read, sampled.failed));
    }
}

#[test]
fn a_sensor_that_does_not_fit_the_model_is_refused() {
    struct One;
    impl Sensor<1> for One {
        fn read(&mut self) -> Result<[i16; 1], Fault> {
            Ok([0])
        }
    }
    let words = blob();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = State::<1024>::new();
    let session = Session::new(&model, &mut state).unwrap();
    let toggles = Cell::new(0);
    let refused = Application::new(SETTINGS, session, One, Light(&toggles), 0).err();
    assert_eq!(refused, Some(Refused::Inputs));
}
