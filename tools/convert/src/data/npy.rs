//! The `.npy` format of `NumPy`, versions 1 to 3, numbers only.
//!
//! Specification: `numpy.lib.format` in `NumPy`'s documentation.

use crate::error::{Error, Result};
use std::path::Path;

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values in C order.
    pub data: Vec<f64>,
}

/// Parses the bytes of a `.npy` file; `path` names it in errors.
///
/// # Errors
/// A damaged file, an element type that is not a little-endian number.
pub fn parse(path: &Path, bytes: &[u8]) -> Result<Array> {
    let damaged =
        |what: &str| Error::new(path, format!("not a whole .npy array ({what})"), "save it again with numpy.save");
    let body = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(|| damaged("magic"))?;
    let (len, body) = match body {
        [1, _, a, b, rest @ ..] => (usize::from(u16::from_le_bytes([*a, *b])), rest),
        [2 | 3, _, a, b, c, d, rest @ ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, rest),
        _ => return Err(damaged("version")),
    };
    let (header, body) = body.split_at_checked(len).ok_or_else(|| damaged("header"))?;
    let header = std::str::from_utf8(header).map_err(|_| damaged("header"))?;
    let field = |key: &str| {
        let (_, rest) = header.split_once(&format!("'{key}':"))?;
        Some(rest.trim_start())
    };
    let descr = field("descr").and_then(|v| v.strip_prefix('\'')).and_then(|v| v.split('\'').next());
    let descr = descr.ok_or_else(|| Error::new(path, "its elements are not numbers", "save a numeric array"))?;
    let fortran = field("fortran_order").ok_or_else(|| damaged("fortran_order"))?.starts_with("True");
    let shape = field("shape").and_then(|v| v.strip_prefix('(')).and_then(|v| v.split(')').next());
    let shape = shape.ok_or_else(|| damaged("shape"))?;
    let dims = shape.split(',').map(str::trim).filter(|d| !d.is_empty());
    let shape: Vec<usize> = dims.map(|d| d.parse().map_err(|_| damaged("shape"))).collect::<Result<_>>()?;
    let (size, decode) = decoder(descr).ok_or_else(|| {
        let cause = format!("its elements have type {descr}");
        Error::new(path, cause, "save it as little-endian float32, float64 or integers")
    })?;
    let count = shape.iter().try_fold(1usize, |a, &d| a.checked_mul(d)).and_then(|n| n.checked_mul(size));
    if count != Some(body.len()) {
        return Err(damaged(&format!("shape {shape:?} of {descr} in {} bytes", body.len())));
    }
    let data: Vec<f64> = body.chunks_exact(size).map(decode).collect();
    Ok(Array { data: if fortran { c_order(&shape, &data) } else { data }, shape })
}

/// Values whose first index runs fastest, reordered so that the last one does.
fn c_order(shape: &[usize], data: &[f64]) -> Vec<f64> {
    let source = |mut index: usize| {
        // Digits of the C-order index from the last dimension on, weighed by the strides of Fortran order.
        let mut stride = data.len();
        let mut at = 0;
        for &dim in shape.iter().rev() {
            stride /= dim;
            at += index % dim * stride;
            index /= dim;
        }
        at
    };
    (0..data.len()).map(|k| data[source(k)]).collect()
}

/// One element's value.
type Decode = fn(&[u8]) -> f64;

/// Size and decoder of an element type.
fn decoder(descr: &str) -> Option<(usize, Decode)> {
    macro_rules! number {
        ($t:ty) => {
            (size_of::<$t>(), |b| b.try_into().map_or(f64::NAN, |b| <$t>::from_le_bytes(b) as f64))
        };
    }
    Some(match descr {
        "<f4" => number!(f32),
        "<f8" => number!(f64),
        "|i1" => number!(i8),
        "<i2" => number!(i16),
        "<i4" => number!(i32),
        "<i8" => number!(i64),
        "|u1" | "|b1" => number!(u8),
        "<u2" => number!(u16),
        "<u4" => number!(u32),
        "<u8" => number!(u64),
        _ => return None,
    })
}
