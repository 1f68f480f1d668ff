//! Sleep on Cortex-M cores by their own timer.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

/// SysTick as an alarm. It has 24 bits, so a long sleep comes in parts.
///
/// The board defines an empty exception handler `SysTick`: returning from it sets the event that ends the sleep, also when it
/// comes before the sleep begins.
pub struct Alarm {
    timer: SYST,
    ticks_per_micro: u32,
}

impl Alarm {
    /// Of a core that runs at so many MHz.
    pub fn new(mut timer: SYST, mhz: u32) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        Self { timer, ticks_per_micro: mhz }
    }

    /// Sleeps for so many microseconds, or less.
    pub fn sleep(&mut self, micros: u32) {
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
