//! The same samples through the model on the host and on the board, compared bit for bit at every step.

use crate::emulator::Board;
use anyhow::{Context, Result, ensure};
use cellstate::Model;
use cellstate_app::server::Stack;
use cellstate_convert::board::cores::Counter;
use cellstate_convert::data::{Sequence, Sequences};
use cellstate_convert::eval::{self, Units};
use cellstate_link::Device;
use indicatif::ProgressBar;

/// What a comparison found.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Steps on both sides.
    pub(crate) steps: u64,
    /// Steps with equal outputs, decision and state digest.
    pub(crate) equal: u64,
    /// Steps that the host and the board decided as labelled.
    pub(crate) right_host: u64,
    pub(crate) right_board: u64,
    /// Instructions of one `step_i16` call on the board: fewest and most.
    pub(crate) instructions: (u64, u64),
    /// Instructions from the last byte of a sample to the decision: fewest and most.
    pub(crate) latency: (u64, u64),
    /// The most that the board ever used of its stack.
    pub(crate) stack: Option<Stack>,
}

/// Streams raw counts; each sequence begins with a reset on both sides.
pub(crate) fn compare(model: &Model, data: &Sequences, board: &mut Device<Board>, counter: Counter) -> Result<Report> {
    ensure!(board.board().model == model.id(), "the board has another model: {:?}", board.board());
    let total: usize = data.sequences.iter().map(Sequence::len).sum();
    let bar = ProgressBar::new(total as u64).with_prefix("streaming");
    let mut report = Report { instructions: (u64::MAX, 0), latency: (u64::MAX, 0), ..Report::default() };
    let mut failure = None;
    eval::run(model, data, Units::Counts, |session, s, t| {
        if failure.is_none() {
            failure = one(session, (&data.sequences[s], s, t), board, counter, &mut report).err();
            bar.inc(1);
        }
    })
    .map_err(|e| anyhow::anyhow!(e))?;
    bar.finish_and_clear();
    failure.map_or(Ok(()), Err)?;
    let counts = board.counts()?;
    ensure!(u64::from(counts.accepted) == report.steps && counts.frames == counts.sum(), "the board has {counts:?}");
    report.stack = Some(board.stack()?);
    Ok(report)
}

/// One step that the host has just taken, on the board.
fn one(
    session: &cellstate::Session,
    (sequence, s, t): (&Sequence, usize, usize),
    board: &mut Device<Board>,
    counter: Counter,
    report: &mut Report,
) -> Result<()> {
    if t == 0 {
        board.reset()?;
    }
    let sample: Vec<i16> = sequence.step(t).iter().map(|&v| v.round() as i16).collect();
    let predicted = board.sample(&sample).with_context(|| format!("sequence {s}, step {t}"))?;
    let output = session.output();
    report.steps += 1;
    let same = output.iter().eq(predicted.outputs)
        && output.argmax() == usize::from(predicted.argmax)
        && session.digest() == predicted.digest;
    report.equal += u64::from(same);
    let label = sequence.label(t);
    report.right_host += u64::from(label == Some(output.argmax() as i64));
    report.right_board += u64::from(label == Some(predicted.argmax.into()));
    for (range, ticks) in [(&mut report.instructions, predicted.ticks), (&mut report.latency, predicted.latency)] {
        let count = counter.instructions(ticks.into());
        *range = (range.0.min(count), range.1.max(count));
    }
    Ok(())
}
