//! Sleep on Cortex-M cores by their own timer.

use crate::clock::{Clock, Sleep};
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// A timer that runs while the core sleeps, and SysTick to wake it. SysTick has 24 bits, so a long sleep comes in parts.
///
/// The board defines an empty exception handler `SysTick`: returning from it sets the event that ends the sleep, also when it
/// comes before the sleep begins.
pub struct Alarm<F> {
    micros: F,
    timer: SYST,
    ticks_per_micro: u32,
}

impl<F: FnMut() -> u32> Alarm<F> {
    /// Of a core that runs at so many MHz, with what reads the board's timer in microseconds.
    pub fn new(micros: F, mut timer: SYST, mhz: u32) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        Self { micros, timer, ticks_per_micro: mhz }
    }
}

impl<F: FnMut() -> u32> Clock for Alarm<F> {
    fn micros(&mut self) -> u32 {
        (self.micros)()
    }
}

impl<F: FnMut() -> u32> Sleep for Alarm<F> {
    fn sleep(&mut self, micros: u32) {
        // From the value to zero, and the exception.
        let ticks = micros.saturating_mul(self.ticks_per_micro).clamp(2, 1 << 24);
        self.timer.set_reload(ticks - 1);
        self.timer.clear_current();
        self.timer.enable_interrupt();
        self.timer.enable_counter();
        cortex_m::asm::wfe();
        self.timer.disable_counter();
        self.timer.disable_interrupt();
    }
}
