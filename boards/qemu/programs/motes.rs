//! A sensor mote: a TMP105 on the two-wire bus, read every 5 s, and the model that forecasts the next reading and tells events.
//!
//! This file is wiring only. The host sets what the sensor measures before each sample and sees what comes of it:
//! `cellstate_app::lockstep`.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod on_bus;

use board::{ConstStaticCell, entry};
use cellstate::State;
use cellstate_app::mote::{PERIOD, RULES};
use cellstate_app::sensors::tmp105::Thermometer;
use core::cell::Cell;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!("../../../tests/models/motes/motes.rs");
}

/// Counts as static RAM.
static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

#[entry]
fn main() -> ! {
    on_bus::run(&model::BLOB.0, &STATE, PERIOD, RULES, &Cell::new(true), Thermometer::new)
}
