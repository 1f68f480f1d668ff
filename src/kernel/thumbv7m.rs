//! Cortex-M3, and Cortex-M33 without DSP: a byte load and an `MLA` a product.
//!
//! A product costs the load of its weight, `LDRB` for rows that are stored with an offset and `LDRSB` for the others, the
//! `MLA`, and a quarter of the load of its sample: 2.25 instructions. Of w4 a byte has two rows: it is summed whole and
//! with the upper one masked away, which is also two instructions a product, and a sixteenth of the difference is the
//! upper row. For w16 sums are of 64 bits: `SMLAL`.
//!
//! Loops are unrolled over four blocks and entered where the vector's length wants it.

use core::arch::{asm, naked_asm};

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, VECTOR_BYTES, W16_SHIFT};
use crate::model::header::Weights;

pub(crate) use super::mainline::{Function, call, line};
pub(crate) use super::portable::mul_high;

/// `a + 2 b`, saturated; `2 b` does not overflow.
#[inline(always)]
pub(crate) fn add_twice(a: i32, b: i32) -> i32 {
    let sum;
    // SAFETY: arithmetic on registers.
    unsafe {
        // An overflown sum has the wrong sign.
        asm!("adds {sum}, {a}, {b}, lsl #1", "it vs", "eorvs {sum}, {least}, {sum}, asr #31", sum = out(reg) sum,
            a = in(reg) a, b = in(reg) b, least = in(reg) i32::MIN, options(pure, nomem, nostack));
    }
    sum
}

/// What rounds the shift of a 64-bit sum.
const HALF: i32 = 1 << (W16_SHIFT - 1);

