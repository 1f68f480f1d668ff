//! Recurrent layers.

use super::calibrate::Range;
use super::rows::{Joint, Product, Rows, Seen, Side};
use super::{Context, Made, Q16, Q16_LIMIT, activation, output_scale, round, scaled, smallest_shift};
use crate::emit::blob::halves;
use cellstate::layer::gru::FRAC;
use cellstate::layer::lstm::CELL_FRAC;
use cellstate::model::header::Q15_SCALE;
use cellstate::model::layer as device;
use cellstate::model::more::More;
use cellstate_reference::{Activation, Gru, Initial, Layer, Lstm, Matrix, Rnn};

/// How far beyond the calibrated range a cell state can go before it saturates.
const CELL_HEADROOM: f64 = 4.0;

/// The words of a state before the first step: 32-bit values with `frac` fractional bits, then the hidden state.
fn initial_words(initial: Option<&Initial>, c: &[f64], frac: u8, scale: f64) -> Vec<i32> {
    let Some(initial) = initial else { return Vec::new() };
    let top = f64::from(i32::MAX);
    let mut words: Vec<i32> = c.iter().map(|v| round(v * f64::from(1u32 << frac)).clamp(-top, top) as i32).collect();
    let hidden: Vec<i16> = initial.h.iter().map(|v| round(v / scale).clamp(-32767.0, 32767.0) as i16).collect();
    words.extend(halves(&hidden));
    words
}

/// The largest magnitude of a hidden state, the initial one included.
fn reach(c: &Context, initial: Option<&Initial>) -> f64 {
    let seen = c.seen.outputs.iter().map(Range::magnitude);
    seen.chain(initial.iter().flat_map(|i| &i.h).map(|h| h.abs())).fold(0.0, f64::max)
}

/// A hidden state that squashes is Q0.15 and cannot begin beyond 1: the first value that would, if any.
pub(super) fn beyond_one(layer: &Layer) -> Option<f64> {
    let bounded = match layer {
        Layer::Lstm(l) => l.projection.is_none(),
        Layer::Gru(_) => true,
        Layer::Rnn(r) => activation(r.activation).0.is_squashing(),
        _ => false,
    };
    let values = layer.initial().filter(|_| bounded).map_or(&[][..], |i| &i.h);
    values.iter().copied().find(|h| h.abs() > 1.0)
}

/// `W x` and `U h`.
fn products<'a>(c: &Context<'a>, w: &'a Matrix, u: &'a Matrix, hidden: &'a Side) -> [Product<'a>; 2] {
    let formats = c.how.formats;
    let group = |weights| formats.group_of(weights);
    [
        Product { group: group(formats.w), ..Product::new(w, c.input, formats.w) },
        Product { group: group(formats.u), ..Product::new(u, hidden, formats.u) },
    ]
}

/// The rows of both matrices as the device keeps them: in the same records, or apart.
fn kept(rows: Rows, c: &Context) -> Vec<Rows> {
    let formats = c.how.formats;
    if formats.is_joint() {
        return vec![rows];
    }
    let inputs = c.input.full.len();
    let parts = match formats.group_of(formats.w) {
        0 => 1,
        group => inputs.div_ceil(group),
    };
    rows.apart(parts).into()
}

pub(super) fn lstm(l: &Lstm, c: &Context) -> Option<Made> {
    let hard = if let Activation::HardSigmoid { slope } = l.gates { Some(slope) } else { None };
    let factor = |row: usize| if row % 4 == 2 { 1.0 } else { hard.unwrap_or(1.0) };
    let (w, u) = (scaled(&l.w, factor), scaled(&l.u, factor));
    let b: Vec<f64> = l.b.iter().enumerate().map(|(r, b)| b * factor(r)).collect();
    let magnitude = reach(c, l.initial.as_ref());
    let scale = if l.projection.is_some() { output_scale(magnitude) } else { Q15_SCALE.into() };
    let hidden = Side::of(&c.seen.outputs, scale);
    let seen = Seen { rows: &c.seen.rows, ..Seen::alike(&c.seen.joint, 0) };
    let [wx, uh] = products(c, &w, &u, &hidden);
    let joint = Joint::new(&[wx, uh], seen, c.how.levers);
    let (z_shift, rows) = smallest_shift(|unit| joint.quantize(&b, unit, Q16_LIMIT), Q16)?;
    let start = l.initial.as_ref().map_or(0.0, |i| i.c.iter().fold(0.0, |m: f64, v| m.max(v.abs())));
    let top = (c.seen.cell.magnitude().max(start) * CELL_HEADROOM).max(1e-9);
    let integer_bits = top.log2().ceil().max(0.0) as u8;
    let cell_frac = 31u8.saturating_sub(integer_bits).clamp(*CELL_FRAC.start(), *CELL_FRAC.end());
    let (units, formats, initial) = (l.units() as u16, c.how.formats, l.initial.is_some());
    let mut sections = kept(rows, c);
    let mut extra = Vec::new();
    let is_plain = hard.is_none() && l.peephole.is_none() && l.projection.is_none();
    let layer = if is_plain && formats.is_joint() {
        device::Layer::Lstm { units, weights: formats.w, cell_frac, z_shift, initial }
    } else {
        if let Some(projection) = &l.projection {
            let vector = Side::uniform(l.units(), Q15_SCALE.into());
            let zeros = vec![0.0; projection.rows];
            let limit = f64::from(i32::MAX) * scale;
            let product = Product::new(projection, &vector, formats.w);
            let joint = Joint::new(&[product], Seen::alike(&c.seen.other, 0), c.how.levers);
            sections.push(joint.quantize(&zeros, scale, limit)?);
        }
        let peephole = l.peephole.as_ref().map(|p| {
            let gate = hard.unwrap_or(1.0);
            let flat: Vec<f64> = p.as_flattened().iter().map(|v| v * gate).collect();
            let top = flat.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
            let frac = (0..=15u8).rev().find(|&f| top * f64::from(1u32 << f) <= 32767.0).unwrap_or(0);
            extra.extend(flat.iter().map(|v| round(v * f64::from(1u32 << frac)).clamp(-32767.0, 32767.0) as i32));
            frac
        });
        let projection = l.projection.as_ref().map_or(0, |p| p.rows as u16);
        let (hard, scale) = (hard.is_some(), scale as f32);
        device::Layer::More(More::LstmVariant {
            units,
            formats,
            cell_frac,
            z_shift,
            initial,
            hard,
            peephole,
            projection,
            scale,
        })
    };
    let cells = l.initial.as_ref().map_or(&[][..], |i| &i.c);
    extra.extend(initial_words(l.initial.as_ref(), cells, cell_frac, scale));
    Some(Made { layer, sections, extra, output: hidden })
}

