//! RV32IM, with or without A and C: a byte load, a multiply and an addition a product.
//!
//! There is nothing to save but overhead: loops are unrolled over four blocks and entered where the vector's length
//! wants it, all from registers that a function need not keep. Of w4 a byte has two rows: it is summed whole and shifted
//! right by four, and the difference is the lower row. For w16 see `column_pair_w16`: a pair of products at a time, eight
//! instructions.

use core::arch::{asm, naked_asm};

use super::layout::{W4_OFFSET, W8_OFFSET};
use super::portable::sum;
use super::{Four, ROWS, VECTOR_BYTES, Vector, W16_SHIFT};
use crate::model::header::Weights;

pub(crate) use super::portable::{add_twice, line};

/// `floor(a m / 2^32 + 1/2)`: the upper word of the product, and the half from the lower.
#[inline(always)]
pub(crate) fn mul_high(a: i32, m: i32) -> i32 {
    let high = (i64::from(a) * i64::from(m) >> 32) as i32;
    high + (a.wrapping_mul(m) as u32 >> 31) as i32
}

/// Blocks of the unrolled loop.
const UNROLLED: usize = 4;

/// How far before its beginning a vector enters the unrolled loop, in blocks, and what the accumulators begin with.
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
        Weights::W16 => {
            let c = -(1 << (W16_SHIFT - 1));
            [c, c, c, c, 0, 0, 0, 0]
        }
    };
    (columns.len().wrapping_neg() & (UNROLLED - 1), accumulators)
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
        asm!("jalr ra, {f}", f = in(reg) function,
            inout("a0") blocks.as_ptr() => _, inout("a1") vectors.start => _,
            in("a2") vectors.end, inout("a3") head.as_ptr() => _,
            out("a4") z0, out("a5") z1, out("a6") z2, out("a7") z3,
            out("t0") _, out("t1") _, out("t2") _, out("t3") _, out("t4") _, out("t5") _, out("t6") _,
            out("s2") _, out("s3") _, out("s4") _, out("s5") _, out("ra") _,
            options(readonly));
    }
    [z0, z1, z2, z3]
}

/// Requantizes a sum and adds it to its pre-activation; `$m` is the multiplier's offset from a3.
macro_rules! requantize {
    ($sum:literal, $m:literal, $z:literal) => {
        concat!(
            "lw t0, ",
            $m,
            "(a3)\n",
            "mulh t1, ",
            $sum,
            ", t0\n",
            "mul t0, ",
            $sum,
            ", t0\n",
            "srli t0, t0, 31\n", // the half that rounds
            "add ",
            $z,
            ", ",
            $z,
            ", t1\n",
            "add ",
            $z,
            ", ",
            $z,
            ", t0\n",
        )
    };
}

/// A whole function: a0 blocks, a1 first vector, a2 past the last vector, a3 record; the result in a4 to a7.
///
/// In the loop a0 walks through the blocks and t6 through the vector, whose end is t5; the accumulators stand in s2 to s5,
/// for rows 0 to 3 once `$finish` is done. `$enter` and `$leave` keep what more registers it takes, which `$start` sets
/// for each vector. A loop that is entered at its block k begins so much before the blocks and the
/// vector that its offsets are right; `$shift` is the logarithm of a block's bytes.
macro_rules! record {
    ($name:ident, $shift:literal, $unrolled_bytes:literal, [$($block:expr),*], $finish:expr) => {
        record!($name, $shift, $unrolled_bytes, "", "", [$($block),*], $finish, "");
    };
    ($name:ident, $shift:literal, $unrolled_bytes:literal, $enter:expr, $start:expr, [$($block:expr),*], $finish:expr,
     $leave:expr) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name() {
            naked_asm!(
                // Functions in assembly do not inherit the compiler's extensions.
                ".option push",
                ".option arch, +m",
                $enter,
                "lw a4, 0(a3)", "lw a5, 4(a3)", "lw a6, 8(a3)", "lw a7, 12(a3)", // biases
                "2:",
                "lw t6, 0(a1)", "lw t0, 4(a1)", "lw t5, 8(a1)",
                "lw s2, 12(a1)", "lw s3, 16(a1)", "lw s4, 20(a1)", "lw s5, 24(a1)",
                "addi a3, a3, 16",
                $start,
                "beqz t0, 10f",
                concat!("slli t1, t0, ", $shift),
                "sub a0, a0, t1",
                "slli t1, t0, 3",
                "sub t6, t6, t1",
                "addi t0, t0, -2",
                "bltz t0, 11f",
                "beqz t0, 12f",
                "j 13f",
                $($block,)*
                concat!("addi a0, a0, ", $unrolled_bytes),
                "addi t6, t6, 32",
                "bne t6, t5, 10b",
                $finish,
                requantize!("s2", "0", "a4"),
                requantize!("s3", "4", "a5"),
                requantize!("s4", "8", "a6"),
                requantize!("s5", "12", "a7"),
                "addi a1, a1, {size}",
                "bne a1, a2, 2b",
                $leave,
                "ret",
                ".option pop",
                size = const VECTOR_BYTES,
            )
        }
    };
}

