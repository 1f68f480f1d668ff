//! Runs the trials that the emulator put into memory, and says of each: checksum, ticks of the counter, peak stack.
//!
//! The host runs the same trials and compares; the emulator counts instructions between [`traced_step`] and its return.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod pack;

use cellstate::{Session, State};
use cellstate_app::server::Counter;
use cellstate_app::trial::{self, STATE_BYTES};
use cellstate_qemu::{ConstStaticCell, counter, fail, stack};
use fixed::types::I1F15;
use semihosting::{println, process};

/// One step and a look at its first output, under a name that the emulator's trace can be searched for.
#[inline(never)]
#[unsafe(no_mangle)]
#[allow(unsafe_code, reason = "a name that nothing else has")]
extern "Rust" fn traced_step(session: &mut Session, stream: usize, sample: &[I1F15]) -> Option<i32> {
    session.step_stream(stream, sample).ok()?.get(0)
}

/// As much state as the machine has room for: the smallest one for the trials', others for a ring of memories.
const BYTES: usize = if cfg!(small) { STATE_BYTES } else { 8 * STATE_BYTES };

/// Counts as static RAM.
static STATE: ConstStaticCell<State<BYTES>> = ConstStaticCell::new(State::new());

#[cellstate_qemu::entry]
fn main() -> ! {
    let mut counter = counter::start();
    let Some(state) = STATE.try_take() else { fail("main runs once") };
    for (steps, blob) in trial::trials(pack::pack()) {
        let (mut ticks, mut peak) = (0, 0);
        let checksum = trial::run(blob, steps, state, |session, stream, sample| {
            let ((done, passed), depth) = stack::depth(|| {
                let start = counter.now();
                let done = traced_step(session, stream, sample).is_some();
                let end = counter.now();
                (done, counter.between(start, end))
            });
            ticks = ticks.max(passed);
            peak = peak.max(depth);
            done
        });
        match checksum {
            Ok(checksum) => println!("trial {checksum:08x} {ticks} {peak}"),
            Err(failure) => {
                println!("failed {failure:?}");
                process::exit(1);
            }
        }
    }
    process::exit(0)
}
