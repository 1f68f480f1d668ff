//! Where a step's time goes: raw samples in over the serial port, what each layer took of the counter out.
//!
//! This file is wiring only. What is served is `cellstate-app`.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod on_board;

use board::{counter, entry, port};
use cellstate_app::profile::Profiler;
use cellstate_app::server::serve;

#[entry]
fn main() -> ! {
    on_board::run(|session| {
        let Ok(()) = serve(&mut port(), &mut Profiler::new(session, counter()));
    })
}
