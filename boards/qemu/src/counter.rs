//! The core's own counter, which the emulator advances by instructions.
#![allow(unsafe_code, reason = "memory-mapped registers and control registers")]

use cellstate_app::server::Counter;

/// Starts the counter.
pub fn start() -> impl Counter {
    #[cfg(target_arch = "arm")]
    {
        SysTick::start()
    }
    #[cfg(target_arch = "riscv32")]
    {
        InstructionsRetired
    }
}

/// SysTick: 24 bits, counting down.
#[cfg(target_arch = "arm")]
struct SysTick;

#[cfg(target_arch = "arm")]
impl SysTick {
    const CSR: *mut u32 = 0xE000_E010 as *mut u32;
    const RVR: *mut u32 = 0xE000_E014 as *mut u32;
    const CVR: *mut u32 = 0xE000_E018 as *mut u32;
    const MASK: u32 = 0x00ff_ffff;

    fn start() -> Self {
        // SAFETY: these are the SysTick registers of every Cortex-M, and nothing else here uses the timer.
        unsafe {
            Self::RVR.write_volatile(Self::MASK);
            Self::CVR.write_volatile(0);
            Self::CSR.write_volatile(5);
        }
        Self
    }
}

#[cfg(target_arch = "arm")]
impl Counter for SysTick {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        // SAFETY: reading the current value has no side effect but clearing a flag that is not used.
        unsafe { Self::CVR.read_volatile() }
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        start.wrapping_sub(end) & Self::MASK
    }
}

/// `minstret`: the lower 32 bits.
#[cfg(target_arch = "riscv32")]
struct InstructionsRetired;

#[cfg(target_arch = "riscv32")]
impl Counter for InstructionsRetired {
    #[inline(always)]
    fn now(&mut self) -> u32 {
        let count;
        // SAFETY: reads a control register.
        unsafe { core::arch::asm!("csrr {}, minstret", out(reg) count, options(nomem, nostack)) };
        count
    }

    fn between(&self, start: u32, end: u32) -> u32 {
        end.wrapping_sub(start)
    }
}
