//! What is seen as lines: for people, and for programs.

use super::event::{Board, Shot};
use super::seen::{Seen, Unit};
use serde_json::{Value, json};
use std::time::Duration;

/// A prediction as the JSON object that `docs/cli.md` documents.
pub fn json(board: &Board, unit: Unit, shot: &Shot) -> Value {
    let prediction = &shot.prediction;
    let scores = shot.scores.as_ref().map(|scores| {
        let named = board.names.iter().cloned().zip(scores.iter().map(|&v| Value::from(v)));
        named.collect::<serde_json::Map<_, _>>()
    });
    let label = shot.label.map(|label| board.names.get(label as usize).cloned().unwrap_or_else(|| label.to_string()));
    json!({
        "sample": shot.sample,
        "sequence": shot.sequence,
        "step": shot.step,
        "decision": board.decision(prediction),
        "argmax": prediction.argmax,
        "new": prediction.new,
        "outputs": &prediction.outputs[..],
        "scores": scores,
        "label": label,
        "digest": format!("{:08x}", prediction.digest),
        "unit": unit.name(),
        "step_cost": unit.of(prediction.ticks.into()),
        "latency": unit.of(prediction.latency.into()),
        "equal": shot.equal,
    })
}

/// All that is seen in a line: of every second.
pub fn plain(seen: &Seen, since: Duration) -> String {
    let [sent, predicted] = seen.rates;
    let mut parts = vec![
        format!("{:.1} s", since.as_secs_f64()),
        format!("sent {} ({sent:.0}/s)", seen.sent),
        format!("predicted {} ({predicted:.0}/s)", seen.predicted),
    ];
    if let Some(shot) = &seen.latest {
        parts.push(format!("decision {}", seen.board.decision(&shot.prediction)));
    }
    for (what, span) in [("step", seen.ticks), ("latency", seen.latency)] {
        if let Some([least, mean, most]) = span.get().map(|span| span.map(|v| seen.unit.of(v))) {
            parts.push(format!("{what} {least:.0}/{mean:.0}/{most:.0} {}", seen.unit.name()));
        }
    }
    let (traffic, counts) = (seen.told.traffic, seen.told.counts);
    parts.push(format!("again {}", traffic.again));
    parts.push(format!("damaged {} here, {} there", traffic.damaged, damaged(seen)));
    parts.push(format!("repeated {} here, {} there", traffic.repeated, counts.repeated));
    if seen.unheard > 0 {
        parts.push(format!("unheard {}", seen.unheard));
    }
    if let [breaks @ 1..=u64::MAX, restarts] = seen.breaks {
        parts.push(format!("breaks {breaks}, restarts {restarts}"));
    }
    if let [compared @ 1..=u64::MAX, equal] = seen.compared {
        parts.push(format!("equal to the host {equal} of {compared}"));
    }
    if let [labelled @ 1..=u64::MAX, right] = seen.labelled {
        parts.push(format!("right {:.2} %", right as f64 / labelled as f64 * 100.0));
    }
    parts.join(", ")
}

/// Frames that came to the board damaged.
pub(super) fn damaged(seen: &Seen) -> u32 {
    let counts = seen.told.counts;
    [counts.framing, counts.checksum, counts.too_long].into_iter().fold(0, u32::wrapping_add)
}
