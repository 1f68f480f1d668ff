//! `cargo xtask cuts`: the power of an emulated board is cut at every write to its EEPROM in an update of its model, erases included;
//! what is left of that write is all of it, half of it, erased bytes or noise. Whichever it was, the board starts again with a valid
//! model, the old one or the new one, and takes the update then.

use crate::chip;
use crate::emulator::{ARM, ensure as ensure_emulators};
use crate::fielded::{self, Answer, Cut, Fielded, Left};
use crate::variants::MOTES;
use anyhow::{Context, Result, bail, ensure};
use cellstate::model::header::Weights;
use cellstate_convert::data::{self, Sequence};
use cellstate_store::UpdateError;
use comfy_table::{Table, presets::UTF8_BORDERS_ONLY};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;

/// Steps after each start that are compared with the host's.
const STEPS: usize = 8;
/// Updates before the one that is cut: as many as fill a page of the store's journal, so that the next erases the other page.
const BEFORE: u32 = 32;
/// Bytes of a slot, as the firmware has them.
const SLOT: u32 = 3 * 1024;
/// Writes that an update must have had for the run to count.
const WRITES: u32 = 50;
/// After every so many parts of an update the emulator's process is killed, too, while it works on the next.
const KILLED: usize = 4;

/// Boards at once for each core of the host.
const BOARDS: usize = 4;

/// With everything that may be left of a write.
pub(crate) fn run() -> Result<()> {
    all(|_| Left::ALL.to_vec())
}

/// In CI: with one of them at each write, and the next one at the next.
pub(crate) fn some() -> Result<()> {
    all(|after| vec![Left::ALL[after as usize % Left::ALL.len()]])
}

/// An update that is cut, and what it begins from.
struct Trial {
    elf: PathBuf,
    /// The EEPROM before it.
    image: PathBuf,
    /// The blob that is in use then, and the one that is to be.
    old: Vec<u8>,
    new: Vec<u8>,
    version: u32,
    update: Vec<u8>,
    samples: Sequence,
}

/// What a board started with after a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Old,
    New,
}

/// Cuts once at each write with each of what `lefts` gives for it.
fn all(lefts: impl Fn(u32) -> Vec<Left> + Sync) -> Result<()> {
    ensure_emulators(&[ARM])?;
    let folder = tempfile::tempdir()?;
    let trial = Trial::prepare(folder.path())?;
    let (next, over) = (AtomicU32::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::new());
    let bar = ProgressBar::new_spinner();
    let worker = |image: PathBuf| -> Result<()> {
        while !over.load(Relaxed) {
            let after = next.fetch_add(1, Relaxed);
            for left in lefts(after) {
                let cut = Cut { after, left };
                let found = trial.cut(&image, cut).with_context(|| format!("{cut:?}"));
                let found = found.inspect_err(|_| over.store(true, Relaxed))?;
                if found.is_none() {
                    over.store(true, Relaxed);
                    break;
                }
                bar.inc(1);
                results.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(found.map(|f| (cut, f)));
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        // The boards sleep most of the time.
        let threads = BOARDS * thread::available_parallelism().map_or(1, usize::from);
        let images = (0..threads).map(|k| folder.path().join(format!("cut{k}")));
        let workers: Vec<_> = images.map(|image| scope.spawn(|| worker(image))).collect();
        let ended = workers.into_iter().map(|w| w.join().unwrap_or_else(|_| bail!("a thread panicked")));
        ended.collect::<Result<Vec<()>>>()
    })?;
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // The last write is what makes the update the active one: everything that may be left of it.
    let last = results.iter().map(|(cut, _)| cut.after).max().context("the update wrote nothing")?;
    for left in Left::ALL.into_iter().filter(|left| !lefts(last).contains(left)) {
        let cut = Cut { after: last, left };
        let found = trial.cut(&folder.path().join("last"), cut)?.context("the last write was not cut")?;
        results.push((cut, found));
    }
    bar.finish_and_clear();
    report(&results, |after| if after == last { Left::ALL.to_vec() } else { lefts(after) })?;
    trial.killed(&folder.path().join("killed"))
}

/// Prints what was found; whether all writes were cut.
fn report(results: &[(Cut, Found)], lefts: impl Fn(u32) -> Vec<Left>) -> Result<()> {
    let writes = results.iter().map(|(cut, _)| cut.after + 1).max().unwrap_or(0);
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["left of the write", "power cuts", "old model", "new model", "neither"]);
    for left in Left::ALL {
        let of = |found: &[Found]| results.iter().filter(|(c, f)| c.left == left && found.contains(f)).count();
        let [both, old, new] = [&[Found::Old, Found::New][..], &[Found::Old], &[Found::New]].map(of);
        let name = format!("{left:?}").to_lowercase();
        table.add_row([name, both.to_string(), old.to_string(), new.to_string(), "0".to_owned()]);
    }
    println!("{table}");
    println!("{writes} writes of an update, each of them cut; {STEPS} steps after each start equal the host's");
    let wanted: usize = (0..writes).map(|after| lefts(after).len()).sum();
    ensure!(results.len() == wanted, "{} cuts, and there should be {wanted}", results.len());
    ensure!(writes >= WRITES, "only {writes} writes were cut");
    ensure!(results.iter().any(|(_, found)| *found == Found::New), "no cut left the new model");
    Ok(())
}

