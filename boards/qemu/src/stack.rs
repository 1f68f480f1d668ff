//! The stack, painted and looked at afterwards: what lost its paint was in use.
#![allow(unsafe_code, reason = "the stack below the stack pointer")]

use cellstate_app::server::Stack;
use core::arch::asm;

/// Words that are painted for one call; the deepest must stay well above.
const WORDS: usize = 1024;
const PAINT: u32 = 0xA5C3_96E1;
/// Words below the stack pointer that stay as they are: the frame of what paints may come to be there after the pointer was read.
const FRAME: usize = 64;

/// Words below a stack pointer.
#[derive(Debug)]
pub struct Painted {
    top: *mut u32,
    words: usize,
}

/// The stack pointer of the function that this is inlined into.
#[inline(always)]
fn pointer() -> *mut u32 {
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
    top
}

/// Where the linker put the stack: where it begins and, lower, where it ends.
fn bounds() -> (*mut u32, *mut u32) {
    unsafe extern "C" {
        #[link_name = "_stack_start"]
        static mut START: u32;
        #[cfg_attr(target_arch = "arm", link_name = "_stack_end")]
        #[cfg_attr(target_arch = "riscv32", link_name = "__estack")]
        static mut END: u32;
    }
    (&raw mut START, &raw mut END)
}

impl Painted {
    /// Paints what is below the caller, down to the end of the stack. Before interrupts are enabled.
    #[inline(never)]
    pub fn all() -> Self {
        let top = pointer().wrapping_sub(FRAME);
        Self::below(top, (top as usize).saturating_sub(bounds().1 as usize) / 4)
    }

    /// Inlined, so that it has no frame in what it paints.
    #[inline(always)]
    fn below(top: *mut u32, words: usize) -> Self {
        for k in 1..=words {
            // SAFETY: below the frame of what paints nothing lives; the stack has so many words, and no interrupt is enabled.
            unsafe { top.sub(k).write_volatile(PAINT) };
        }
        Self { top, words }
    }

    /// Words that lost their paint, and those above them.
    #[inline(always)]
    fn deepest(&self) -> usize {
        // SAFETY: these words were painted.
        let used = |&k: &usize| unsafe { self.top.sub(k).read_volatile() } != PAINT;
        (1..=self.words).rev().find(used).unwrap_or(0)
    }

    /// The most that was ever in use of the whole stack, what is above the paint included.
    pub fn high_water(&self) -> Stack {
        let (start, end) = bounds();
        let above = (start as usize).saturating_sub(self.top as usize);
        let size = (start as usize).saturating_sub(end as usize);
        Stack { used: (above + 4 * self.deepest()) as u32, size: size as u32 }
    }
}

/// Calls `f`; how many bytes of stack it used below this function's frame.
#[inline(never)]
pub fn depth<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let painted = Painted::below(pointer(), WORDS);
    let result = f();
    (result, painted.deepest() * 4)
}
