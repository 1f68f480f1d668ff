//! The two CMSDK APB timers of the MPS2 boards: one is the clock, the other wakes the core.
//!
//! Both count down at 25 MHz. No interrupt is ever served: all are masked, and one that is pending ends a `wfi` nevertheless.
//! Registers: Arm Cortex-M System Design Kit Technical Reference Manual, section 4.2.
#![allow(unsafe_code, reason = "memory-mapped registers")]

use cellstate_app::clock::Clock;
use cellstate_app::lockstep::Holdable;
use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use embedded_hal::delay::DelayNs;

const CLOCK: *mut u32 = 0x4000_0000 as *mut u32;
const ALARM: *mut u32 = 0x4000_1000 as *mut u32;
/// Word offsets. Writing `RELOAD` sets `VALUE`, too, and a timer with a `RELOAD` of 0 stops at 0; writing 1 to `INTSTATUS` clears it.
const CTRL: usize = 0;
const VALUE: usize = 1;
const RELOAD: usize = 2;
const INTSTATUS: usize = 3;
/// Bits of CTRL.
const ENABLE: u32 = 1;
const INTERRUPT: u32 = 8;
const TICKS_PER_MICROSECOND: u32 = 25;
const NANOSECONDS_PER_TICK: u32 = 40;

/// The alarm's interrupt.
#[derive(Clone, Copy)]
struct AlarmLine;

// SAFETY: the second timer's interrupt is number 9 on this board, and there is no other of this type.
unsafe impl InterruptNumber for AlarmLine {
    fn number(self) -> u16 {
        9
    }
}

/// A clock of microseconds that can be held, and sleep.
pub struct Timers {
    /// The clock's value when it was read last: to be read again before it wraps around, which takes 171 s.
    seen: u32,
    micros: u32,
    /// Ticks beyond `micros`.
    rest: u32,
}

impl Timers {
    /// The clock begins at 0, and is held.
    pub fn start() -> Self {
        cortex_m::interrupt::disable();
        // SAFETY: no critical section relies on this interrupt being masked, and it has no handler that could run.
        unsafe { NVIC::unmask(AlarmLine) };
        write(CLOCK, RELOAD, u32::MAX);
        Self { seen: read(CLOCK, VALUE), micros: 0, rest: 0 }
    }
}

fn read(timer: *mut u32, register: usize) -> u32 {
    // SAFETY: both timers have their registers at the offsets above on this board; reading them is always allowed.
    unsafe { timer.add(register).read_volatile() }
}

fn write(timer: *mut u32, register: usize, value: u32) {
    // SAFETY: as above; the timers touch no memory.
    unsafe { timer.add(register).write_volatile(value) }
}

impl Clock for Timers {
    fn micros(&mut self) -> u32 {
        let now = read(CLOCK, VALUE);
        let ticks = self.seen.wrapping_sub(now).wrapping_add(self.rest);
        self.seen = now;
        self.micros = self.micros.wrapping_add(ticks / TICKS_PER_MICROSECOND);
        self.rest = ticks % TICKS_PER_MICROSECOND;
        self.micros
    }
}

impl Holdable for Timers {
    fn hold(&mut self, held: bool) {
        write(CLOCK, CTRL, if held { 0 } else { ENABLE });
    }
}

impl DelayNs for Timers {
    fn delay_ns(&mut self, ns: u32) {
        if ns == 0 {
            return;
        }
        // Once: from an alarm that goes off again the emulator may wake up a period late.
        write(ALARM, RELOAD, 0);
        write(ALARM, VALUE, ns.div_ceil(NANOSECONDS_PER_TICK));
        write(ALARM, CTRL, ENABLE | INTERRUPT);
        while read(ALARM, INTSTATUS) == 0 {
            cortex_m::asm::wfi();
        }
        write(ALARM, CTRL, 0);
        write(ALARM, INTSTATUS, 1);
        NVIC::unpend(AlarmLine);
    }
}
