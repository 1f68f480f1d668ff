//! `cargo xtask recorded`: a timer's interrupt samples a recording on an emulated board, faster than some samples are computed.
//! None may be lost, and what comes of them is what comes of them on the host.

use crate::boards;
use crate::emulator::{ARM, Board, ensure as ensure_emulators};
use crate::firmware;
use crate::replay::Replay;
use anyhow::{Context, Result, ensure};
use cellstate::session::Checksum;
use cellstate::{Model, Session, State};
use cellstate_app::predictor::Predicted;
use cellstate_app::recording::{Event, FAILED, PREFIX, RULES, Summary};
use cellstate_app::sampler::Sampled;
use cellstate_app::sensor::Fault;
use cellstate_convert::data::Sequences;
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::random::Rng;

/// The boards that have a timer of their own to sample by, and memory for a recording; and microseconds from one sample to the next,
/// about as many as a step and the checksum take: most samples come just after one is computed, and several during the steps that
/// bridge a gap.
const BOARDS: [(&str, u32); 2] = [("qemu-mps2-an386", 1_500), ("qemu-mps2-an385", 2_500)];
/// Where the firmware looks for the recording.
const ADDRESS: u32 = 0x2100_0000;
/// Samples that must have been taken for the run to count, and those of them during a computation.
const SAMPLES: u32 = 5000;
const MEANWHILE: u32 = 500;

/// Builds, runs, compares and prints, for one board after the other.
pub(crate) fn run() -> Result<()> {
    ensure_emulators(&[ARM])?;
    boards::on_watch(|model, data| {
        let samples = samples(data);
        let expected = on_host(model, &samples)?;
        for (name, period) in BOARDS {
            println!("{name}: {} samples, one every {period} µs by a timer's interrupt", samples.len());
            on_board(name, &recording(&samples, data.features, period)?, &expected, samples.len() as u32)
                .context(name)?;
        }
        Ok(())
    })
}

/// One board, with a recording of so many samples.
fn on_board(name: &'static str, recording: &[u8], expected: &Expected, samples: u32) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("recording");
    std::fs::write(&file, recording)?;
    let loader = format!("loader,file={},addr={ADDRESS:#x},force-raw=on", file.display());
    let elf = firmware::program(name, &format!("{name}-recorded"))?;
    let mut board = Board::start(&firmware::core(name)?, &elf, &[&loader])?;
    let mut decided = Vec::new();
    let summary = loop {
        match board.next()? {
            Event::Decided { index, class } => decided.push((index, class)),
            Event::Ended(summary) => break summary,
        }
    };
    judge(&summary, expected, samples)?;
    ensure!(decided == expected.decisions, "the board decided {decided:?}, the host {:?}", expected.decisions);
    let Summary { sampled, predicted, meanwhile, waiting, stack, .. } = summary;
    println!("{sampled:?}");
    println!("{predicted:?}");
    println!(
        "{meanwhile} of them were taken while another was being computed; at most {waiting} waited; none was lost"
    );
    println!(
        "{} decisions and all outputs equal the host's; stack {} of {} bytes",
        decided.len(),
        stack.used,
        stack.size
    );
    Ok(())
}

/// All sequences one after the other; about 1 % of the samples fail, from one up to eight in a row.
fn samples(data: &Sequences) -> Vec<Result<Vec<i16>, Fault>> {
    let (mut rng, mut failing) = (Rng(1), 0);
    let mut one = |counts: &[f64]| {
        if failing == 0 && rng.once_in(400) {
            failing = 1 + rng.below(8);
        }
        if failing > 0 {
            failing -= 1;
            return Err(Fault::NoAcknowledge);
        }
        Ok(counts.iter().map(|&v| v.round() as i16).collect())
    };
    data.sequences.iter().flat_map(|s| (0..s.len()).map(|t| s.step(t))).map(&mut one).collect()
}

