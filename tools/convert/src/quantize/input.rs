//! The map of each input feature to Q0.15: centred on its mean, scaled to its range.

use super::calibrate::Range;
use super::rows::Side;
use cellstate::layer::input::Feature;
use cellstate_reference::InputMap;

/// How far beyond the calibrated range a sample can go before it saturates. Sixteen bits have the room.
const HEADROOM: f64 = 1.5;

/// One map a feature; with one gain for all, a power of two, if they are `alike`.
pub fn features(map: &InputMap, seen: &[Range], alike: bool) -> Vec<Feature> {
    let gain = |spread: f64| 32767.0 / if spread > 0.0 { spread * HEADROOM } else { 1.0 };
    let widest = seen.iter().map(Range::spread).fold(0.0, f64::max);
    let common = alike.then(|| gain(widest).log2().floor().exp2());
    seen.iter()
        .zip(map.scale.iter().zip(&map.offset))
        .map(|(range, (&scale, &offset))| feature(range, scale, offset, common.unwrap_or(gain(range.spread()))))
        .collect()
}

fn feature(range: &Range, scale: f64, offset: f64, gain: f64) -> Feature {
    let centre = f64::from(range.mean() as f32);
    // count * (scale * gain) + (offset - centre) * gain: the finest shift at which multiplier and bias fit.
    let (slope, intercept) = (scale * gain, (offset - centre) * gain);
    let fits = |shift: u32| {
        let unit = f64::from(1u32 << shift);
        let bias = (intercept * unit).round() + (unit / 2.0).floor();
        ((slope * unit).round().abs() <= 32767.0 && bias.abs() <= f64::from(1 << 30)).then_some((shift, bias))
    };
    let (shift, bias) = (0..=30).rev().find_map(fits).unwrap_or((0, intercept.clamp(-1e9, 1e9).round()));
    let multiplier = (slope * f64::from(1u32 << shift)).round().clamp(-32767.0, 32767.0);
    Feature { multiplier: multiplier as i32, bias: bias as i32, shift, centre: centre as f32, gain: gain as f32 }
}

/// The input vector as the first layer sees it: full scale and centre of each feature in model units.
///
/// The float map's gain is the one that counts; the raw map equals it to 15 bits.
pub fn side(features: &[Feature], seen: &[Range]) -> Side {
    Side {
        full: features.iter().map(|f| 32768.0 / f64::from(f.gain)).collect(),
        centre: features.iter().map(|f| f64::from(f.centre)).collect(),
        mean: seen.iter().zip(features).map(|(r, f)| r.mean() - f64::from(f.centre)).collect(),
    }
}
