//! A sensor on the two-wire bus in lock step with the host, which sets what it measures: all of a program but its sensor.

use board::{ConstStaticCell, MACHINE, fail, port};
use cellstate::{Model, Session, State};
use cellstate_app::clock::Clock;
use cellstate_app::lockstep::Lockstep;
use cellstate_app::predictor::{Predictor, Rules};
use cellstate_app::sampler::Sampler;
use cellstate_app::sensor::Sensor;
use cellstate_app::server::serve;
use cellstate_app::unplug::Unpluggable;
use cellstate_qemu::mps2::{sbcon::TwoWire, timers::Timers};
use core::cell::Cell;

/// The bus, which the host can unplug.
pub type Bus<'a> = Unpluggable<'a, TwoWire>;

/// Serves readings of the sensor that `sensor` makes, one every `period` microseconds, and what the model comes to.
pub fn run<'a, S: Sensor<N>, const N: usize, const BYTES: usize>(
    blob: &[u8],
    state: &'static ConstStaticCell<State<BYTES>>,
    period: u32,
    rules: Rules,
    plugged: &'a Cell<bool>,
    sensor: impl FnOnce(Bus<'a>) -> S,
) -> ! {
    let mut time = Timers::start(&MACHINE);
    let sensor = sensor(Unpluggable::new(TwoWire::start(), plugged));
    let sampler = Sampler::new(sensor, period, time.micros());
    let Some(state) = state.try_take() else { fail("main runs once") };
    let Ok(model) = Model::parse(blob) else { fail("the model on board does not load") };
    let Ok(session) = Session::new(&model, state) else { fail("the state is too small") };
    let Some(predictor) = Predictor::<N>::new(session, rules) else { fail("the model takes other samples") };
    let Ok(_) = serve(&mut port(), &mut Lockstep { sampler, predictor, time: &mut time, plugged });
    fail("the serial port closed")
}
