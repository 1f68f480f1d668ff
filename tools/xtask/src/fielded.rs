//! An emulated board in the field: an EEPROM whose bytes outlive it in a file, updates of its model over its serial port, and power
//! that can be cut.

use crate::demo::aligned;
use crate::emulator::Board;
use crate::firmware::{self, BOARD};
use anyhow::{Context, Result, bail, ensure};
use cellstate::{Model, Session, State};
use cellstate_app::protocol::{PIECE, Prediction, Reason, Request, Response, Sample};
use cellstate_convert::data::Sequence;
use cellstate_link::faulty::Faulty;
use cellstate_link::{Device, LinkError, Settings};
use cellstate_store::{Manifest, SecretKey, UpdateError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Bytes of the EEPROM.
const EEPROM: usize = 1 << 16;
/// Bytes of state that are enough for the models here.
pub(crate) const STATE: usize = 1024;
/// Where the firmware looks for a plan: `cellstate_qemu::mps2::loaded`.
const LOADED: u32 = 0x2100_0000;

/// What is left of the write in which the power is cut, as `cellstate_qemu::cut::Left` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Whole,
    Half,
    Erased,
    Noise,
}

impl Left {
    pub(crate) const ALL: [Left; 4] = [Left::Whole, Left::Half, Left::Erased, Left::Noise];
}

/// After so many writes the power is cut, in the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) after: u32,
    pub(crate) left: Left,
}

/// The key that the firmware is built for. Everybody knows it.
pub(crate) fn key() -> Result<SecretKey> {
    SecretKey::from_seed(*b"a key for emulated boards alone!").context("no key")
}

/// Builds one of the emulated board's programs, with that key and these arguments to cargo.
pub(crate) fn build(program: &str, arguments: &[&str]) -> Result<PathBuf> {
    firmware::with_key(BOARD, &format!("{BOARD}-{program}"), arguments, &key()?.public().to_string())
}

/// An update: a signed manifest, and the blob.
pub(crate) fn update(blob: &[u8], version: u32, key: &SecretKey) -> Result<Vec<u8>> {
    let manifest = Manifest::of(blob, version).context("a blob that is too long")?.sign(key);
    Ok([&manifest.bytes()[..], blob].concat())
}

/// The commands of an update.
pub(crate) fn parts(update: &[u8]) -> Result<Vec<Request>> {
    let mut commands = vec![Request::UpdateBegin { bytes: u32::try_from(update.len())? }];
    for (k, piece) in update.chunks(PIECE).enumerate() {
        let bytes = heapless::Vec::from_slice(piece).map_err(|_| anyhow::anyhow!("a piece that is too long"))?;
        commands.push(Request::UpdateWrite { offset: u32::try_from(k * PIECE)?, bytes });
    }
    commands.push(Request::UpdateFinish);
    Ok(commands)
}

/// What an update came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// Its version.
    Done(u32),
    Refused(UpdateError),
}

/// What goes over the link while an update does.
pub(crate) trait Beside {
    /// Commands that are sent before the next part of the update.
    fn commands(&mut self) -> Vec<Request>;
    /// The answer to each.
    fn answered(&mut self, response: &Response) -> Result<()>;
}

/// Nothing.
impl Beside for () {
    fn commands(&mut self) -> Vec<Request> {
        Vec::new()
    }

    fn answered(&mut self, response: &Response) -> Result<()> {
        bail!("nothing was asked, and the board answers {response:?}");
    }
}

/// Erased EEPROM.
pub(crate) fn erase(image: &Path) -> Result<()> {
    std::fs::write(image, vec![0xff; EEPROM]).with_context(|| image.display().to_string())
}

