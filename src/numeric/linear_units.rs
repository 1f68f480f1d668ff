//! Units that are linear far from zero: `z` times a gate of `z`.
//!
//! SiLU is `z sigmoid(z)` (Elfwing et al. 2017). GELU is `z Phi(z)` with the normal distribution function, or its usual
//! approximation by a hyperbolic tangent (Hendrycks and Gimpel 2016). Both have `Phi(z) = sigmoid(z p(z^2))`: for the
//! approximation `p` is exactly of two terms, for the other a third makes the error 2.5e-5 at most.

use super::activation::sigmoid_raw;

/// `p` in Q2.30.
type Odd = [i64; 3];

const GELU: Odd = [1_712_634_813, 79_468_994, -754_847];
const GELU_TANH: Odd = [1_713_444_047, 76_616_651, 0];

/// Beyond this magnitude a gate is shut or open.
const REACH: i32 = 8 << 16;

/// `z` times a gate in Q0.15, rounded half up; saturated like `z`.
#[inline(always)]
fn gated(z: i32, gate: i32) -> i32 {
    ((((i64::from(z) * i64::from(gate)) >> 14) + 1) >> 1) as i32
}

/// SiLU of Q16.16, in Q16.16.
#[inline]
pub(crate) fn silu(z: i32) -> i32 {
    gated(z, sigmoid_raw(z))
}

/// GELU of Q16.16, in Q16.16; `tanh` is the approximation.
#[inline]
pub(crate) fn gelu(z: i32, tanh: bool) -> i32 {
    let x = i64::from(z.clamp(-REACH, REACH));
    let square = (x * x) >> 16; // Q16.16, at most 64
    let [a, b, c] = if tanh { GELU_TANH } else { GELU };
    let inner = a + ((square * (b + ((square * c) >> 16))) >> 16);
    gated(z, sigmoid_raw(((x * inner) >> 30) as i32))
}
