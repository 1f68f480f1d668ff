//! The peak of the stack during a call: painted below the caller, and looked at afterwards.
#![allow(unsafe_code, reason = "the stack below the stack pointer")]

use core::arch::asm;

/// Words that are painted; the deepest step must stay well above.
const WORDS: usize = 384;
const PAINT: u32 = 0xA5C3_96E1;

/// Calls `f`; how many bytes of stack it used below this function's frame.
#[inline(never)]
pub fn depth<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let top: *mut u32;
    #[cfg(target_arch = "arm")]
    // SAFETY: reads a register.
    unsafe {
        asm!("mov {}, sp", out(reg) top, options(nomem, nostack, preserves_flags));
    }
    #[cfg(target_arch = "riscv32")]
    // SAFETY: reads a register.
    unsafe {
        asm!("mv {}, sp", out(reg) top, options(nomem, nostack, preserves_flags));
    }
    for k in 1..=WORDS {
        // SAFETY: below the stack pointer nothing lives; the stack has kilobytes, and no interrupt is enabled.
        unsafe { top.sub(k).write_volatile(PAINT) };
    }
    let result = f();
    let mut deepest = 0;
    for k in 1..=WORDS {
        // SAFETY: as above.
        if unsafe { top.sub(k).read_volatile() } != PAINT {
            deepest = k;
        }
    }
    (result, deepest * 4)
}
