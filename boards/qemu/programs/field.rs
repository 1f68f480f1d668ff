//! A device in the field: samples, states and signed updates of its model over the serial port, models in an EEPROM.
//!
//! This file is wiring only. The program's own model is what `build.rs` found, as long as there was no update.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod on_eeprom;

use board::{ConstStaticCell, Painted, entry, fail};
use cellstate_qemu::mps2::sbcon::TwoWire;
use on_eeprom::Room;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

/// Bytes of a slot; a model has 160 less.
const SLOT: u32 = 16 * 1024;
/// Room for models that are as large as the program's own, rounded up, and half as large again.
const BLOB: usize = (model::BLOB.0.len() * 3 / 2).next_multiple_of(512);
const STATE: usize = model::STATE_BYTES * 2;

/// Counts as static RAM. A saved state has 8 bytes more than the state.
static ROOM: ConstStaticCell<Room<BLOB, STATE, { STATE + 8 }>> = ConstStaticCell::new(Room::new());

#[entry]
fn main() -> ! {
    let stack = Painted::all();
    let Some(room) = ROOM.try_take() else { fail("main runs once") };
    on_eeprom::run(TwoWire::start(), SLOT, &model::BLOB.0, model::INPUTS, room, &stack)
}