/// One column of w8: the sample's offset, and those of rows 0 to 3.
macro_rules! column_w8 {
    ($x:literal, $w0:literal, $w1:literal, $w2:literal, $w3:literal) => {
        concat!(
            "lh t0, ",
            $x,
            "(t6)\n",
            "lbu t1, ",
            $w0,
            "(a0)\n",
            "lb t2, ",
            $w1,
            "(a0)\n",
            "lbu t3, ",
            $w2,
            "(a0)\n",
            "lb t4, ",
            $w3,
            "(a0)\n",
            "mul t1, t1, t0\n",
            "mul t2, t2, t0\n",
            "mul t3, t3, t0\n",
            "mul t4, t4, t0\n",
            "add s2, s2, t1\n",
            "add s3, s3, t2\n",
            "add s4, s4, t3\n",
            "add s5, s5, t4\n",
        )
    };
}

record!(
    record_w8,
    "4",
    "64",
    [
        "10:",
        column_w8!("0", "0", "1", "4", "5"),
        column_w8!("2", "2", "3", "6", "7"),
        column_w8!("4", "8", "9", "12", "13"),
        column_w8!("6", "10", "11", "14", "15"),
        "11:",
        column_w8!("8", "16", "17", "20", "21"),
        column_w8!("10", "18", "19", "22", "23"),
        column_w8!("12", "24", "25", "28", "29"),
        column_w8!("14", "26", "27", "30", "31"),
        "12:",
        column_w8!("16", "32", "33", "36", "37"),
        column_w8!("18", "34", "35", "38", "39"),
        column_w8!("20", "40", "41", "44", "45"),
        column_w8!("22", "42", "43", "46", "47"),
        "13:",
        column_w8!("24", "48", "49", "52", "53"),
        column_w8!("26", "50", "51", "54", "55"),
        column_w8!("28", "56", "57", "60", "61"),
        column_w8!("30", "58", "59", "62", "63")
    ],
    ""
);

/// One column of w4: the sample's offset, and those of its two bytes.
macro_rules! column_w4 {
    ($x:literal, $low:literal, $high:literal) => {
        concat!(
            "lh t0, ",
            $x,
            "(t6)\n",
            "lbu t1, ",
            $low,
            "(a0)\n",
            "lb t3, ",
            $high,
            "(a0)\n",
            "srli t2, t1, 4\n",
            "srai t4, t3, 4\n",
            "mul t1, t1, t0\n",
            "mul t2, t2, t0\n",
            "mul t3, t3, t0\n",
            "mul t4, t4, t0\n",
            "add s2, s2, t1\n",
            "add s3, s3, t2\n",
            "add s4, s4, t3\n",
            "add s5, s5, t4\n",
        )
    };
}

record!(
    record_w4,
    "3",
    "32",
    // s2 rows 0 and 1 as digits, s3 row 1, s4 rows 2 and 3 as digits, s5 row 3.
    [
        "10:",
        column_w4!("0", "0", "1"),
        column_w4!("2", "2", "3"),
        column_w4!("4", "4", "5"),
        column_w4!("6", "6", "7"),
        "11:",
        column_w4!("8", "8", "9"),
        column_w4!("10", "10", "11"),
        column_w4!("12", "12", "13"),
        column_w4!("14", "14", "15"),
        "12:",
        column_w4!("16", "16", "17"),
        column_w4!("18", "18", "19"),
        column_w4!("20", "20", "21"),
        column_w4!("22", "22", "23"),
        "13:",
        column_w4!("24", "24", "25"),
        column_w4!("26", "26", "27"),
        column_w4!("28", "28", "29"),
        column_w4!("30", "30", "31")
    ],
    "slli t0, s3, 4
     sub s2, s2, t0
     slli t0, s5, 4
     sub s4, s4, t0"
);