/// Where a vector enters the loop of four blocks, in bytes of code, and what the accumulators begin with.
#[inline(always)]
pub(crate) fn prepare(weights: Weights, columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    let block_bytes = 144;
    let accumulators = match weights {
        Weights::W8 => {
            let c = -W8_OFFSET * sum(columns);
            [c, 0, c, 0, 0, 0, 0, 0]
        }
        Weights::W4 => {
            let c = -W4_OFFSET * sum(columns);
            [c, c * 17, c, c, 0, 0, 0, 0]
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

/// A whole function: r0 blocks, r1 first vector, r2 past the last vector, r3 record; the result in r0 to r3.
///
/// In the loop r0 walks through the blocks and r1 through the vector, whose end is r3; r2 has the sample, and the
/// accumulators stand in `$accumulators`. `$finish` leaves the four sums in r8 to r11.
macro_rules! record {
    ($name:ident, $accumulators:literal, $block:expr, $finish:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push {{r4-r11, lr}}",
                "ldm r3!, {{r4-r7}}", // biases
                "2:",
                "push {{r1-r7}}",
                concat!("ldm r1, {{r1-r3, ", $accumulators, "}}"), // start, entry, end
                "add pc, r2",
                "nop",
                "3:",
                $block, $block, $block, $block,
                "cmp r1, r3",
                "bne 3b",
                $finish,
                // bias + (sum * multiplier + 2^31) / 2^32, the bias being the upper word of what the product is added to
                "pop {{r1-r3}}",
                "adds r1, #{size}",
                "cmp r1, r2",
                "beq 4f",
                "pop {{r4-r7}}", // a vector before the last: its share, and on to the next
                "ldr r12, [r3], #4", // multiplier
                "mov lr, #0x80000000",
                "smlal lr, r4, r8, r12",
                "ldrd r8, r12, [r3], #8",
                "mov lr, #0x80000000",
                "smlal lr, r5, r9, r8",
                "mov lr, #0x80000000",
                "smlal lr, r6, r10, r12",
                "ldr r12, [r3], #4",
                "mov lr, #0x80000000",
                "smlal lr, r7, r11, r12",
                "b 2b",
                "4:", // the last vector: its multipliers, and its share into the result
                "ldm r3, {{r4-r7}}",
                "pop {{r0-r3}}",
                "mov lr, #0x80000000",
                "smlal lr, r0, r8, r4",
                "mov lr, #0x80000000",
                "smlal lr, r1, r9, r5",
                "mov lr, #0x80000000",
                "smlal lr, r2, r10, r6",
                "mov lr, #0x80000000",
                "smlal lr, r3, r11, r7",
                "pop {{r4-r11, pc}}",
                size = const VECTOR_BYTES,
            )
        }
    };
}

/// One column of w8: the sample's offset, and those of the weights of rows 0 to 3 in their block, past its end.
macro_rules! column_w8 {
    ($x:literal, $w0:literal, $w1:literal, $w2:literal, $w3:literal) => {
        concat!(
            "ldrsh.w r2, [r1, #",
            $x,
            "]\n",
            "ldrb.w r4, [r0, #",
            $w0,
            "]\n",
            "ldrsb.w r5, [r0, #",
            $w1,
            "]\n",
            "ldrb.w r6, [r0, #",
            $w2,
            "]\n",
            "ldrsb.w r7, [r0, #",
            $w3,
            "]\n",
            "mla r8, r4, r2, r8\n",
            "mla r9, r5, r2, r9\n",
            "mla r10, r6, r2, r10\n",
            "mla r11, r7, r2, r11\n",
        )
    };
}

record!(
    record_w8,
    // r8 to r11 rows 0 to 3.
    "r8-r11",
    concat!(
        "ldrsh.w r2, [r1], #8\n",
        "ldrb.w r4, [r0], #16\n",
        "ldrsb.w r5, [r0, #-15]\n",
        "ldrb.w r6, [r0, #-12]\n",
        "ldrsb.w r7, [r0, #-11]\n",
        "mla r8, r4, r2, r8\n",
        "mla r9, r5, r2, r9\n",
        "mla r10, r6, r2, r10\n",
        "mla r11, r7, r2, r11\n",
        column_w8!("-6", "-14", "-13", "-10", "-9"),
        column_w8!("-4", "-8", "-7", "-4", "-3"),
        column_w8!("-2", "-6", "-5", "-2", "-1"),
    ),
    ""
);

/// Sums one column of w4 whose sample is in r2 and whose bytes are in r4 and r5.
macro_rules! sums_w4 {
    () => {
        "and r6, r4, #15
         and r7, r5, #15
         mla r9, r4, r2, r9
         mla r11, r5, r2, r11
         mla r8, r6, r2, r8
         mla r10, r7, r2, r10\n"
    };
}

/// One column of w4: the sample's offset, and that of its two bytes.
macro_rules! column_w4 {
    ($x:literal, $w0:literal, $w1:literal) => {
        concat!(
            "ldrsh.w r2, [r1, #",
            $x,
            "]\n",
            "ldrb.w r4, [r0, #",
            $w0,
            "]\n",
            "ldrsb.w r5, [r0, #",
            $w1,
            "]\n",
            sums_w4!(),
        )
    };
}

record!(
    record_w4,
    // r8 row 0, r9 rows 0 and 1 as digits, r10 row 2, r11 rows 2 and 3 as digits.
    "r8-r11",
    concat!(
        "ldrsh.w r2, [r1], #8\n",
        "ldrb.w r4, [r0], #8\n",
        "ldrsb.w r5, [r0, #-7]\n",
        sums_w4!(),
        column_w4!("-6", "-6", "-5"),
        column_w4!("-4", "-4", "-3"),
        column_w4!("-2", "-2", "-1"),
    ),
    "sub r9, r9, r8
     asr r9, r9, #4
     sub r11, r11, r10
     asr r11, r11, #4"
);

/// One column of w16: the sample's offset, and those of the weights of rows 0 to 3 in their block, past its end.
macro_rules! column_w16 {
    ($x:literal, $w0:literal, $w1:literal, $w2:literal, $w3:literal) => {
        concat!(
            "ldrsh.w r2, [r1, #",
            $x,
            "]\n",
            "ldrsh.w r12, [r0, #",
            $w0,
            "]\n",
            "ldrsh.w lr, [r0, #",
            $w1,
            "]\n",
            "smlal r4, r5, r12, r2\n",
            "smlal r6, r7, lr, r2\n",
            "ldrsh.w r12, [r0, #",
            $w2,
            "]\n",
            "ldrsh.w lr, [r0, #",
            $w3,
            "]\n",
            "smlal r8, r9, r12, r2\n",
            "smlal r10, r11, lr, r2\n",
        )
    };
}

record!(
    record_w16,
    // r4:r5, r6:r7, r8:r9, r10:r11 rows 0 to 3.
    "r4-r11",
    concat!(
        "ldrsh.w r2, [r1], #8\n",
        "ldrsh.w r12, [r0], #32\n",
        "ldrsh.w lr, [r0, #-24]\n",
        "smlal r4, r5, r12, r2\n",
        "smlal r6, r7, lr, r2\n",
        "ldrsh.w r12, [r0, #-16]\n",
        "ldrsh.w lr, [r0, #-8]\n",
        "smlal r8, r9, r12, r2\n",
        "smlal r10, r11, lr, r2\n",
        column_w16!("-6", "-30", "-22", "-14", "-6"),
        column_w16!("-4", "-28", "-20", "-12", "-4"),
        column_w16!("-2", "-26", "-18", "-10", "-2"),
    ),
    "lsr r10, r10, #8
     orr r11, r10, r11, lsl #24
     lsr r8, r8, #8
     orr r10, r8, r9, lsl #24
     lsr r6, r6, #8
     orr r9, r6, r7, lsl #24
     lsr r4, r4, #8
     orr r8, r4, r5, lsl #24"
);
