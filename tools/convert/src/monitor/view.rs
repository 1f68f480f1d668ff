//! What is seen, on a terminal: from 80 columns and 24 rows on.

use super::lines::damaged;
use super::meter::Span as Range;
use super::seen::{Seen, Status, values};
use crate::report::html::thousands;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

/// Eighths of a cell, from the bottom on.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Eighths of a cell, from the left on.
const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
/// Columns of the layers beside the outputs.
const LAYERS: u16 = 34;
/// The keys.
const KEYS: [(&str, &str); 5] = [("q", "quit"), ("space", "pause"), ("r", "reset"), ("s", "save"), ("p", "profile")];

/// Draws all of it.
pub fn draw(frame: &mut Frame, seen: &Seen) {
    let mut rows = [1, 6, 3, 6, 1, 1].map(Constraint::Length);
    rows[2] = Constraint::Min(3);
    let [title, facts, outputs, link, message, keys] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(heading(seen), title);
    let [left, right] = Layout::horizontal([Constraint::Length(38), Constraint::Min(30)]).areas(facts);
    panel(frame, left, "Board", board(seen));
    panel(frame, right, &format!("Speed; {}: least, mean, most", seen.unit.name()), speed(seen));
    let outputs = if seen.profiling {
        let [outputs, layers] = Layout::horizontal([Constraint::Min(20), Constraint::Length(LAYERS)]).areas(outputs);
        panel(frame, layers, "Layers of a step", profile(seen, layers.height.saturating_sub(2).into()));
        outputs
    } else {
        outputs
    };
    let (width, height) = (outputs.width.saturating_sub(2).into(), outputs.height.saturating_sub(2).into());
    panel(frame, outputs, &kind(seen), bars(seen, width, height));
    panel(frame, link, "Frames", frames(seen));
    frame.render_widget(Paragraph::new(said(seen)), message);
    let keys_line = KEYS.into_iter().flat_map(|(key, what)| [key.bold(), Span::raw(format!(" {what}   "))]);
    let keys_line: Line = [Span::raw(" ")].into_iter().chain(keys_line).collect();
    frame.render_widget(keys_line, keys);
}

fn panel(frame: &mut Frame, area: Rect, title: &str, lines: Vec<Line>) {
    let block = Block::bordered().title(format!(" {title} ")).border_style(Style::new().fg(Color::DarkGray));
    frame.render_widget(Paragraph::new(lines).block(block), area);
}

fn heading(seen: &Seen) -> Line<'_> {
    let (word, colour) = match seen.status {
        Status::Streaming => ("streaming", Color::Green),
        Status::Paused => ("paused", Color::Yellow),
        Status::Lost(_) => ("lost", Color::Red),
        Status::Ended => ("ended", Color::Cyan),
    };
    Line::from(vec![" cellstate monitor ".bold(), Span::raw(format!(" {}  ", seen.port)), word.fg(colour).bold()])
}

fn said(seen: &Seen) -> Line<'_> {
    match &seen.status {
        Status::Lost(why) => Line::from(format!(" trying to connect again: {why}")).fg(Color::Red),
        Status::Ended if seen.message.is_empty() => Line::from(" all samples were sent"),
        _ => Line::from(format!(" {}", seen.message)),
    }
}

/// A name and a value.
fn fact(name: &str, value: String) -> Line<'static> {
    Line::from(vec![format!(" {name:<8} ").fg(Color::Gray), Span::raw(value)])
}

fn board(seen: &Seen) -> Vec<Line<'_>> {
    let ready = seen.board.ready;
    let model = seen.model.as_ref().map_or_else(String::new, |name| format!("{name} "));
    let heads: Vec<String> = seen.board.widths.iter().map(usize::to_string).collect();
    let stack = seen.told.stack.map_or_else(
        || "not told".to_owned(),
        |stack| format!("{} of {} bytes", thousands(stack.used.into()), thousands(stack.size.into())),
    );
    vec![
        fact("model", format!("{model}{:08x}", ready.model)),
        fact("shape", format!("{} in, {} out, {} layers", ready.inputs, heads.join("+"), ready.layers)),
        fact(
            "state",
            format!("{} bytes, {} saved", thousands(ready.state_bytes.into()), thousands(ready.saved_bytes.into())),
        ),
        fact("stack", stack),
    ]
}

fn speed(seen: &Seen) -> Vec<Line<'_>> {
    let range = |range: Range| {
        let shown = range.get().map(|range| range.map(|v| thousands(seen.unit.of(v).round() as u64)));
        shown.map_or_else(String::new, |[least, mean, most]| format!("{least:>9}{mean:>10}{most:>10}"))
    };
    let count =
        |count: u64, rate: f64| format!("{:>9}{:>10} a second", thousands(count), thousands(rate.round() as u64));
    let [sent, predicted] = seen.rates;
    vec![
        fact("sent", count(seen.sent, sent)),
        fact("answered", count(seen.predicted, predicted)),
        fact("step", range(seen.ticks)),
        fact("latency", range(seen.latency)),
    ]
}

/// What the values are.
fn kind(seen: &Seen) -> String {
    let decided = seen.latest.as_ref().map_or("", |shot| seen.board.decision(&shot.prediction));
    let what = match &seen.latest {
        Some(shot) if shot.scores.is_none() => "integers (--model has their values)",
        _ => "scores, each 0.1 s",
    };
    format!("Decision: {decided} ─ {what}")
}