/// As the firmware takes it.
fn recording(samples: &[Result<Vec<i16>, Fault>], features: usize, period: u32) -> Result<Vec<u8>> {
    let mut bytes = vec![0; PREFIX];
    for sample in samples {
        let counts = sample.clone().unwrap_or_else(|_| vec![FAILED; features]);
        ensure!(counts.first() != Some(&FAILED) || sample.is_err(), "a count of {FAILED} stands for a failure");
        bytes.extend(counts.iter().flat_map(|count| count.to_le_bytes()));
    }
    let prefix = [u32::try_from(bytes.len())?.to_le_bytes(), period.to_le_bytes()].concat();
    bytes.get_mut(..PREFIX).context("no prefix")?.copy_from_slice(&prefix);
    Ok(bytes)
}

/// What the board should come to.
struct Expected {
    counts: Predicted,
    checksum: u32,
    /// The samples at which it decides, and for which class.
    decisions: Vec<(u32, u16)>,
}

/// The same samples through the same rules.
fn on_host(model: &Model, samples: &[Result<Vec<i16>, Fault>]) -> Result<Expected> {
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut replay = Replay::new(Session::new(model, &mut state)?, RULES);
    let (mut checksum, mut decisions) = (Checksum::new(), Vec::new());
    for (index, sample) in (0..).zip(samples) {
        let reading = sample.as_deref().map_err(|&fault| fault);
        let Some(decision) = replay.take(index, reading, 0) else { continue };
        checksum.observe(&replay.session);
        if decision.changed {
            decisions.push((index, decision.class));
        }
    }
    Ok(Expected { counts: replay.counts, checksum: checksum.finish(&replay.session), decisions })
}

/// Whether nothing was lost, and all is as on the host.
fn judge(summary: &Summary, Expected { counts, checksum, .. }: &Expected, samples: u32) -> Result<()> {
    let Summary { sampled, predicted, meanwhile, .. } = summary;
    let (read, failed) = (counts.accepted, counts.faults);
    ensure!(*sampled == Sampled { read, failed, missed: 0, dropped: 0 }, "samples were lost: {summary:?} of {samples}");
    ensure!(read + failed == samples && samples >= SAMPLES, "{samples} samples, of which {read} and {failed}");
    ensure!(
        *predicted == Predicted { latest: predicted.latest, ..*counts },
        "the board has {predicted:?}, the host {counts:?}"
    );
    ensure!(summary.checksum == *checksum, "the board's outputs differ from the host's");
    ensure!(*meanwhile >= MEANWHILE, "only {meanwhile} samples were taken while another was being computed");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use cellstate_app::server::Stack;

    /// A board that did everything right, and one that did not.
    #[test]
    fn a_lost_sample_or_another_bit_is_seen() {
        let counts = Predicted { accepted: 5900, faults: 100, bridged: 40, resets: 3, ..Predicted::default() };
        let sampled = Sampled { read: 5900, failed: 100, missed: 0, dropped: 0 };
        let predicted = Predicted { latest: 4000, ..counts };
        let stack = Stack { used: 1, size: 2 };
        let good = Summary { sampled, predicted, meanwhile: 3000, waiting: 3, checksum: 7, stack };
        let expected = Expected { counts, checksum: 7, decisions: Vec::new() };
        let judged = |summary: &Summary| judge(summary, &expected, 6000);
        judged(&good).unwrap();
        for bad in [
            Summary { sampled: Sampled { read: 5899, dropped: 1, ..sampled }, ..good },
            Summary { sampled: Sampled { read: 5899, missed: 1, ..sampled }, ..good },
            Summary { predicted: Predicted { bridged: 41, ..predicted }, ..good },
            Summary { checksum: 8, ..good },
            Summary { meanwhile: MEANWHILE - 1, ..good },
        ] {
            judged(&bad).unwrap_err();
        }
        judge(&good, &expected, 6001).unwrap_err();
    }

    #[test]
    fn a_recording_keeps_counts_and_failures() {
        let samples = [Ok(vec![1, -2]), Err(Fault::NoAcknowledge)];
        assert_eq!(
            recording(&samples, 2, 0x105).unwrap(),
            [16, 0, 0, 0, 5, 1, 0, 0, 1, 0, 0xfe, 0xff, 0, 0x80, 0, 0x80]
        );
        recording(&[Ok(vec![FAILED, 0])], 2, 1).unwrap_err();
    }
}
