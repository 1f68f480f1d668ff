//! Vehicles in a lane: an LSM303DLHC's magnetometer on the two-wire bus, read every 40 ms, and the model that tells their direction.
//!
//! This file is wiring only. The host sets what the sensor measures before each sample and sees what comes of it:
//! `cellstate_app::lockstep`.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod on_bus;

use board::{ConstStaticCell, entry};
use cellstate::State;
use cellstate_app::lane::{PERIOD, RULES};
use cellstate_app::sensors::lsm303dlhc::Magnetometer;
use core::cell::Cell;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!("../../../tests/models/lane/lane.rs");
}

/// Counts as static RAM.
static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

#[entry]
fn main() -> ! {
    on_bus::run(&model::BLOB.0, &STATE, PERIOD, RULES, &Cell::new(true), Magnetometer::new)
}
