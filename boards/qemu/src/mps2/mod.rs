//! Arm's MPS2 boards, which have most in common.
#![allow(unsafe_code, reason = "addresses of peripherals")]

use crate::registers::{Line, Registers};

pub mod led;
pub mod sbcon;
pub mod timers;
pub mod uart;

/// Where one of them has its peripherals, by its Application Note.
#[derive(Debug)]
pub struct Machine {
    uart: Registers,
    /// A byte was received.
    received: Line,
    /// The first timer is the clock, the second wakes the core.
    clock: Registers,
    alarm: Registers,
    alarmed: Line,
    ticks_per_microsecond: u32,
    leds: Registers,
}

impl Machine {
    /// Megahertz of the core, of its SysTick, and of the timers.
    pub const fn mhz(&self) -> u32 {
        self.ticks_per_microsecond
    }
}

/// What the emulator loaded into the PSRAM of AN385 or AN386, 16 MB that are nobody else's: a recording, or a [plan](crate::cut::Plan);
/// nothing if it did not.
pub fn loaded() -> &'static [u8] {
    // SAFETY: the memory is there, zero unless it was filled, and no linker script here gives it to anything.
    unsafe { crate::loaded(0x2100_0000) }
}

/// Of AN385, a Cortex-M3, and AN386, a Cortex-M4F.
pub static AN385: Machine = Machine {
    // SAFETY: this board has a CMSDK UART and two CMSDK timers there, which move no data by themselves.
    uart: unsafe { Registers::at(0x4000_4000) },
    received: Line(0),
    // SAFETY: as above.
    clock: unsafe { Registers::at(0x4000_0000) },
    // SAFETY: as above.
    alarm: unsafe { Registers::at(0x4000_1000) },
    alarmed: Line(9),
    ticks_per_microsecond: 25,
    // SAFETY: this board's LEDs, which only shine.
    leds: unsafe { Registers::at(0x4002_8000) },
};

/// Of AN505, a Cortex-M33, at the addresses for secure access, in which the core starts.
pub static AN505: Machine = Machine {
    // SAFETY: this board has a CMSDK UART and two CMSDK timers there, which move no data by themselves.
    uart: unsafe { Registers::at(0x5020_0000) },
    received: Line(32),
    // SAFETY: as above.
    clock: unsafe { Registers::at(0x5000_0000) },
    // SAFETY: as above.
    alarm: unsafe { Registers::at(0x5000_1000) },
    alarmed: Line(4),
    ticks_per_microsecond: 20,
    // SAFETY: this board's LEDs, which only shine.
    leds: unsafe { Registers::at(0x5030_2000) },
};
