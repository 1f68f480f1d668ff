//! Cortex-M4, M7 and M33 with DSP: two rows a multiply.
//!
//! `SMLALD` multiplies a pair of packed halfwords whole and adds to 64 bits; `UXTB16` takes the lower row out, `SMLAD`
//! sums it alone, and the difference of both sums is the upper row, exactly. For w8 that is three instructions for four
//! products, where unpacking every row takes four. For w4 a halfword has four rows: three are masked and summed, the
//! fourth is what remains.
//!
//! All loops are unrolled over four blocks and entered where the vector's length wants it, so there is no tail. A block
//! of four rows by four columns takes 14 (w8), 16 (w4) or 13 (w16) instructions, and the loop 3 for every four of them.
//! The code is Thumb-2 of Armv7E-M, in which all of it executes in one cycle an instruction but loads and branches.

use core::arch::{asm, naked_asm};

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::{Four, ROWS, VECTOR_BYTES, W16_SHIFT};
use crate::model::header::Weights;

pub(crate) use super::mainline::{Function, call, line};
pub(crate) use super::portable::add_twice;

/// `floor(a m / 2^32 + 1/2)`: `SMMULR`.
#[inline(always)]
pub(crate) fn mul_high(a: i32, m: i32) -> i32 {
    let high;
    // SAFETY: arithmetic on registers.
    unsafe {
        asm!("smmulr {}, {}, {}", lateout(reg) high, in(reg) a, in(reg) m, options(pure, nomem, nostack, preserves_flags))
    };
    high
}

/// The sum of a vector: `SMLAD` with ones.
#[inline(always)]
pub(crate) fn sum(columns: &[Four]) -> i32 {
    let mut sum = 0;
    for pair in columns.as_flattened() {
        // SAFETY: arithmetic on registers.
        unsafe {
            asm!("smlad {sum}, {pair}, {ones}, {sum}", sum = inout(reg) sum, pair = in(reg) *pair, ones = in(reg) 0x0001_0001,
                options(pure, nomem, nostack));
        }
    }
    sum
}

/// What rounds the shift of a 64-bit sum.
const HALF: i32 = 1 << (W16_SHIFT - 1);

/// Where a vector enters the loop of four blocks, in bytes of code, and what the accumulators begin with.
#[inline(always)]
pub(crate) fn prepare(weights: Weights, columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    let block_bytes = match weights {
        Weights::W8 => 52,
        Weights::W4 => 60,
        Weights::W16 => 42,
    };
    let accumulators = match weights {
        Weights::W8 => {
            let c = -W8_OFFSET * sum(columns);
            [c, c, c >> 31, c, c, c >> 31, 0, 0]
        }
        Weights::W4 => {
            let c = -W4_OFFSET * sum(columns);
            // The rows that are stored with an offset stand in digits 0, 1 and 2.
            let digits = i64::from(c) * (1 + 16 + 256);
            [c, c, digits as i32, c, (digits >> 32) as i32, 0x000f_000f, 0, 0]
        }
        Weights::W16 => [HALF, 0, HALF, 0, HALF, 0, HALF, 0],
    };
    ((columns.len().wrapping_neg() & 3) * block_bytes, accumulators)
}

/// The function for a weight format.
#[inline(always)]
pub(crate) fn function(weights: Weights) -> Function {
    match weights {
        Weights::W8 => record_w8,
        Weights::W4 => record_w4,
        Weights::W16 => record_w16,
    }
}

/// The assembler's view of the core: functions in assembly do not inherit the compiler's `target-cpu`.
#[cfg(not(cellstate_armv8m))]
macro_rules! cpu {
    () => {
        ""
    };
}
#[cfg(cellstate_armv8m)]
macro_rules! cpu {
    () => {
        ".cpu cortex-m33"
    };
}

