//! The smallest program that loads a model and steps it: what the runtime costs in code, every layer and every weight
//! format included.

#![no_std]
#![no_main]
#![deny(unsafe_code)]
#![allow(clippy::empty_loop, reason = "the smallest program does nothing in the end")]

use cellstate::{Model, Session, State};
use core::hint::black_box;

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let mut state = State::<1024>::new();
    let blob: &[u8] = black_box(&[]);
    if let Ok(model) = Model::parse(blob)
        && let Ok(mut session) = Session::new(&model, &mut state)
    {
        while session.step_i16(black_box(&[0; 3])).is_ok() {
            black_box(session.output().argmax());
        }
    }
    loop {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
