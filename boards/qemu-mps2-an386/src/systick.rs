//! SysTick as a counter: 24 bits, counting down, 25 MHz on this board.
//!
//! Under `-icount shift=7` an instruction takes 128 ns of emulated time, which is 3.2 ticks of 40 ns.
#![allow(unsafe_code, reason = "memory-mapped registers")]

use cellstate_app::server::Counter;

const CSR: *mut u32 = 0xE000_E010 as *mut u32;
const RVR: *mut u32 = 0xE000_E014 as *mut u32;
const CVR: *mut u32 = 0xE000_E018 as *mut u32;
const MASK: u32 = 0x00ff_ffff;

/// The core's own timer.
pub struct SysTick(());

impl SysTick {
    /// Starts it with the processor clock and the longest period, without an interrupt.
    pub fn start() -> Self {
        // SAFETY: these are the SysTick registers of every Armv7-M core, and nothing else here uses the timer.
        unsafe {
            RVR.write_volatile(MASK);
            CVR.write_volatile(0);
            CSR.write_volatile(5);
        }
        Self(())
    }
}

impl Counter for SysTick {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        // SAFETY: reading the current value has no side effect but clearing a flag that is not used.
        unsafe { CVR.read_volatile() }
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        start.wrapping_sub(end) & MASK
    }
}
