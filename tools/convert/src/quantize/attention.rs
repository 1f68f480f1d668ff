//! Attention.

use super::joins::unit;
use super::moments::Moments;
use super::rows::{Joint, Product, Rows, Seen, Side};
use super::{Context, Made, output_scale, round};
use crate::emit::blob::halves;
use cellstate::kernel::{COLUMNS, ROWS, W16_SHIFT};
use cellstate::model::layer as device;
use cellstate::model::more::{self, MAX_HEAD, MAX_SLOTS, More};
use cellstate::numeric::rounding::MULTIPLIER_UNIT;
use cellstate_reference::{Attention, Dense, Matrix, Score};

/// Additive scores are of queries and keys in this unit.
const ADDITIVE: f64 = 1.0 / 2048.0;
/// Rotated pairs are longer than each of their values.
const ROTATED: f64 = std::f64::consts::SQRT_2;
/// A multiplier of scores below this, as a share of the largest, has too few digits; the queries' unit makes up for it.
const FINE: f64 = 1.0 / 16.0;

/// Why the device cannot run it, if so.
pub(super) fn unfit(a: &Attention, c: &Context) -> Option<String> {
    let head = usize::from(MAX_HEAD);
    if a.key > head || a.value > head {
        return Some(format!("a head has {} values, of at most {head}", a.key.max(a.value)));
    }
    if a.slots > usize::from(MAX_SLOTS) {
        return Some(format!("it remembers {} steps, of at most {MAX_SLOTS}: give a shorter window", a.slots));
    }
    if a.heads > 255 {
        return Some(format!("it has {} heads, of at most 255", a.heads));
    }
    if !a.rotary.is_empty() && !a.key.is_multiple_of(COLUMNS) {
        return Some(format!("its heads turn {} values, which is no multiple of {COLUMNS}", a.key));
    }
    if a.heads > 1 && a.o.is_none() && !a.value.is_multiple_of(ROWS) {
        return Some(format!("its heads yield {} values, which is no multiple of {ROWS}", a.value));
    }
    let raw = [(&a.q, a.heads), (&a.k, a.kv_heads), (&a.v, a.kv_heads)];
    if raw.iter().any(|(dense, heads)| dense.is_none() && *heads > 1) {
        return Some("its heads share a source that no matrix divides".to_owned());
    }
    (a.apart.is_some() && !c.sources[1].full.len().is_multiple_of(COLUMNS))
        .then(|| format!("its keys have {} values, which is no multiple of {COLUMNS}", c.sources[1].full.len()))
}

/// A matrix whose rows are padded head by head.
fn padded(d: &Dense, heads: usize, wanted: usize) -> Dense {
    let (mine, cols) = (d.w.rows / heads, d.w.cols);
    let row = |r: usize| (r % wanted < mine).then_some(r / wanted * mine + r % wanted);
    Dense {
        w: Matrix::from_fn(heads * wanted, cols, |r, c| row(r).map_or(0.0, |r| d.w.row(r)[c])),
        b: (0..heads * wanted).map(|r| row(r).map_or(0.0, |r| d.b[r])).collect(),
        activation: d.activation,
    }
}

/// Columns padded head by head: those of what takes the context.
fn padded_columns(w: &Matrix, heads: usize, wanted: usize) -> Matrix {
    let mine = w.cols / heads;
    Matrix::from_fn(w.rows, heads * wanted, |r, c| {
        if c % wanted < mine { w.row(r)[c / wanted * mine + c % wanted] } else { 0.0 }
    })
}

/// A matrix whose outputs are 16-bit values of a unit.
fn rows(d: &Dense, side: &Side, moments: &Moments, first: usize, unit: f64, c: &Context) -> Option<Rows> {
    let product = Product::new(&d.w, side, c.how.formats.w);
    let joint = Joint::new(&[product], Seen::alike(moments, first), c.how.levers);
    joint.quantize(&d.b, unit, f64::from(i32::MAX) * unit)
}

