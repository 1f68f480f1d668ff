//! Cortex-M0, M0+ and M23: byte loads, and accumulators in high registers.
//!
//! A product costs the load of its weight, `MULS`, which overwrites it, and `ADD` to a high register, the one instruction
//! that reaches those: three instructions, and its share of two samples' unpacking. The rows that are stored with an
//! offset load by `LDRB` at any offset; the others by `LDRSB`, whose offset must be in a register. Of w4 a byte has two
//! rows: it is summed whole and shifted right by four, and the difference is the lower row. For w16 see
//! `column_pair_w16`: a pair of products at a time, nine instructions.
//!
//! There is no long multiply: requantization is by the upper halves of the multipliers, their lower ones being zero.

use core::arch::{asm, naked_asm};

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, VECTOR_BYTES, Vector, W16_SHIFT};
use crate::model::header::Weights;

pub(crate) use super::portable::{add_twice, line};

/// `floor(a m / 2^32 + 1/2)` for `m` a multiple of `2^16`: two short multiplies.
#[inline(always)]
pub(crate) fn mul_high(a: i32, m: i32) -> i32 {
    let m = m >> 16;
    let low = (a & 0xffff) as u32 * m as u32;
    (a >> 16) * m + ((low + (1 << 15)) >> 16) as i32
}

/// What the accumulators begin with.
#[inline(always)]
pub(crate) fn prepare(weights: Weights, columns: &[Four]) -> (usize, [i32; 2 * ROWS]) {
    let accumulators = match weights {
        Weights::W8 => {
            let c = -W8_OFFSET * sum(columns);
            [c, 0, c, 0, 0, 0, 0, 0]
        }
        Weights::W4 => {
            let c = -W4_OFFSET * sum(columns);
            [c * 17, c, c, 0, 0, 0, 0, 0]
        }
        Weights::W16 => [0; 2 * ROWS],
    };
    (0, accumulators)
}

/// A function in assembly; see the `record` macro below for how it is called.
pub(crate) type Function = unsafe extern "C" fn();

/// The function for a weight format.
#[inline(always)]
pub(crate) fn function(weights: Weights) -> Function {
    match weights {
        Weights::W8 => record_w8,
        Weights::W4 => record_w4,
        Weights::W16 => record_w16,
    }
}

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
            out("r8") _, out("r9") _, out("r10") _, out("r11") _, out("r12") _, out("lr") _, options(readonly));
    }
    [z0, z1, z2, z3]
}

/// Requantizes the sum in a high register and adds it to its pre-activation on the stack; r3 is at the multipliers.
macro_rules! requantize {
    ($sum:literal, $m:literal, $z:literal) => {
        concat!(
            "ldrh r1, [r3, #",
            $m,
            "]\n", // the upper half
            "mov r2, ",
            $sum,
            "\n",
            "asrs r4, r2, #16\n",
            "uxth r2, r2\n",
            "muls r4, r1, r4\n",
            "muls r2, r1, r2\n",
            "lsrs r2, r2, #16\n", // the carry is the half that rounds
            "adcs r4, r2\n",
            "ldr r5, [sp, #",
            $z,
            "]\n",
            "adds r5, r5, r4\n",
            "str r5, [sp, #",
            $z,
            "]\n",
        )
    };
}

/// A whole function: r0 blocks, r1 first vector, r2 past the last vector, r3 record; the result in r0 to r3.
///
/// `$start` reads the vector and pushes r1 to r3, r1 then being 28 bytes further. In the loop r0 walks through the blocks
/// and r1 through the vector; `$end` compares it with the vector's end. `$finish` leaves the four sums in r8 to r11 and the
/// stack as it was after the push.
macro_rules! record {
    ($name:ident, $start:expr, $block:expr, $end:expr, $finish:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                "push {{r4-r7, lr}}",
                "ldmia r3!, {{r4-r7}}",
                "push {{r4-r7}}", // the biases, to which the products are added
                "2:",
                $start,
                "3:",
                $block,
                $end,
                "bne 3b",
                $finish,
                "mov r12, r0",
                "ldr r3, [sp, #8]",
                requantize!("r8", "2", "12"),
                requantize!("r9", "6", "16"),
                requantize!("r10", "10", "20"),
                requantize!("r11", "14", "24"),
                "mov r0, r12",
                "adds r3, #16",
                "ldr r1, [sp]",
                "ldr r2, [sp, #4]",
                "add sp, #12",
                "adds r1, #{rest}",
                "cmp r1, r2",
                "beq 4f",
                "b 2b",
                "4:",
                "pop {{r0-r3}}",
                "pop {{r4-r7, pc}}",
                rest = const VECTOR_BYTES - 28,
            )
        }
    };
}

/// The vector's end in r12 and the accumulators in r8 to r11.
macro_rules! start {
    () => {
        "ldmia r1!, {{r4-r7}} // start, entry, end, first accumulator
         mov r12, r6
         mov r8, r7
         ldmia r1!, {{r5-r7}}
         mov r9, r5
         mov r10, r6
         mov r11, r7
         push {{r1-r3}}
         mov r1, r4\n"
    };
}

/// Two samples from one word: r2 and r3.
macro_rules! samples {
    () => {
        "ldmia r1!, {{r3}}
         sxth r2, r3
         asrs r3, r3, #16\n"
    };
}

/// One column of w8: the sample's register, and how far the next column is.
macro_rules! column_w8 {
    ($x:literal, $next:literal) => {
        concat!(
            "ldrb r4, [r0]\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r8, r4\n",
            "ldrsb r4, [r0, r5]\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r9, r4\n",
            "ldrb r4, [r0, #4]\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r10, r4\n",
            "ldrsb r4, [r0, r6]\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r11, r4\n",
            "adds r0, #",
            $next,
            "\n",
        )
    };
}

