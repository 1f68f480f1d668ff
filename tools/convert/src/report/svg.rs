//! Charts as SVG: lines and histograms with axes, and what both have in common. Colours are classes of the page.

use super::html::escape;
use std::fmt::Write;

const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 22.0;

/// A line of points, drawn as the page's class of that name.
pub struct Series<'a> {
    /// `float` or `integer`.
    pub class: &'a str,
    /// x and y.
    pub points: Vec<(f64, f64)>,
}

/// The ranges of both axes.
struct Axes {
    x: (f64, f64),
    y: (f64, f64),
}

impl Axes {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        let part = |v: f64, (low, high): (f64, f64)| (v - low) / (high - low);
        let px = LEFT + part(x, self.x) * (WIDTH - LEFT - RIGHT);
        (px, HEIGHT - BOTTOM - part(y, self.y) * (HEIGHT - TOP - BOTTOM))
    }

    /// Grid lines and their numbers.
    fn draw(&self, out: &mut String) {
        for y in ticks(self.y, 4) {
            let (_, py) = self.at(self.x.0, y);
            let right = WIDTH - RIGHT;
            let _ = write!(out, "<line class=\"axis\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{py:.1}\" y2=\"{py:.1}\"/>");
            let (x, py) = (LEFT - 5.0, py + 3.5);
            let _ = write!(out, "<text x=\"{x}\" y=\"{py:.1}\" text-anchor=\"end\">{}</text>", number(y));
        }
        for x in ticks(self.x, 5) {
            let (px, _) = self.at(x, self.y.0);
            // Five pixels a digit and more, so that a number at the end is not cut off.
            let half = 3.2 * number(x).len() as f64;
            let (px, y) = (px.min(WIDTH - half), HEIGHT - 7.0);
            let _ = write!(out, "<text x=\"{px:.1}\" y=\"{y}\" text-anchor=\"middle\">{}</text>", number(x));
        }
    }
}

/// Lines over common axes; `from_zero` has the y axis begin at zero. `title` is for readers that do not see the picture.
pub fn lines(title: &str, series: &[Series], from_zero: bool) -> String {
    let points = || series.iter().flat_map(|s| &s.points);
    let mut y = range(points().map(|p| p.1).chain(from_zero.then_some(0.0)));
    if !from_zero {
        let margin = 0.05 * (y.1 - y.0);
        y = (y.0 - margin, y.1 + margin);
    }
    let axes = Axes { x: range(points().map(|p| p.0)), y };
    let mut out = open(title);
    axes.draw(&mut out);
    for s in series {
        let at = |&(x, y): &(f64, f64)| {
            let (x, y) = axes.at(x, y);
            format!("{x:.1},{y:.1}")
        };
        let path: Vec<String> = s.points.iter().map(at).collect();
        let _ = write!(out, "<polyline class=\"{}\" points=\"{}\"/>", s.class, path.join(" "));
    }
    out + "</svg>"
}

/// Histograms over common bins, as shares of each one's values: the first filled, the second an outline.
pub fn histogram(title: &str, series: &[(&str, &[f64])]) -> String {
    const BINS: usize = 40;
    let x = range(series.iter().flat_map(|s| s.1).copied());
    let bin = |v: f64| (((v - x.0) / (x.1 - x.0) * BINS as f64) as usize).min(BINS - 1);
    let shares = |values: &[f64]| {
        let mut counts = [0.0; BINS];
        for &v in values {
            counts[bin(v)] += 100.0 / values.len() as f64;
        }
        counts
    };
    let all: Vec<(&str, [f64; BINS])> = series.iter().map(|s| (s.0, shares(s.1))).collect();
    let axes = Axes { x, y: range(all.iter().flat_map(|s| s.1).chain([0.0])) };
    let edge = |k: usize| x.0 + (x.1 - x.0) * k as f64 / BINS as f64;
    let mut out = open(title);
    axes.draw(&mut out);
    for (k, (class, counts)) in all.iter().enumerate() {
        let corners = counts.iter().enumerate().flat_map(|(k, &c)| [(edge(k), c), (edge(k + 1), c)]);
        let ends = [(x.0, 0.0), (x.1, 0.0)];
        let path: Vec<String> = [ends[0]]
            .into_iter()
            .chain(corners)
            .chain([ends[1]])
            .map(|(x, y)| axes.at(x, y))
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let filled = if k == 0 { " filled" } else { "" };
        let _ = write!(out, "<polyline class=\"{class}{filled}\" points=\"{}\"/>", path.join(" "));
    }
    out + "</svg>"
}

fn open(title: &str) -> String {
    sized(title, WIDTH, HEIGHT)
}

/// The beginning of a picture that scales with its place.
pub fn sized(title: &str, width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" role=\"img\"><title>{}</title>",
        escape(title)
    )
}

/// From the smallest to the largest finite value, never empty.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
    match high - low {
        d if d > 0.0 && d.is_finite() => (low, high),
        _ if low.is_finite() => (low - 0.5, low + 0.5),
        _ => (0.0, 1.0),
    }
}

/// Round numbers within a range, `most` of them or one more.
pub(super) fn ticks((low, high): (f64, f64), most: u32) -> Vec<f64> {
    let rough = (high - low) / f64::from(most);
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|m| m * power).find(|s| *s >= rough * 0.999).unwrap_or(rough);
    let first = (low / step - 1e-9).ceil();
    (0..=most + 1).map(|k| (first + f64::from(k)) * step).take_while(|t| *t <= high + 1e-9 * step).collect()
}

/// A tick's number, short.
pub(super) fn number(v: f64) -> String {
    let size = v.abs();
    if size < 1e-12 {
        "0".to_owned()
    } else if !(1e-3..1e5).contains(&size) {
        format!("{v:.0e}")
    } else {
        let text = format!("{v:.4}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        assert_eq!(ticks((0.0, 1.0), 5), [0.0, 0.2, 0.4, 0.600_000_000_000_000_1, 0.8, 1.0]);
        assert_eq!(ticks((-3.0, 17.0), 4), [0.0, 5.0, 10.0, 15.0]);
        assert_eq!(number(0.05), "0.05");
        assert_eq!(number(0.00002), "2e-5");
    }

    #[test]
    fn nothing_and_one_value_are_drawn_too() {
        for values in [&[][..], &[3.0], &[f64::NAN, f64::INFINITY]] {
            let text = histogram("none", &[("float", values)]) + &lines("none", &[], true);
            assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
        }
    }
}