pub(super) fn gru(g: &Gru, c: &Context) -> Option<Made> {
    let (units, formats) = (g.units(), c.how.formats);
    let hidden = Side::of(&c.seen.outputs, Q15_SCALE.into());
    let reset = Side::uniform(units, Q15_SCALE.into());
    let slope = if let Activation::HardSigmoid { slope } = g.gates { slope } else { 1.0 };
    let part =
        |m: &Matrix, gate: usize| scaled(&m.gather(units, |k| 3 * k + gate), |_| if gate == 2 { 1.0 } else { slope });
    let [w, u] = [&g.w, &g.u].map(|m| [0, 1, 2].map(|gate| part(m, gate)));
    let b = [0, 1, 2].map(|gate| -> Vec<f64> {
        (0..units).map(|k| g.b[3 * k + gate] * if gate == 2 { 1.0 } else { slope }).collect()
    });
    let input = c.input.full.len();
    // Each set of rows with its biases and how much of the range is its own.
    let both =
        |gate: usize, h, seen| Joint::new(&products(c, &w[gate], &u[gate], h), Seen::alike(seen, 0), c.how.levers);
    let mut sets = vec![(both(0, &hidden, &c.seen.joint), &b[0], 1.0), (both(1, &hidden, &c.seen.joint), &b[1], 1.0)];
    if let Some(bias) = &g.reset_after {
        // The two parts are added after the product with the gate.
        let [x, h] = products(c, &w[2], &u[2], &hidden);
        let one = |product, first| Joint::new(&[product], Seen::alike(&c.seen.joint, first), c.how.levers);
        sets.push((one(x, 0), &b[2], 0.5));
        sets.push((one(h, input), bias, 0.5));
    } else {
        sets.push((both(2, &reset, &c.seen.other), &b[2], 1.0));
    }
    let attempt = |unit: f64| -> Option<Vec<Rows>> {
        let mut all = Vec::new();
        for (joint, bias, share) in &sets {
            let rows = joint.quantize(bias, unit, Q16_LIMIT * share)?;
            all.extend(if *share < 1.0 { vec![rows] } else { kept(rows, c) });
        }
        Some(all)
    };
    let (z_shift, sections) = smallest_shift(attempt, Q16)?;
    let layer = device::Layer::More(More::Gru {
        units: units as u16,
        formats,
        z_shift,
        initial: g.initial.is_some(),
        hard: matches!(g.gates, Activation::HardSigmoid { .. }),
        reset_after: g.reset_after.is_some(),
    });
    let state = g.initial.as_ref().map_or(&[][..], |i| &i.h);
    let extra = initial_words(g.initial.as_ref(), state, FRAC, Q15_SCALE.into());
    Some(Made { layer, sections, extra, output: hidden })
}

pub(super) fn rnn(r: &Rnn, c: &Context) -> Option<Made> {
    let (function, slope) = activation(r.activation);
    let squashing = function.is_squashing();
    let magnitude = reach(c, r.initial.as_ref());
    let scale = if squashing { Q15_SCALE.into() } else { output_scale(magnitude) };
    let hidden = Side::of(&c.seen.outputs, scale);
    let (w, u) = (scaled(&r.w, |_| slope), scaled(&r.u, |_| slope));
    let b: Vec<f64> = r.b.iter().map(|b| b * slope).collect();
    let joint = Joint::new(&products(c, &w, &u, &hidden), Seen::alike(&c.seen.joint, 0), c.how.levers);
    let (z_shift, rows) = if squashing {
        smallest_shift(|unit| joint.quantize(&b, unit, Q16_LIMIT), Q16)?
    } else {
        (0, joint.quantize(&b, scale, f64::from(i32::MAX) * scale)?)
    };
    let layer = device::Layer::More(More::Rnn {
        units: r.b.len() as u16,
        formats: c.how.formats,
        activation: function,
        z_shift,
        scale: scale as f32,
        initial: r.initial.is_some(),
    });
    let extra = initial_words(r.initial.as_ref(), &[], 0, scale);
    Some(Made { layer, sections: kept(rows, c), extra, output: hidden })
}