/// A whole function: r0 blocks, r1 first vector, r2 past the last vector, r3 record; the result in r0 to r3.
///
/// In the loop r0 walks through the blocks and r1 through the vector, whose end is at sp + 28; r2 to r5 are scratch, and
/// the accumulators stand in `$accumulators`. `$finish` leaves the four sums in r8, r9, r11, r12.
macro_rules! record {
    ($name:ident, $accumulators:literal, $block:expr, $finish:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                cpu!(),
                "push {{r4-r11, lr}}",
                "ldm r3!, {{r4-r7}}", // biases
                "2:",
                "push {{r1-r7, r10}}",
                concat!("ldm r1, {{r1-r3, ", $accumulators, "}}"), // start, entry, end
                "str r3, [sp, #28]",
                "add pc, r2",
                "nop",
                "3:",
                $block, $block, $block, $block,
                "ldr r2, [sp, #28]",
                "cmp r1, r2",
                "bne 3b",
                $finish,
                "pop {{r1-r7, r10}}",
                "adds r1, #{size}",
                "cmp r1, r2",
                "bne 4f",
                "ldm r3, {{r1, r2, r10, lr}}", // the last vector's multipliers, and its share into the result
                "smmlar r0, r8, r1, r4",
                "smmlar r1, r9, r2, r5",
                "smmlar r2, r11, r10, r6",
                "smmlar r3, r12, lr, r7",
                "pop {{r4-r11, pc}}",
                "4:", // a vector before the last: its share, and on to the next
                "ldrd r10, lr, [r3], #8", // multipliers
                "smmlar r4, r8, r10, r4",
                "smmlar r5, r9, lr, r5",
                "ldrd r10, lr, [r3], #8",
                "smmlar r6, r11, r10, r6",
                "smmlar r7, r12, lr, r7",
                "b 2b",
                size = const VECTOR_BYTES,
            )
        }
    };
}

record!(
    record_w8,
    // r8 row 0, r9:r10 rows 0 and 1 as digits, r11 row 2, r12:lr rows 2 and 3.
    "r8-r12, lr",
    "ldm r1!, {{r2, r3}}
     ldm r0!, {{r4-r7}}
     smlald r9, r10, r4, r2
     uxtb16 r4, r4
     smlad r8, r4, r2, r8
     smlald r12, lr, r5, r2
     uxtb16 r5, r5
     smlad r11, r5, r2, r11
     smlald r9, r10, r6, r3
     uxtb16 r6, r6
     smlad r8, r6, r3, r8
     smlald r12, lr, r7, r3
     uxtb16 r7, r7
     smlad r11, r7, r3, r11",
    // 256 s1 + s0 = r10:r9, so s1 = floor(r10:r9 / 256) - floor(s0 / 256).
    "lsr r9, r9, #8
     orr r9, r9, r10, lsl #24
     sub r9, r9, r8, asr #8
     lsr r12, r12, #8
     orr r12, r12, lr, lsl #24
     sub r12, r12, r11, asr #8"
);

record!(
    record_w4,
    // r8, r9, r11 rows 0, 1, 2; r10:r12 all four as digits; lr the mask of one.
    "r8-r12, lr",
    "ldm r1!, {{r2, r3}}
     ldm r0!, {{r4, r5}}
     smlald r10, r12, r4, r2
     and r6, lr, r4
     smlad r8, r6, r2, r8
     and r6, lr, r4, lsr #4
     smlad r9, r6, r2, r9
     and r4, lr, r4, lsr #8
     smlad r11, r4, r2, r11
     smlald r10, r12, r5, r3
     and r6, lr, r5
     smlad r8, r6, r3, r8
     and r6, lr, r5, lsr #4
     smlad r9, r6, r3, r9
     and r5, lr, r5, lsr #8
     smlad r11, r5, r3, r11",
    // 4096 s3 + 256 s2 + 16 s1 + s0 = r12:r10; each floor carries what the lower rows left.
    "add lr, r9, r8, asr #4
     add lr, r11, lr, asr #4
     lsr r10, r10, #12
     orr r12, r10, r12, lsl #20
     sub r12, r12, lr, asr #4"
);

record!(
    record_w16,
    // r6:r7, r8:r9, r10:r11, r12:lr rows 0 to 3.
    "r6-r12, lr",
    "ldm r1!, {{r2, r3}}
     ldm r0!, {{r4, r5}}
     smlald r6, r7, r4, r2
     smlald r6, r7, r5, r3
     ldm r0!, {{r4, r5}}
     smlald r8, r9, r4, r2
     smlald r8, r9, r5, r3
     ldm r0!, {{r4, r5}}
     smlald r10, r11, r4, r2
     smlald r10, r11, r5, r3
     ldm r0!, {{r4, r5}}
     smlald r12, lr, r4, r2
     smlald r12, lr, r5, r3",
    "lsr r12, r12, #8
     orr r12, r12, lr, lsl #24
     lsl r11, r11, #24
     orr r11, r11, r10, lsr #8
     lsl r9, r9, #24
     orr r9, r9, r8, lsr #8
     lsr r8, r6, #8
     orr r8, r8, r7, lsl #24"
);
