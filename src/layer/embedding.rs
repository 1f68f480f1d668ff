//! A row of a table by an index, the sample's only feature.
//!
//! The index is the sample's integer; one beyond the table takes the nearest row. 16-bit tables hold the outputs, 8-bit ones
//! their upper bytes.

use crate::model::header::Weights;

/// Writes row `index` of a table of rows of `row_words` words.
pub(crate) fn look_up(table: &[i32], weights: Weights, row_words: usize, rows: u16, index: i16, out: &mut [i16]) {
    let index = index.max(0).min((rows.max(1) - 1).min(i16::MAX as u16) as i16) as usize;
    let row = table.get(index * row_words..(index + 1) * row_words).unwrap_or_default();
    if weights == Weights::W16 {
        out.iter_mut().zip(bytemuck::cast_slice::<i32, i16>(row)).for_each(|(out, v)| *out = *v);
    } else {
        out.iter_mut().zip(bytemuck::cast_slice::<i32, i8>(row)).for_each(|(out, v)| *out = i16::from(*v) << 8);
    }
}