impl Trial {
    /// Builds, and updates the model so often that the journal is full.
    fn prepare(folder: &Path) -> Result<Self> {
        let elf = fielded::build("cuts", &[])?;
        let blobs = MOTES.variants(&[Weights::W8], 3)?;
        let [first, second, new] = <[Vec<u8>; 3]>::try_from(blobs).map_err(|_| anyhow::anyhow!("three models"))?;
        let data = data::load(Path::new("tests/models/motes/test.npz"))?;
        let samples = data.sequences.into_iter().next().context("no samples")?;
        let image = folder.join("image");
        fielded::erase(&image)?;
        let mut board = Fielded::start(&elf, &image)?;
        board.equals(&MOTES.blob()?, &samples, STEPS).context("before any update")?;
        let key = fielded::key()?;
        let blob = |version| if version % 2 == 1 { &first } else { &second };
        let update = |version| fielded::update(blob(version), version, &key);
        // Two on the board, and the others on the host, which takes less time.
        for version in 1..=2 {
            board.updated(&update(version)?, version)?;
            board.equals(blob(version), &samples, STEPS).with_context(|| format!("after update {version}"))?;
        }
        drop(board);
        chip::update(&image, SLOT, (3..=BEFORE).map(update).collect::<Result<Vec<_>>>()?)?;
        let version = BEFORE + 1;
        let update = fielded::update(&new, version, &key)?;
        Ok(Self { elf, image, old: second, new, version, update, samples })
    }

    /// Cuts the power in an update, and looks at what is there then; nothing if the update has no such write.
    fn cut(&self, image: &Path, cut: Cut) -> Result<Option<Found>> {
        std::fs::copy(&self.image, image)?;
        if !self.is_cut(image, cut)? {
            return Ok(None);
        }
        if cut.left == Left::Noise {
            // It may happen again, in what is done about it.
            let again = Cut { after: cut.after / 2, left: Left::Half };
            let mut board = Fielded::start(&self.elf, image)?;
            let found = self.found(&mut board)?;
            drop(board);
            if found == Found::Old {
                ensure!(self.is_cut(image, again)?, "there was no second cut");
            }
        }
        self.recover(image).map(Some)
    }

    /// An update on a board whose power is to be cut; whether it was.
    fn is_cut(&self, image: &Path, cut: Cut) -> Result<bool> {
        let mut board = Fielded::connect(fielded::power_up(&self.elf, Some(image), Some(cut))?)?;
        let updated = board.updated(&self.update, self.version);
        let Err(error) = updated else {
            self.equals(&mut board, &self.new)?;
            return Ok(false);
        };
        ensure!(board.ended()?, "the board failed: {error:#}");
        Ok(true)
    }

    /// Starts again: which model is there, and does the board take the update, if it has not?
    fn recover(&self, image: &Path) -> Result<Found> {
        let mut board = Fielded::start(&self.elf, image)?;
        let found = self.found(&mut board)?;
        match found {
            Found::Old => {
                board.updated(&self.update, self.version)?;
                self.equals(&mut board, &self.new)?;
            }
            Found::New => match board.update(&self.update, &mut ())? {
                Answer::Refused(UpdateError::Downgrade) => self.equals(&mut board, &self.new)?,
                Answer::Refused(why) => bail!("the new model is there, and the update refused for {why:?}"),
                Answer::Done(_) => bail!("the new model is there, and was taken again"),
            },
        }
        Ok(found)
    }

    /// Which model a board has.
    fn found(&self, board: &mut Fielded) -> Result<Found> {
        let model = board.model();
        let (found, blob) = if model == fielded::id(&self.old)? {
            (Found::Old, &self.old)
        } else if model == fielded::id(&self.new)? {
            (Found::New, &self.new)
        } else {
            bail!("the board has the model {model:08x}, neither the old one nor the new one");
        };
        self.equals(board, blob)?;
        Ok(found)
    }

    fn equals(&self, board: &mut Fielded, blob: &[u8]) -> Result<()> {
        board.equals(blob, &self.samples, STEPS)
    }

    /// The emulator's process is killed while it works on a part.
    fn killed(&self, image: &Path) -> Result<()> {
        let parts = fielded::parts(&self.update)?;
        let mut kills = 0;
        for after in (0..parts.len()).step_by(KILLED) {
            std::fs::copy(&self.image, image)?;
            let mut board = Fielded::start(&self.elf, image)?;
            parts.iter().take(after).try_for_each(|part| board.commands(std::slice::from_ref(part)).map(drop))?;
            board.killed_in(parts.get(after).context("no such part")?)?;
            self.recover(image).with_context(|| format!("killed in part {after}"))?;
            kills += 1;
        }
        println!("the emulator's process was killed in {kills} parts of it, too, and the update went on from there");
        ensure!(kills > 2, "only {kills} kills");
        Ok(())
    }
}