/// Powers a board up. An EEPROM is in this file; with a cut its power goes off again.
pub(crate) fn power_up(elf: &Path, image: Option<&Path>, cut: Option<Cut>) -> Result<Board> {
    let mut arguments = Vec::new();
    if let Some(image) = image {
        arguments.extend([
            "-drive".to_owned(),
            format!("if=none,id=eeprom,format=raw,cache=unsafe,file={}", image.display()),
        ]);
        let chip = format!("at24c-eeprom,bus=i2c,address=0x50,rom-size={EEPROM},drive=eeprom");
        arguments.extend(["-device".to_owned(), chip]);
    }
    if let Some(Cut { after, left }) = cut {
        // A word that says how many bytes there are, and the plan.
        let plan = u64::from(after | (left as u32) << 24) << 32 | 8;
        arguments.extend(["-device".to_owned(), format!("loader,addr={LOADED:#x},data={plan:#x},data-len=8")]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Board::uncounted(&firmware::core(BOARD)?, elf, &arguments)
}

/// A board that said hello, behind a line that may damage frames.
pub(crate) struct Fielded(Device<Faulty<Board>>);

impl Fielded {
    /// Starts a board with this EEPROM.
    pub(crate) fn start(elf: &Path, image: &Path) -> Result<Self> {
        Self::connect(power_up(elf, Some(image), None)?)
    }

    /// Says hello to one that was powered up, over a line without faults.
    pub(crate) fn connect(board: Board) -> Result<Self> {
        // What is not answered in all that time never is.
        let settings = Settings { patience: Duration::from_secs(30), attempts: 1, window: 4 };
        Ok(Self(Device::connect(Faulty::new(board, 0.0, 0), settings)?))
    }

    /// The same over a line that damages so many of all frames.
    pub(crate) fn connect_faulty(board: Board, rate: f64, seed: u64) -> Result<Self> {
        let settings = Settings { patience: Duration::from_millis(250), attempts: 120, window: 4 };
        Ok(Self(Device::connect(Faulty::new(board, rate, seed), settings)?))
    }

    /// All that it can be asked.
    pub(crate) fn device(&mut self) -> &mut Device<Faulty<Board>> {
        &mut self.0
    }

    /// Whether the firmware ended the emulator by itself and said that all was well.
    pub(crate) fn ended(&mut self) -> Result<bool> {
        self.0.pipeline().port().port().ended()
    }

    /// The number of the model that it has.
    pub(crate) fn model(&self) -> u32 {
        self.0.board().model
    }

    /// Commands that are on their way at once, and the answer to each.
    pub(crate) fn commands(&mut self, requests: &[Request]) -> Result<Vec<Response>> {
        let pipeline = self.0.pipeline();
        requests.iter().try_for_each(|request| pipeline.send(request))?;
        let answers: Result<Vec<Response>, LinkError> = requests.iter().map(|_| pipeline.take()).collect();
        Ok(answers?)
    }

    /// All of an update, with other commands before each part of it.
    pub(crate) fn update(&mut self, update: &[u8], beside: &mut impl Beside) -> Result<Answer> {
        let mut version = None;
        for part in parts(update)? {
            let mut flight = beside.commands();
            flight.push(part);
            let mut answers = self.commands(&flight)?;
            let answer = answers.pop().context("no answer")?;
            answers.iter().try_for_each(|answer| beside.answered(answer))?;
            match answer {
                Response::Received(_) => {}
                Response::Updated(updated) => version = Some(updated),
                Response::Refused(Reason::Update(why)) => return Ok(Answer::Refused(why)),
                other => bail!("the board answers {other:?}"),
            }
        }
        version.map(Answer::Done).context("the board gives no version")
    }

    /// The same, which must be taken, and put to use.
    pub(crate) fn updated(&mut self, update: &[u8], version: u32) -> Result<()> {
        match self.update(update, &mut ())? {
            Answer::Done(updated) => ensure!(updated == version, "version {updated} was taken for {version}"),
            Answer::Refused(why) => bail!("the update was refused: {why:?}"),
        }
        Ok(self.0.restart()?)
    }

    /// Sends a command, and kills the emulator while it is at work.
    pub(crate) fn killed_in(mut self, request: &Request) -> Result<()> {
        self.0.pipeline().send(request)?;
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }

    /// Whether the board's steps from a reset on are those of a session of this blob, output for output and state for state.
    pub(crate) fn equals(&mut self, blob: &[u8], samples: &Sequence, steps: usize) -> Result<()> {
        ensure!(self.model() == id(blob)?, "the board has another model");
        self.0.reset()?;
        on_host(blob, |session| {
            for (t, counts) in samples.steps().map(counts).take(steps).enumerate() {
                session.step_i16(&counts)?;
                ensure!(same(&self.0.sample(&counts)?, session), "the board and the host differ at step {t}");
            }
            Ok(())
        })
    }
}

/// A sample in raw counts.
pub(crate) fn counts(sample: &[f64]) -> Sample {
    sample.iter().map(|v| v.round() as i16).collect()
}

/// A session of a blob.
pub(crate) fn on_host<T>(blob: &[u8], run: impl FnOnce(&mut Session) -> Result<T>) -> Result<T> {
    let words = aligned(blob);
    let model = Model::parse(bytemuck::cast_slice(&words).get(..blob.len()).context("a blob of whole words")?)?;
    let mut state = State::<STATE>::new();
    run(&mut Session::new(&model, &mut state)?)
}

/// A blob's number.
pub(crate) fn id(blob: &[u8]) -> Result<u32> {
    on_host(blob, |session| Ok(session.model().id()))
}

/// Whether the board predicted what the session came to.
pub(crate) fn same(prediction: &Prediction, session: &Session) -> bool {
    let heads = 0..session.model().header().heads.len();
    let outputs = heads.flat_map(|head| session.head(head).iter().collect::<Vec<_>>());
    outputs.eq(prediction.outputs.iter().copied())
        && session.output().argmax() == usize::from(prediction.argmax)
        && session.digest() == prediction.digest
}
