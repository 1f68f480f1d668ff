//! A sensor mote: a TMP105 on the two-wire bus, read every 5 s, and the model that forecasts the next reading and tells events.
//!
//! This file is wiring only. The host sets the temperature before each sample and sees what comes of it:
//! `cellstate_app::lockstep`.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use cellstate::{Model, Session, State};
use cellstate_app::clock::Clock;
use cellstate_app::lockstep::serve;
use cellstate_app::mote::{PERIOD, RULES};
use cellstate_app::predictor::Predictor;
use cellstate_app::sampler::Sampler;
use cellstate_app::sensors::tmp105::Thermometer;
use cellstate_app::unplug::Unpluggable;
use core::cell::Cell;
use cortex_m_rt::entry;
use qemu_mps2_an386::{fail, sbcon::TwoWire, timers::Timers, uart::Uart};

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!("../../../../tests/models/motes/motes.rs");
}

#[entry]
fn main() -> ! {
    // `entry` makes this a mutable reference that only main can have: the state counts as static RAM.
    static mut STATE: State<{ model::STATE_BYTES }> = State::new();
    let mut port = Uart::start();
    let mut time = Timers::start();
    let plugged = Cell::new(true);
    let sensor = Thermometer::new(Unpluggable::new(TwoWire::start(), &plugged));
    let mut sampler = Sampler::new(sensor, PERIOD, time.micros());
    let Ok(model) = Model::parse(&model::BLOB.0) else { fail("the model on board does not load") };
    let Ok(session) = Session::new(&model, STATE) else { fail("the state is too small") };
    let Some(mut predictor) = Predictor::<{ model::INPUTS }>::new(session, RULES) else {
        fail("the model takes other samples")
    };
    if serve(&mut port, &mut sampler, &mut predictor, &mut time, &plugged).is_err() {
        fail("the serial port failed")
    }
    fail("the serial port closed")
}
