//! cellstate on an emulated board: raw samples in over the serial port, predictions and state digests out; states, profiles and counts.
//!
//! This file is wiring only. What is served is `cellstate-app`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod on_board;

use board::{ConstStaticCell, Painted, counter, entry, fail, port};
use cellstate_app::device::{Device, Memory};
use cellstate_app::server::{Ended, Service, serve};
use on_board::model::SAVED_BYTES;

/// Counts as static RAM.
static MEMORY: ConstStaticCell<Memory<SAVED_BYTES>> = ConstStaticCell::new(Memory::new());

#[entry]
fn main() -> ! {
    let stack = Painted::all();
    let Some(memory) = MEMORY.try_take() else { fail("main runs once") };
    on_board::run(|session| {
        let mut device = Device::new(session, memory, counter(), || stack.high_water(), ());
        while let Ok(Ended::Restart) = serve(&mut port(), &mut device) {
            device.restart();
        }
    })
}
