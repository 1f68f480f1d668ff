//! cellstate on an emulated Cortex-M4F: raw samples in over the UART, predictions and state digests out.
//!
//! This file is wiring only. What is served is `cellstate-app`; the model is what `build.rs` found.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use cellstate::{Model, Session, State};
use cellstate_app::server::serve;
use cortex_m_rt::entry;
use qemu_mps2_an386::{fail, systick::SysTick, uart::Uart};

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

#[entry]
fn main() -> ! {
    // `entry` makes this a mutable reference that only main can have: the state counts as static RAM.
    static mut STATE: State<{ model::STATE_BYTES }> = State::new();
    let mut port = Uart::start();
    let mut counter = SysTick::start();
    let Ok(model) = Model::parse(&model::BLOB.0) else { fail("the model on board does not load") };
    let Ok(mut session) = Session::new(&model, STATE) else { fail("the state is too small") };
    if serve(&mut port, &mut session, &mut counter).is_err() {
        fail("the serial port failed")
    }
    fail("the serial port closed")
}
