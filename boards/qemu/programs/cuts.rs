//! A device in the field whose power is cut in the middle of a write to its EEPROM, at the one that the host chose. Its model is that
//! of the sensor motes, which is small, so that there are few enough writes to cut each.
//!
//! This file is wiring only.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod on_eeprom;

use board::{ConstStaticCell, Painted, entry, fail};
use cellstate_qemu::cut::{Cut, Plan};
use cellstate_qemu::mps2::{self, sbcon::TwoWire};
use on_eeprom::Room;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!("../../../tests/models/motes/motes.rs");
}

/// Bytes of a slot; a model has 160 less.
const SLOT: u32 = 3 * 1024;

/// Counts as static RAM. A saved state has 8 bytes more than the state.
static ROOM: ConstStaticCell<Room<3072, { model::STATE_BYTES }, { model::SAVED_BYTES }>> =
    ConstStaticCell::new(Room::new());

#[entry]
fn main() -> ! {
    let stack = Painted::all();
    let Some(room) = ROOM.try_take() else { fail("main runs once") };
    let bus = Cut::new(TwoWire::start(), Plan::loaded(mps2::loaded()));
    on_eeprom::run(bus, SLOT, &model::BLOB.0, model::INPUTS, room, &stack)
}