record!(
    record_w8,
    concat!(start!(), "movs r5, #1\n", "movs r6, #5"),
    concat!(
        samples!(),
        column_w8!("r2", "2"),
        column_w8!("r3", "6"),
        samples!(),
        column_w8!("r2", "2"),
        column_w8!("r3", "6"),
    ),
    "cmp r1, r12",
    ""
);

/// One column of w4: the sample's register, and where its two bytes are.
macro_rules! column_w4 {
    ($x:literal, $low:literal, $high:literal) => {
        concat!(
            "ldrb r4, [r0, #",
            $low,
            "]\n",
            "lsrs r5, r4, #4\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r8, r4\n",
            "muls r5, ",
            $x,
            ", r5\n",
            "add r9, r5\n",
            "ldrsb r4, [r0, ",
            $high,
            "]\n",
            "asrs r5, r4, #4\n",
            "muls r4, ",
            $x,
            ", r4\n",
            "add r10, r4\n",
            "muls r5, ",
            $x,
            ", r5\n",
            "add r11, r5\n",
        )
    };
}

record!(
    record_w4,
    concat!(start!(), "movs r6, #1\n", "movs r7, #3"),
    // r8 rows 0 and 1 as digits, r9 row 1, r10 rows 2 and 3 as digits, r11 row 3.
    concat!(
        samples!(),
        column_w4!("r2", "0", "r6"),
        column_w4!("r3", "2", "r7"),
        "adds r0, #4\n",
        samples!(),
        column_w4!("r2", "0", "r6"),
        column_w4!("r3", "2", "r7"),
        "adds r0, #4",
    ),
    "cmp r1, r12",
    "mov r2, r9
     lsls r2, r2, #4
     mov r3, r8
     subs r3, r3, r2
     mov r8, r3
     mov r2, r11
     lsls r2, r2, #4
     mov r3, r10
     subs r3, r3, r2
     mov r10, r3"
);

/// Two columns of one row of w16: where their weights are, and the row's two accumulators.
///
/// A row's sum takes up to 40 bits, and an `ADCS` reaches no high register. So a pair of products is summed in 32 bits,
/// `q = -(w0 x0 + w1 x1)`, and the `q` twice: modulo 2^32, and their `floor(q / 2^16)`. Negative, for `2^31`, which four
/// values of -32768 make, has no place in 32 bits, and `-2^31` has one; `samples_w16` negates the first sample for that.
macro_rules! column_pair_w16 {
    ($w:literal, $whole:literal, $high:literal) => {
        concat!(
            "ldr r4, [r0, #",
            $w,
            "]\n",
            "sxth r5, r4\n",
            "asrs r4, r4, #16\n",
            "muls r5, r2, r5\n",
            "muls r4, r3, r4\n",
            "subs r4, r5, r4\n",
            "add ",
            $whole,
            ", r4\n",
            "asrs r4, r4, #16\n",
            "add ",
            $high,
            ", r4\n",
        )
    };
}

/// Two samples from one word: r2, negative, and r3.
macro_rules! samples_w16 {
    () => {
        concat!(samples!(), "rsbs r2, r2, #0\n")
    };
}

/// `(sum + 2^7) >> 8` of a row from its two accumulators, `a` which began with `-2^7`, and `b`.
///
/// What the `floor` of at most 2^15 pairs drops is below 2^31, so `2^16 b - a`, which is it, negative, and `2^7`, is exact
/// in 32 bits; the sum is that less `2^16 b`.
macro_rules! sum_w16 {
    ($whole:literal, $high:literal, $sum:literal) => {
        concat!(
            "mov r2, ",
            $whole,
            "\n",
            "mov r3, ",
            $high,
            "\n",
            "lsls r4, r3, #16\n",
            "subs r2, r4, r2\n",
            "asrs r2, r2, #8\n",
            "lsls r3, r3, #8\n",
            "subs r2, r2, r3\n",
            "mov ",
            $sum,
            ", r2\n",
        )
    };
}

const _: () = assert!(W16_SHIFT == 8, "the assembly rounds and shifts by eight");

record!(
    record_w16,
    // The vector's end on the stack; rows 0 to 3 in r8 and r12, r9 and lr, r10 and r11, r6 and r7.
    "ldmia r1!, {{r4-r6}} // start, entry, end
     adds r1, #16
     push {{r1-r3}}
     push {{r6}}
     mov r1, r4
     movs r6, #127
     mvns r6, r6
     mov r8, r6
     mov r9, r6
     mov r10, r6
     movs r7, #0
     mov r12, r7
     mov lr, r7
     mov r11, r7",
    concat!(
        samples_w16!(),
        column_pair_w16!("0", "r8", "r12"),
        column_pair_w16!("8", "r9", "lr"),
        column_pair_w16!("16", "r10", "r11"),
        column_pair_w16!("24", "r6", "r7"),
        samples_w16!(),
        column_pair_w16!("4", "r8", "r12"),
        column_pair_w16!("12", "r9", "lr"),
        column_pair_w16!("20", "r10", "r11"),
        column_pair_w16!("28", "r6", "r7"),
        "adds r0, #32",
    ),
    "ldr r4, [sp]
     cmp r1, r4",
    concat!(
        "pop {{r5}}\n",
        sum_w16!("r8", "r12", "r8"),
        sum_w16!("r9", "lr", "r9"),
        sum_w16!("r10", "r11", "r10"),
        sum_w16!("r6", "r7", "r11"),
    )
);
