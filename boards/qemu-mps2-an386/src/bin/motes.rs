//! A sensor mote: a TMP105 on the two-wire bus, read every 5 s, and the model that forecasts the next reading and tells events.
//!
//! This file is wiring only. The host sets the temperature before each sample and sees what comes of it:
//! `cellstate_app::lockstep`.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use board::{ConstStaticCell, MACHINE, entry, fail, port};
use cellstate::{Model, Session, State};
use cellstate_app::clock::Clock;
use cellstate_app::lockstep::Lockstep;
use cellstate_app::mote::{PERIOD, RULES};
use cellstate_app::predictor::Predictor;
use cellstate_app::sampler::Sampler;
use cellstate_app::sensors::tmp105::Thermometer;
use cellstate_app::server::serve;
use cellstate_app::unplug::Unpluggable;
use cellstate_qemu::mps2::{sbcon::TwoWire, timers::Timers};
use core::cell::Cell;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!("../../../../tests/models/motes/motes.rs");
}

/// Counts as static RAM.
static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

#[entry]
fn main() -> ! {
    let mut time = Timers::start(&MACHINE);
    let plugged = Cell::new(true);
    let sensor = Thermometer::new(Unpluggable::new(TwoWire::start(), &plugged));
    let sampler = Sampler::new(sensor, PERIOD, time.micros());
    let Some(state) = STATE.try_take() else { fail("main runs once") };
    let Ok(model) = Model::parse(&model::BLOB.0) else { fail("the model on board does not load") };
    let Ok(session) = Session::new(&model, state) else { fail("the state is too small") };
    let Some(predictor) = Predictor::<{ model::INPUTS }>::new(session, RULES) else {
        fail("the model takes other samples")
    };
    let Ok(()) = serve(&mut port(), &mut Lockstep { sampler, predictor, time: &mut time, plugged: &plugged });
    fail("the serial port closed")
}
