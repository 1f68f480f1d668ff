//! The same samples through the model on the host and on the board, compared bit for bit at every step.

use crate::emulator::{Board, instructions};
use anyhow::{Result, bail};
use cellstate::Model;
use cellstate_app::link::{Request, Response};
use cellstate_convert::data::Sequences;
use cellstate_convert::eval::{self, Units};
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
}

/// Streams raw counts; each sequence begins with a reset on both sides.
pub(crate) fn compare(model: &Model, data: &Sequences, board: &mut Board) -> Result<Report> {
    match board.request(&Request::Hello)? {
        Response::Ready { model: id, .. } if id == model.id() => {}
        other => bail!("the board has another model: {other:?}"),
    }
    let total: usize = data.sequences.iter().map(cellstate_convert::data::Sequence::len).sum();
    let bar = ProgressBar::new(total as u64).with_prefix("streaming");
    let mut report = Report { instructions: (u64::MAX, 0), ..Report::default() };
    let mut failure = None;
    eval::run(model, data, Units::Counts, |session, s, t| {
        if failure.is_none() {
            failure = one(session, data, s, t, board, &mut report).err();
            bar.inc(1);
        }
    })
    .map_err(|e| anyhow::anyhow!(e))?;
    bar.finish_and_clear();
    failure.map_or(Ok(report), Err)
}

/// One step that the host has just taken, on the board.
fn one(
    session: &cellstate::Session,
    data: &Sequences,
    s: usize,
    t: usize,
    board: &mut Board,
    report: &mut Report,
) -> Result<()> {
    let sequence = &data.sequences[s];
    if t == 0 && !matches!(board.request(&Request::Reset)?, Response::Done) {
        bail!("the board did not reset");
    }
    let sample = sequence.step(t).iter().map(|&v| v.round() as i16).collect();
    let Response::Prediction { argmax, outputs, digest, ticks } = board.request(&Request::Sample(sample))? else {
        bail!("the board did not predict at sequence {s}, step {t}");
    };
    let output = session.output();
    report.steps += 1;
    let same = output.iter().eq(outputs) && output.argmax() == usize::from(argmax) && session.digest() == digest;
    report.equal += u64::from(same);
    let label = sequence.label(t);
    report.right_host += u64::from(label == Some(output.argmax() as i64));
    report.right_board += u64::from(label == Some(argmax.into()));
    let count = instructions(ticks);
    report.instructions = (report.instructions.0.min(count), report.instructions.1.max(count));
    Ok(())
}
