//! `cargo xtask field`: signed updates over the serial link of an emulated board while samples stream, and such as must be refused.
//!
//! Each sample that the board acknowledges was stepped once, by the model that was active then: the host steps all of them, too, and
//! compares every output and state. The line damages frames both ways.

use crate::emulator::{ARM, ensure as ensure_emulators};
use crate::fielded::{self, Answer, Beside, Fielded, counts, same};
use crate::variants::WATCH;
use anyhow::{Context, Result, bail, ensure};
use cellstate::Session;
use cellstate::model::header::Weights;
use cellstate_app::protocol::{Request, Response, Sample};
use cellstate_app::server::Stack;
use cellstate_convert::data;
use cellstate_link::faulty::Faults;
use cellstate_store::{Manifest, SecretKey, UpdateError};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use std::collections::VecDeque;
use std::path::Path;

/// Samples on their way with each part of an update.
const BESIDE: usize = 3;
/// Samples before an update, between its end and the restart, and after it.
const AROUND: usize = 120;
/// Samples that must have been compared for the run to count.
const SAMPLES: u32 = 1500;
/// Of all frames, each way.
const FAULTS: f64 = 0.02;
/// Bits of each part of an update that are flipped, one at a time, spread evenly.
const FLIPS: usize = 4;

/// Builds, streams, updates, compares and prints.
pub(crate) fn run() -> Result<()> {
    ensure_emulators(&[ARM])?;
    let elf = fielded::build("field", &[])?;
    let folder = tempfile::tempdir()?;
    let image = folder.path().join("image");
    fielded::erase(&image)?;
    let [w8, w4] = <[Vec<u8>; 2]>::try_from(WATCH.variants(&[Weights::W8, Weights::W4], 1)?)
        .map_err(|_| anyhow::anyhow!("two models"))?;
    let own = WATCH.blob()?;
    let key = fielded::key()?;
    let [first, second] = [fielded::update(&w4, 1, &key)?, fielded::update(&w8, 2, &key)?];
    let data = data::load(Path::new("tests/models/watch/later.npz"))?;
    let samples: Vec<Sample> = data.sequences.iter().flat_map(data::Sequence::steps).map(counts).collect();
    let mut run = Run { samples: Box::new(samples.into_iter().cycle()), rows: Vec::new() };

    let start = |image, seed| Fielded::connect_faulty(fielded::power_up(&elf, image, None)?, FAULTS, seed);
    let mut board = start(Some(&image), 1)?;
    let mut updates = forged(&w4, &first)?;
    updates.push(Case { name: "to 4-bit weights", update: first.clone(), expected: Answer::Done(1) });
    run.phase(&mut board, "the program's own", &own, &updates)?;
    board.device().restart()?;
    let again =
        Case { name: "the same again", update: first.clone(), expected: Answer::Refused(UpdateError::Downgrade) };
    let to_w8 = Case { name: "to 8-bit weights", update: second, expected: Answer::Done(2) };
    run.phase(&mut board, "update 1", &w4, &[again, to_w8])?;
    board.device().restart()?;
    let downgrade =
        Case { name: "an older one", update: first.clone(), expected: Answer::Refused(UpdateError::Downgrade) };
    run.phase(&mut board, "update 2", &w8, &[downgrade])?;
    let Stack { used, size } = board.device().stack()?;
    let damaged = damaged(&mut board)?;
    drop(board);
    let mut board = start(Some(&image), 2)?;
    run.phase(&mut board, "update 2, after a power cut", &w8, &[])?;
    drop(board);
    let mut board = start(None, 3)?;
    let nowhere = Case { name: "to 4-bit weights", update: first, expected: Answer::Refused(UpdateError::Flash) };
    run.phase(&mut board, "without an EEPROM, the program's own", &own, &[nowhere])?;
    let total: u32 = run.rows.iter().map(|row| row.samples).sum();
    println!("{}", run.table());
    println!("{damaged}; stack {used} of {size} bytes");
    println!(
        "the model in use changed twice; every acknowledged sample was stepped once, by the model that it had then"
    );
    ensure!(total >= SAMPLES, "only {total} samples were compared");
    Ok(())
}

/// The samples that are left, and what was found.
struct Run {
    samples: Box<dyn Iterator<Item = Sample>>,
    rows: Vec<Row>,
}

/// What went on between samples with a model, how often, and samples that the board acknowledged and the host came to the same on.
struct Row {
    model: String,
    meanwhile: String,
    times: u32,
    samples: u32,
}

