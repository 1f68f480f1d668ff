//! A heat map as SVG. Cells of one shade are one path, so that a map is some twenty elements however many steps it has.

use super::html::escape;
use super::svg::{number, sized, ticks};
use crate::trace::Map;
use std::collections::BTreeMap;
use std::fmt::Write;

const WIDTH: f64 = 360.0;
const LEFT: f64 = 44.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 4.0;
const BOTTOM: f64 = 20.0;
/// Shades of each sign.
const SHADES: i32 = 10;
/// Letters of a row's name that there is room for.
const LETTERS: usize = 6;

/// What a cell is drawn as.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Shade {
    /// No value.
    Idle,
    /// A value in units of the largest one's tenth.
    Of(i32),
}

/// The picture; across are the steps, down the rows.
pub fn heat(map: &Map) -> String {
    let rows = map.rows.len().max(1);
    let steps = map.values.first().map_or(0, Vec::len).max(1);
    let cell = (168.0 / rows as f64).clamp(4.0, 14.0);
    let (width, height) = (WIDTH - LEFT - RIGHT, cell * rows as f64);
    let mut out = sized(&map.title, WIDTH, TOP + height + BOTTOM);
    let _ = write!(out, "<rect class=\"box\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{width}\" height=\"{height:.1}\"/>");
    let scale = format!("translate({LEFT} {TOP}) scale({:.4} {cell:.4})", width / steps as f64);
    let _ = write!(out, "<g transform=\"{scale}\">");
    for (shade, path) in paths(map) {
        let (class, opacity) = match shade {
            Shade::Idle => ("idle", 1.0),
            Shade::Of(n) => (if n > 0 { "plus" } else { "minus" }, f64::from(n.abs()) / f64::from(SHADES)),
        };
        let _ = write!(out, "<path class=\"heat {class}\" stroke-opacity=\"{opacity}\" d=\"{path}\"/>");
    }
    out.push_str("</g>");
    // A name needs ten pixels.
    let every = (10.0 / cell).ceil() as usize;
    for (k, name) in map.rows.iter().enumerate().step_by(every) {
        let y = TOP + cell * (k as f64 + 0.5) + 3.5;
        let short: String = name.chars().take(LETTERS).collect();
        let _ = write!(out, "<text x=\"{}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", LEFT - 4.0, escape(&short));
    }
    for t in ticks((0.0, steps as f64), 5) {
        let x = LEFT + width * t / steps as f64;
        let half = 3.2 * number(t).len() as f64;
        let (x, y) = (x.min(WIDTH - half), TOP + height + 14.0);
        let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"middle\">{}</text>", number(t));
    }
    out + "</svg>"
}

/// For each shade the strokes through its cells, one a run of equal ones.
fn paths(map: &Map) -> BTreeMap<Shade, String> {
    let unit = f64::from(SHADES) / if map.limit > 0.0 { map.limit } else { 1.0 };
    let shade = |v: &Option<f64>| match v {
        Some(v) => Shade::Of(((v * unit).round() as i32).clamp(-SHADES, SHADES)),
        None => Shade::Idle,
    };
    let mut paths: BTreeMap<Shade, String> = BTreeMap::new();
    for (row, values) in map.values.iter().enumerate() {
        let mut t = 0;
        for run in values.chunk_by(|a, b| shade(a) == shade(b)) {
            let shade = shade(&run[0]);
            if shade != Shade::Of(0) {
                let _ = write!(paths.entry(shade).or_default(), "M{t} {row}.5h{}", run.len());
            }
            t += run.len();
        }
    }
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(values: Vec<Vec<Option<f64>>>, limit: f64) -> Map {
        Map { title: "<t>".to_owned(), rows: vec!["a & b".to_owned(); values.len()], values, limit }
    }

    #[test]
    fn equal_cells_are_one_stroke() {
        let values =
            vec![vec![Some(1.0), Some(1.0), Some(0.0), None], vec![Some(-0.5), Some(0.96), Some(f64::NAN), None]];
        let paths = paths(&map(values, 1.0));
        let found: Vec<(Shade, &str)> = paths.iter().map(|(&shade, path)| (shade, path.as_str())).collect();
        let idle = (Shade::Idle, "M3 0.5h1M3 1.5h1");
        assert!(found == [idle, (Shade::Of(-5), "M0 1.5h1"), (Shade::Of(10), "M0 0.5h2M1 1.5h1")]);
    }

    #[test]
    fn nothing_is_drawn_too() {
        for values in [vec![], vec![vec![]], vec![vec![None]], vec![vec![Some(0.0)]]] {
            let text = heat(&map(values, 0.0));
            assert!(!text.contains("NaN") && !text.contains("inf") && text.contains("&lt;t&gt;"), "{text}");
        }
    }
}