pub(super) fn attention(a: &Attention, c: &Context) -> Option<Made> {
    let (key, value) = (a.key.next_multiple_of(COLUMNS), a.value.next_multiple_of(ROWS));
    let [queries, keys, values] = &c.seen.parts;
    let (query_side, key_side) = (c.sources[0], c.sources[1]);
    let value_side = c.sources.get(2).unwrap_or(&key_side);
    let turned = if a.rotary.is_empty() { 1.0 } else { ROTATED };
    let additive = matches!(a.score, Score::Additive { .. });
    let of = |dense: &Option<Dense>, magnitude: f64, side: &Side| match dense {
        _ if additive => ADDITIVE,
        Some(_) => output_scale(magnitude * turned),
        None => unit(side),
    };
    let (mut query_unit, key_unit) = (of(&a.q, queries.magnitude(), query_side), of(&a.k, keys.magnitude(), key_side));
    let value_unit = match &a.v {
        Some(_) => output_scale(values.magnitude()),
        None => unit(value_side),
    };
    // Of `mul_high(sum >> 8, m) << z_shift`, in units of 2^-16, in powers of two.
    let shifted = f64::from(1u32 << W16_SHIFT) * 65536.0 * std::f64::consts::LOG2_E;
    let (mut factor, weights) = match &a.score {
        Score::Dot { scale } => (scale * query_unit * key_unit * shifted, Vec::new()),
        Score::Additive { v } => {
            let top = v.iter().fold(0.0, |m: f64, v| m.max(v.abs())).max(1e-9);
            // Digits of the weights give way to those of the multiplier.
            let real = (FINE / 2.0 * 32768.0 / shifted).clamp(top / 32767.0, top / 127.0);
            let integers: Vec<i16> = v.iter().map(|v| round(v / real) as i16).collect();
            (real / 32768.0 * shifted, halves(&pad(integers, key)))
        }
    };
    if factor < FINE && a.q.is_some() && !additive {
        let by = (FINE / factor).min(64.0);
        query_unit *= by;
        factor *= by;
    }
    let z_shift = (0..=15u8).find(|&s| factor / f64::from(1u32 << s) <= 0.499)?;
    let exact = factor / f64::from(1u32 << z_shift) * 65536.0;
    let multiplier = (round(exact) as i32).clamp(1, 32767) * MULTIPLIER_UNIT;
    let mut extra = vec![0; ROWS];
    extra.extend([multiplier; ROWS]);
    let turns = |angle: &f64| round(angle / std::f64::consts::TAU * f64::from(1u32 << 31) * 2.0) as i64 as i32;
    extra.extend(a.rotary.iter().map(turns));
    let age = |v: &f64| round(v * std::f64::consts::LOG2_E * 65536.0).clamp(-1e9, 1e9) as i32;
    extra.extend(a.ages.iter().map(age));
    extra.extend(weights);

    let none = Moments::default();
    let first_value = if a.apart.is_some() { key_side.full.len() } else { 0 };
    let mut sections = Vec::new();
    let identity = |side: &Side| Dense {
        w: Matrix::diagonal(&vec![1.0; side.full.len()]),
        b: vec![0.0; side.full.len()],
        activation: cellstate_reference::Activation::Linear,
    };
    // Additive scores need their unit, which is a matrix's business.
    let query_matrix = a.q.clone().or_else(|| additive.then(|| identity(query_side)));
    let key_matrix = a.k.clone().or_else(|| additive.then(|| identity(key_side)));
    if let Some(d) = &query_matrix {
        sections.push(rows(&padded(d, a.heads, key), query_side, &c.seen.joint, 0, query_unit, c)?);
    }
    if let Some(d) = &key_matrix {
        sections.push(rows(&padded(d, a.kv_heads, key), key_side, &c.seen.other, 0, key_unit, c)?);
    }
    if let Some(d) = &a.v {
        sections.push(rows(&padded(d, a.kv_heads, value), value_side, &c.seen.other, first_value, value_unit, c)?);
    }
    let scale = match &a.o {
        None => value_unit,
        Some(d) => {
            let scale = output_scale(c.seen.outputs.iter().fold(0.0, |m: f64, r| m.max(r.magnitude())));
            let wide = Dense { w: padded_columns(&d.w, a.heads, value), ..d.clone() };
            let moments = if value == a.value { &c.seen.context } else { &none };
            let side = Side::uniform(a.heads * value, value_unit);
            sections.push(rows(&wide, &side, moments, 0, scale, c)?);
            scale
        }
    };
    let has = [query_matrix.is_some(), key_matrix.is_some(), a.v.is_some(), a.o.is_some()];
    let layer = device::Layer::More(More::Attention(more::Attention {
        width: a.outputs() as u16,
        memory: 0,
        split: a.apart.map_or(0, |_| key_side.full.len() as u16),
        heads: a.heads as u8,
        kv_heads: a.kv_heads as u8,
        key: key as u16,
        value: value as u16,
        slots: a.slots as u16,
        causal: a.causal,
        additive,
        projections: has.iter().enumerate().map(|(k, &has)| u8::from(has) << k).sum(),
        weights: c.how.formats.w,
        z_shift,
        rotary: !a.rotary.is_empty(),
        ages: !a.ages.is_empty(),
        scale: scale as f32,
    }));
    Some(Made { layer, sections, extra, output: Side::of(&c.seen.outputs, scale) })
}

fn pad(mut values: Vec<i16>, len: usize) -> Vec<i16> {
    values.resize(len, 0);
    values
}
