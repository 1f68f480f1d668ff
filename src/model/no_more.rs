//! Builds without the feature `layers`: there are no layers but LSTM and dense, and a blob that has one does not decode.

use super::layer::Shape;
use serde::{Deserialize, Serialize};

/// A layer that this build does not have.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum More {}

impl More {
    pub(super) const fn width(&self) -> usize {
        match *self {}
    }

    pub(super) const fn scale(&self) -> f32 {
        match *self {}
    }

    pub(crate) const fn is_recurrent(&self) -> bool {
        match *self {}
    }

    pub(super) const fn has_initial(&self) -> bool {
        match *self {}
    }

    pub(super) const fn cell_frac(&self) -> Option<u8> {
        match *self {}
    }

    pub(super) const fn cells(&self) -> usize {
        match *self {}
    }

    pub(super) const fn remembers(&self) -> bool {
        match *self {}
    }

    pub(crate) const fn second(&self) -> Option<u8> {
        match *self {}
    }

    pub(super) fn shape(&self, _: usize, _: usize) -> Shape {
        match *self {}
    }
}
