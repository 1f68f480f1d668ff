//! Simple recurrent layer: `h = activation(W x + U h + b)` (Elman 1990), a dense layer of two products.

use super::dense::{Dense, Outputs};
use super::sums::Sums;

/// One simple recurrent layer of a checked model.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rnn<'a> {
    pub(crate) sections: [&'a [i32]; 2],
    /// What follows the products; its records are not used.
    pub(crate) dense: Dense<'a>,
}

impl Rnn<'_> {
    /// One step. The next hidden state must not be the one in the sums.
    pub(crate) fn step(&self, sums: &impl Sums, out: Outputs) {
        self.dense.fill(sums.rows(self.sections, out.len()), out);
    }
}
