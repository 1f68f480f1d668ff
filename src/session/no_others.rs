//! Builds without the feature `layers`: there are no layers but LSTM and dense.

use super::trace::Before;
use super::walk::Step;
use crate::Model;
use crate::kernel::Four;
use crate::model::Place;
use crate::model::layer::Layer;
use crate::model::more::More;
use fixed::types::I1F15;

pub(super) fn recur(more: &More, _: &Step, _: [&[Four]; 2], _: &mut [i32], _: &mut [i32]) {
    match *more {}
}

pub(super) fn remembers(_: &Layer, _: &Model, _: usize) -> bool {
    false
}

pub(super) fn reset(more: &More, _: &Place, _: &[i32], _: &mut [i32]) {
    match *more {}
}

pub(super) fn gates(more: &More, _: &Place, _: &Before, _: impl FnMut(usize, &[I1F15])) -> bool {
    match *more {}
}
