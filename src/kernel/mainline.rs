//! What the cores with Thumb-2 share: how a function in assembly is called, and a line of the activation table.

use core::arch::asm;

use super::{ROWS, Vector};
use crate::numeric::activation::SLOPE_BITS;

/// A straight line whose start is `word`, and whose slope its low [`SLOPE_BITS`] bits, at `x`: `UBFX` and `MLA`.
#[inline(always)]
pub(crate) fn line(word: i32, x: i32) -> i32 {
    let y;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("ubfx {y}, {word}, #0, #{bits}", "mla {y}, {y}, {x}, {word}", y = out(reg) y, word = in(reg) word, x = in(reg) x,
            bits = const SLOPE_BITS, options(pure, nomem, nostack, preserves_flags));
    }
    y
}

/// A function in assembly; see the `record` macro of each core for how it is called.
pub(crate) type Function = unsafe extern "C" fn();

/// One record's pre-activations.
///
/// # Safety
/// `function` is that of the record's format; `head` and `blocks` have the words that the vectors take; no
/// vector is empty.
#[inline(always)]
pub(crate) unsafe fn call(function: Function, head: &[i32], blocks: &[i32], vectors: &[Vector]) -> [i32; ROWS] {
    let (z0, z1, z2, z3);
    let vectors = vectors.as_ptr_range();
    // SAFETY: the function reads the head, the blocks and the vectors, which the caller vouches for; it keeps the registers that are
    // not named here, and the stack.
    unsafe {
        asm!("blx {f}", f = in(reg) function,
            inout("r0") blocks.as_ptr() => z0, inout("r1") vectors.start => z1,
            inout("r2") vectors.end => z2, inout("r3") head.as_ptr() => z3,
            out("r12") _, out("lr") _, options(readonly));
    }
    [z0, z1, z2, z3]
}