impl Run {
    /// From a start of the board to the next: samples before, during and after some updates, all through this model.
    fn phase(&mut self, board: &mut Fielded, name: &str, blob: &[u8], updates: &[Case]) -> Result<()> {
        ensure!(board.model() == fielded::id(blob)?, "the board does not have {name}");
        let Self { samples, rows } = self;
        let mut all = 0;
        let mut row = |meanwhile: String, stream: &mut Stream| {
            let samples = std::mem::take(&mut stream.acknowledged);
            all += samples;
            match rows.last_mut() {
                Some(last) if last.model == name && last.meanwhile == meanwhile => {
                    last.times += 1;
                    last.samples += samples;
                }
                _ => rows.push(Row { model: name.to_owned(), meanwhile, times: 1, samples }),
            }
        };
        fielded::on_host(blob, |session| {
            let mut stream = Stream { session, samples: samples.as_mut(), sent: VecDeque::new(), acknowledged: 0 };
            stream.run(board, AROUND)?;
            row("no update".to_owned(), &mut stream);
            for Case { name, update, expected } in updates {
                let answer = board.update(update, &mut stream).with_context(|| (*name).to_owned())?;
                ensure!(answer == *expected, "{name}: {answer:?}, and it should be {expected:?}");
                let meanwhile = match answer {
                    Answer::Done(version) => format!("update {version}, {name}"),
                    Answer::Refused(why) => format!("{name}: refused, {why:?}"),
                };
                row(meanwhile, &mut stream);
            }
            stream.run(board, AROUND)?;
            row("no update".to_owned(), &mut stream);
            Ok(())
        })?;
        let counted = board.device().counts()?;
        ensure!(counted.accepted == all, "{all} samples were acknowledged, and the board counts {counted:?}");
        Ok(())
    }

    fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(UTF8_BORDERS_ONLY);
        table.set_header(["model", "meanwhile", "times", "samples acknowledged, and as on the host"]);
        for Row { model, meanwhile, times, samples } in &self.rows {
            table.add_row([model, meanwhile, &times.to_string(), &samples.to_string()]);
        }
        table.column_iter_mut().skip(2).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
        table
    }
}

/// What the line did until now; whether that was enough to count.
fn damaged(board: &mut Fielded) -> Result<String> {
    let again = board.device().traffic().again;
    let line = board.device().pipeline().port();
    let [to, from] = [line.to_board(), line.from_board()];
    ensure!(to.all() > 0 && from.all() > 0 && again > 0, "the line damaged nothing");
    let way = |faults: Faults| format!("{} of {}", faults.all(), faults.frames);
    Ok(format!("frames damaged: {} to the board, {} from it; {again} sent again", way(to), way(from)))
}

/// An update, and what should become of it.
struct Case {
    name: &'static str,
    update: Vec<u8>,
    expected: Answer,
}

/// Updates that must be refused: unsigned, signed by another, and altered.
fn forged(blob: &[u8], good: &[u8]) -> Result<Vec<Case>> {
    let unsigned = Manifest::of(blob, 1).context("a blob that is too long")?;
    let unsigned = [&unsigned.bytes()[..], blob].concat();
    let other = SecretKey::from_seed([7; 32]).context("no key")?;
    let other = fielded::update(blob, 1, &other)?;
    let case = |name, update, why| Case { name, update, expected: Answer::Refused(why) };
    let mut cases = vec![
        case("without a signature", unsigned, UpdateError::Unsigned),
        case("signed with another key", other, UpdateError::Signature),
    ];
    let (signed, manifest) = (cellstate_store::manifest::SIGNED_BYTES, cellstate_store::manifest::BYTES);
    for (name, bytes, why) in [
        ("a bit of its manifest flipped", 0..signed, UpdateError::Manifest),
        ("a bit of its signature flipped", signed..manifest, UpdateError::Signature),
        ("a bit of its blob flipped", manifest..good.len(), UpdateError::Digest),
    ] {
        for flip in 0..FLIPS {
            let mut altered = good.to_vec();
            let at = bytes.start + (2 * flip + 1) * bytes.len() / (2 * FLIPS);
            *altered.get_mut(at).context("no such byte")? ^= 1 << (flip % 8);
            cases.push(case(name, altered, why));
        }
    }
    Ok(cases)
}

/// Samples to the board and through a session of the host.
struct Stream<'s, 'm> {
    session: &'s mut Session<'m>,
    samples: &'s mut (dyn Iterator<Item = Sample> + 'static),
    /// What is on its way.
    sent: VecDeque<Sample>,
    /// Answers that equal the host's; any other is an error.
    acknowledged: u32,
}

impl Stream<'_, '_> {
    /// So many samples.
    fn run(&mut self, board: &mut Fielded, count: usize) -> Result<()> {
        for _ in 0..count.div_ceil(BESIDE) {
            let flight = self.commands();
            board.commands(&flight)?.iter().try_for_each(|answer| self.answered(answer))?;
        }
        Ok(())
    }
}

impl Beside for Stream<'_, '_> {
    fn commands(&mut self) -> Vec<Request> {
        self.sent = self.samples.take(BESIDE).collect();
        self.sent.iter().cloned().map(Request::Sample).collect()
    }

    fn answered(&mut self, response: &Response) -> Result<()> {
        let sample = self.sent.pop_front().context("an answer to nothing")?;
        self.session.step_i16(&sample)?;
        match response {
            Response::Prediction(prediction) if same(prediction, self.session) => self.acknowledged += 1,
            other => bail!("the board and the host differ: {other:?}"),
        }
        Ok(())
    }
}
