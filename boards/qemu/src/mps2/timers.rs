//! The two CMSDK APB timers of the MPS2 boards: one is the clock, the other wakes the core.
//!
//! Registers: Arm Cortex-M System Design Kit Technical Reference Manual, section 4.2.

use super::Machine;
use cellstate_app::clock::Clock;
use cellstate_app::lockstep::Holdable;
use embedded_hal::delay::DelayNs;

/// Offsets. Writing RELOAD sets VALUE, too, and a timer with a RELOAD of 0 stops at 0; writing 1 to INTSTATUS clears it.
const CTRL: usize = 0;
const VALUE: usize = 4;
const RELOAD: usize = 8;
const INTSTATUS: usize = 12;
/// Bits of CTRL.
const ENABLE: u32 = 1;
const INTERRUPT: u32 = 8;

/// A clock of microseconds. A copy tells the same time, and can be read from an interrupt meanwhile.
#[derive(Clone, Debug)]
pub struct Micros {
    machine: &'static Machine,
    /// The timer's value when it was read last: to be read again before it wraps around, which takes 171 s and more.
    seen: u32,
    micros: u32,
    /// Ticks beyond `micros`.
    rest: u32,
}

impl Micros {
    /// The clock begins at 0, and is held.
    pub fn held(machine: &'static Machine) -> Self {
        machine.clock.write(CTRL, 0);
        machine.clock.write(RELOAD, u32::MAX);
        Self { machine, seen: machine.clock.read(VALUE), micros: 0, rest: 0 }
    }
}

impl Clock for Micros {
    fn micros(&mut self) -> u32 {
        let now = self.machine.clock.read(VALUE);
        let ticks = self.seen.wrapping_sub(now).wrapping_add(self.rest);
        self.seen = now;
        let per_micro = self.machine.ticks_per_microsecond;
        self.micros = self.micros.wrapping_add(ticks.checked_div(per_micro).unwrap_or(0));
        self.rest = ticks.checked_rem(per_micro).unwrap_or(0);
        self.micros
    }
}

impl Holdable for Micros {
    fn hold(&mut self, held: bool) {
        self.machine.clock.write(CTRL, if held { 0 } else { ENABLE });
    }
}

/// An alarm that goes off once.
#[derive(Debug)]
pub struct Alarm(&'static Machine);

impl Alarm {
    /// For a program that serves its interrupt, the only one here that `DefaultHandler` is for.
    pub fn served(machine: &'static Machine) -> Self {
        machine.alarmed.serve();
        Self(machine)
    }

    /// Goes off after so many nanoseconds, at least 1.
    pub fn set(&mut self, ns: u64) {
        let Machine { alarm, ticks_per_microsecond, .. } = self.0;
        // Once: from an alarm that goes off again the emulator may wake up a period late.
        alarm.write(RELOAD, 0);
        let ticks = (ns * u64::from(*ticks_per_microsecond)).div_ceil(1000).max(1);
        alarm.write(VALUE, u32::try_from(ticks).unwrap_or(u32::MAX));
        alarm.write(CTRL, ENABLE | INTERRUPT);
    }

    /// Whether it went off.
    fn is_over(&self) -> bool {
        self.0.alarm.read(INTSTATUS) != 0
    }

    /// It was seen.
    pub fn clear(&mut self) {
        let Machine { alarm, alarmed, .. } = self.0;
        alarm.write(CTRL, 0);
        alarm.write(INTSTATUS, 1);
        alarmed.clear();
    }
}

/// A clock that can be held, and sleep.
#[derive(Debug)]
pub struct Timers {
    clock: Micros,
    alarm: Alarm,
}

impl Timers {
    /// The clock begins at 0, and is held.
    pub fn start(machine: &'static Machine) -> Self {
        machine.alarmed.wake();
        Self { clock: Micros::held(machine), alarm: Alarm(machine) }
    }
}

impl Clock for Timers {
    fn micros(&mut self) -> u32 {
        self.clock.micros()
    }
}

impl Holdable for Timers {
    fn hold(&mut self, held: bool) {
        self.clock.hold(held);
    }
}

impl DelayNs for Timers {
    fn delay_ns(&mut self, ns: u32) {
        if ns == 0 {
            return;
        }
        let Machine { received, .. } = self.alarm.0;
        // Pending, it would end each sleep at once: a byte that is read just as it comes leaves its interrupt behind.
        received.ignore();
        self.alarm.set(ns.into());
        while !self.alarm.is_over() {
            cortex_m::asm::wfi();
        }
        self.alarm.clear();
        received.serve();
    }
}
