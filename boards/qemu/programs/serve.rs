//! cellstate on an emulated board: raw samples in over the serial port, predictions and state digests out.
//!
//! This file is wiring only. What is served is `cellstate-app`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod on_board;

use board::{Painted, counter, entry, port};
use cellstate_app::server::{Server, serve};

#[entry]
fn main() -> ! {
    let stack = Painted::all();
    on_board::run(|session| {
        let Ok(()) = serve(&mut port(), &mut Server::new(session, counter(), || stack.high_water()));
    })
}
