//! The layers: one step each, on buffers whose sizes the loader has checked.
//!
//! A layer reads its records in order, once, from the words section of the blob.

pub mod dense;
pub mod input;
pub mod lstm;

use crate::kernel::{self, COLUMNS, ROWS};
use crate::model::header::Weights;

/// Multiplies one record's blocks by a padded vector: four requantizable accumulators.
#[inline(always)]
fn dot4(weights: Weights, blocks: &[i32], x: &[[i16; COLUMNS]]) -> [i32; ROWS] {
    match weights {
        Weights::W8 => kernel::dot4_w8(bytemuck::cast_slice::<i32, i8>(blocks).as_chunks().0.as_chunks().0, x),
        Weights::W16 => kernel::dot4_w16(bytemuck::cast_slice::<i32, i16>(blocks).as_chunks().0.as_chunks().0, x),
    }
}

/// The next four parameters of a record; zeros past its end, where a checked model never reads.
#[inline(always)]
fn take4(words: &mut &[i32]) -> [i32; ROWS] {
    match words.split_first_chunk::<ROWS>() {
        Some((first, rest)) => {
            *words = rest;
            *first
        }
        None => [0; ROWS],
    }
}
