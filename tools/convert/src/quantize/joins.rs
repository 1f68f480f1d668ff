//! Sums, products and positions.

use super::rows::Side;
use super::{Context, Made, output_scale, round};
use crate::emit::blob::halves;
use cellstate::model::layer as device;
use cellstate::model::more::More;
use cellstate_reference::Matrix;

/// The largest multiplier, of 16 bits.
const MOST: f64 = 32767.0;

/// What one integer of a source is worth; all of its values have one unit, and no centre: see [`crate::lower`].
pub(super) fn unit(side: &Side) -> f64 {
    side.full.first().map_or(1.0, |full| full / 32768.0)
}

/// The largest shift up to `most` at which multipliers fit, and they.
fn multipliers<const N: usize>(real: [f64; N], most: u8) -> Option<(u8, [i32; N])> {
    let at = |shift: u8| real.map(|m| round(m * (f64::from(shift)).exp2()));
    let shift = (1..=most).rev().find(|&shift| at(shift).iter().all(|m| m.abs() <= MOST))?;
    Some((shift, at(shift).map(|m| m as i32)))
}

/// The unit of the outputs.
fn scale(c: &Context) -> f64 {
    output_scale(c.seen.outputs.iter().fold(0.0, |m: f64, r| m.max(r.magnitude())))
}

pub(super) fn join(product: bool, c: &Context) -> Option<Made> {
    let [a, b] = c.sources[..] else { return None };
    let (a, b, real) = (unit(a), unit(b), scale(c));
    let (shift, extra) = if product {
        let (shift, [m]) = multipliers([a * b / real], 47)?;
        (shift, [m, 0])
    } else {
        multipliers([a / real, b / real], 31)?
    };
    let width = c.seen.outputs.len() as u16;
    let layer = device::Layer::More(More::Join { width, second: 0, product, shift, scale: real as f32 });
    Some(Made { layer, sections: Vec::new(), extra: extra.to_vec(), output: Side::of(&c.seen.outputs, real) })
}

pub(super) fn position(table: &Matrix, c: &Context) -> Option<Made> {
    let real = scale(c);
    let (shift, [multiplier]) = multipliers([unit(c.input) / real], 31)?;
    let mut extra = vec![multiplier];
    for r in 0..table.rows {
        let row: Vec<i16> = table.row(r).iter().map(|v| round(v / real).clamp(-MOST, MOST) as i16).collect();
        extra.extend(halves(&row));
    }
    let (width, rows) = (table.cols as u16, table.rows as u16);
    let layer = device::Layer::More(More::Position { width, rows, shift, scale: real as f32 });
    Some(Made { layer, sections: Vec::new(), extra, output: Side::of(&c.seen.outputs, real) })
}