/// Two columns of one row of w16: where their weights are, and the row's two accumulators.
///
/// A row's sum takes up to 40 bits. A pair of products is summed in 32 bits, `q = -(w0 x0 + w1 x1)`, and the `q` twice:
/// modulo 2^32, and their `floor(q / 2^16)`. Negative, for `2^31`, which four values of -32768 make, has no place in 32
/// bits, and `-2^31` has one; the first sample is negative for that.
macro_rules! column_pair_w16 {
    ($w0:literal, $w1:literal, $whole:literal, $high:literal) => {
        concat!(
            "lh t2, ",
            $w0,
            "(a0)\n",
            "lh t3, ",
            $w1,
            "(a0)\n",
            "mul t2, t2, t0\n",
            "mul t3, t3, t1\n",
            "sub t2, t2, t3\n",
            "add ",
            $whole,
            ", ",
            $whole,
            ", t2\n",
            "srai t2, t2, 16\n",
            "add ",
            $high,
            ", ",
            $high,
            ", t2\n",
        )
    };
}

/// Two columns of w16: offsets of the samples, and of the weights of row 0 to 3.
macro_rules! columns_w16 {
    ($x0:literal, $x1:literal, [$($w:literal),*]) => {
        concat!(
            "lh t0, ", $x0, "(t6)\n",
            "lh t1, ", $x1, "(t6)\n",
            "neg t0, t0\n",
            columns_w16!(@ $($w),*),
        )
    };
    (@ $a0:literal, $a1:literal, $b0:literal, $b1:literal, $c0:literal, $c1:literal, $d0:literal, $d1:literal) => {
        concat!(
            column_pair_w16!($a0, $a1, "s2", "t4"),
            column_pair_w16!($b0, $b1, "s3", "s6"),
            column_pair_w16!($c0, $c1, "s4", "s7"),
            column_pair_w16!($d0, $d1, "s5", "s8"),
        )
    };
}

/// `(sum + 2^7) >> 8` of a row from its two accumulators, `a` which began with `-2^7`, and `b`.
///
/// What the `floor` of at most 2^15 pairs drops is below 2^31, so `2^16 b - a`, which is it, negative, and `2^7`, is exact
/// in 32 bits; the sum is that less `2^16 b`.
macro_rules! sum_w16 {
    ($whole:literal, $high:literal) => {
        concat!(
            "slli t0, ",
            $high,
            ", 16\n",
            "sub t0, t0, ",
            $whole,
            "\n",
            "srai t0, t0, 8\n",
            "slli t1, ",
            $high,
            ", 8\n",
            "sub ",
            $whole,
            ", t0, t1\n",
        )
    };
}

const _: () = assert!(W16_SHIFT == 8, "the assembly shifts by eight");

record!(
    record_w16,
    "5",
    "128",
    "addi sp, sp, -16
     sw s6, 0(sp)
     sw s7, 4(sp)
     sw s8, 8(sp)",
    "li t4, 0
     li s6, 0
     li s7, 0
     li s8, 0",
    [
        "10:",
        columns_w16!("0", "2", ["0", "2", "8", "10", "16", "18", "24", "26"]),
        columns_w16!("4", "6", ["4", "6", "12", "14", "20", "22", "28", "30"]),
        "11:",
        columns_w16!("8", "10", ["32", "34", "40", "42", "48", "50", "56", "58"]),
        columns_w16!("12", "14", ["36", "38", "44", "46", "52", "54", "60", "62"]),
        "12:",
        columns_w16!("16", "18", ["64", "66", "72", "74", "80", "82", "88", "90"]),
        columns_w16!("20", "22", ["68", "70", "76", "78", "84", "86", "92", "94"]),
        "13:",
        columns_w16!("24", "26", ["96", "98", "104", "106", "112", "114", "120", "122"]),
        columns_w16!("28", "30", ["100", "102", "108", "110", "116", "118", "124", "126"])
    ],
    concat!(sum_w16!("s2", "t4"), sum_w16!("s3", "s6"), sum_w16!("s4", "s7"), sum_w16!("s5", "s8")),
    "lw s6, 0(sp)
     lw s7, 4(sp)
     lw s8, 8(sp)
     addi sp, sp, 16"
);