/// A line an output: name, value, bar, and its history, in colour where it was the decision.
fn bars(seen: &Seen, width: usize, height: usize) -> Vec<Line<'_>> {
    let Some(shot) = &seen.latest else { return vec![Line::from(" no prediction yet")] };
    let (values, names) = (values(shot), &seen.board.names);
    let first = seen.board.widths.first().copied().unwrap_or(0);
    let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).clamp(4, 14);
    // The largest are shown if there is no room for all, in their own order.
    let mut shown: Vec<usize> = (0..values.len()).collect();
    if values.len() > height {
        shown.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        shown.truncate(height.saturating_sub(1));
        shown.sort_unstable();
    }
    let rest = width.saturating_sub(longest + 12);
    let (bar, past) = (rest * 2 / 5, rest - rest * 2 / 5 - usize::from(rest > 0));
    let full = seen.full();
    let mut lines: Vec<Line> = shown
        .iter()
        .map(|&k| {
            let (value, name) = (values[k], names.get(k).map_or("", String::as_str));
            let decided = k < first && k == usize::from(shot.prediction.argmax);
            let name: String = name.chars().take(longest).collect();
            let number = if shot.scores.is_some() { format!("{value:>8.3}") } else { format!("{value:>8.0}") };
            let style = if decided { Style::new().fg(Color::Green).add_modifier(Modifier::BOLD) } else { Style::new() };
            let mark = if decided { "▶" } else { " " };
            let mut line = vec![
                Span::styled(format!("{mark}{name:<longest$} {number} "), style),
                Span::styled(filled(value / full, bar), style),
                Span::raw(" "),
            ];
            line.extend(history(seen, k, first, past));
            Line::from(line)
        })
        .collect();
    if shown.len() < values.len() {
        lines.push(Line::from(format!(" and {} smaller ones", values.len() - shown.len())).fg(Color::Gray));
    }
    lines
}

/// A bar of so many cells.
fn filled(share: f32, cells: usize) -> String {
    let eighths = (share.clamp(0.0, 1.0) * (cells * 8) as f32).round() as usize;
    let (whole, part) = (eighths / 8, eighths % 8);
    let mut bar: String = std::iter::repeat_n('█', whole).collect();
    if part > 0 {
        bar.push(PARTS[part]);
    }
    format!("{bar:<cells$}")
}

/// The latest columns of an output.
fn history(seen: &Seen, k: usize, first: usize, cells: usize) -> Vec<Span<'static>> {
    let full = seen.full();
    let skipped = seen.columns.len().saturating_sub(cells);
    let mut spans = vec![Span::raw(" ".repeat(cells.saturating_sub(seen.columns.len())))];
    for column in seen.columns.iter().skip(skipped) {
        let share = column.values.get(k).map_or(0.0, |v| v / full).clamp(0.0, 1.0);
        let level = ((share * 8.0).ceil() as usize).saturating_sub(1).min(7);
        let decided = k < first && k == usize::from(column.argmax);
        spans.push(Span::styled(LEVELS[level].to_string(), if decided { Color::Green } else { Color::DarkGray }));
    }
    spans
}

fn profile(seen: &Seen, height: usize) -> Vec<Line<'_>> {
    if seen.profile.is_empty() {
        return vec![Line::from(" not told yet")];
    }
    let all: u64 = seen.profile.iter().map(|&t| u64::from(t)).sum();
    let line = |(k, &ticks): (usize, &u32)| {
        let kind = seen.layers.get(k).map_or("layer", String::as_str);
        let share = f64::from(ticks) / (all.max(1) as f64) * 100.0;
        let spent = thousands(seen.unit.of(ticks.into()).round() as u64);
        Line::from(format!(" {k:>2} {kind:<10.10}{spent:>10}{share:>5.0} %"))
    };
    seen.profile.iter().enumerate().take(height).map(line).collect()
}

fn frames(seen: &Seen) -> Vec<Line<'_>> {
    let (traffic, counts) = (seen.told.traffic, seen.told.counts);
    let pair = |(name, value): (&str, u64)| format!("{name} {}", thousands(value));
    let line =
        |who: &str, counts: &[(&str, u64)]| fact(who, counts.iter().map(|&c| pair(c)).collect::<Vec<_>>().join("   "));
    let mut checks = Vec::new();
    if let [compared @ 1..=u64::MAX, equal] = seen.compared {
        checks.push(format!("{} of {} equal to the host's", thousands(equal), thousands(compared)));
    }
    if let [labelled @ 1..=u64::MAX, right] = seen.labelled {
        checks.push(format!("{:.2} % as labelled", right as f64 / labelled as f64 * 100.0));
    }
    let [breaks, restarts] = seen.breaks;
    vec![
        line(
            "host",
            &[
                ("sent", traffic.commands),
                ("again", traffic.again),
                ("late", traffic.late),
                ("damaged", traffic.damaged),
                ("repeated", traffic.repeated),
            ],
        ),
        line(
            "board",
            &[
                ("came", counts.frames.into()),
                ("early", counts.early.into()),
                ("damaged", damaged(seen).into()),
                ("repeated", counts.repeated.into()),
                ("refused", counts.refused.into()),
            ],
        ),
        line("line", &[("breaks", breaks), ("restarts", restarts), ("unheard predictions", seen.unheard)]),
        fact(
            "checked",
            if checks.is_empty() { "--model compares with the host".to_owned() } else { checks.join(", ") },
        ),
    ]
}
