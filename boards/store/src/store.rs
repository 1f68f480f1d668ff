//! Two slots, a journal, and the rules by which a model comes into use and goes out of it.

use crate::incoming::{Incoming, Terms};
use crate::journal::{Journal, Record};
use crate::layout::{Layout, LayoutError, Slot};
use crate::{Loader, Manifest, PublicKey, UpdateError, manifest};
use cellstate::{Model, Session, State};
use embedded_storage::nor_flash::NorFlash;

/// What a model must be like for the program to run it. That its state fits, the [`State`] that it is tested in says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    inputs: usize,
    outputs: Option<usize>,
    streams: usize,
}

impl Shape {
    /// Takes samples of so many features, of one stream, and has any number of outputs.
    pub const fn inputs(inputs: usize) -> Self {
        Self { inputs, outputs: None, streams: 1 }
    }

    /// Has so many values in its first output, too.
    #[must_use]
    pub const fn outputs(self, outputs: usize) -> Self {
        Self { outputs: Some(outputs), ..self }
    }

    /// Takes so many streams, whose features are [`inputs`](Self::inputs) together.
    #[must_use]
    pub const fn streams(self, streams: usize) -> Self {
        Self { streams, ..self }
    }

    fn fits(&self, model: &Model) -> bool {
        let outputs = self.outputs.unwrap_or(model.outputs());
        (model.inputs(), model.streams(), model.outputs()) == (self.inputs, self.streams, outputs)
    }
}

/// The model that was found at the start: where it is, and how it came to be that one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Boot {
    /// Its slot.
    pub slot: Slot,
    /// Its version.
    pub version: u32,
    /// Where its blob begins, in bytes from the flash's first.
    pub offset: u32,
    /// Bytes of its blob.
    pub length: usize,
    /// Of a model on trial: the starts that are left to [confirm](ModelStore::confirm) it in, this one included.
    pub trial: Option<u8>,
    /// Why it is not the one that was in use before.
    pub fallback: Option<Fallback>,
}

/// Why the model that was in use is no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// It is not what it was, or does not give the bits that it should.
    Refused(UpdateError),
    /// It was on trial and not confirmed in time.
    Unconfirmed,
}

/// No slot has a model that can be used. The program may have one of its own, and an update can come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoModel {
    /// Why not, of slot A and of slot B. One that was never written has no manifest.
    pub reasons: [UpdateError; 2],
}

/// A model in flash that can be replaced, and is there whenever the power was cut.
///
/// [`boot`](Self::boot) comes first. Then an update may come in through [`begin`](Self::begin), [`write`](Self::write) and
/// [`finish`](Self::finish), while a session runs the model; [`Updater`](crate::Updater) has them behind
/// [`Updates`](crate::Updates). The update is in use from the next `boot` on.
#[derive(Debug)]
pub struct ModelStore<F> {
    flash: F,
    layout: Layout,
    key: Option<PublicKey>,
    shape: Shape,
    /// Starts in which an update must be confirmed; 0 if it need not.
    trial: u8,
    journal: Option<Journal>,
    /// The slot of the model that runs, if one does, and its version.
    running: Option<(Slot, u32)>,
    /// Whether another slot was made the active one since.
    switched: bool,
    incoming: Option<Incoming>,
}

impl<F: NorFlash> ModelStore<F> {
    /// A store in flash. With a key it takes only what is signed with that; without, it takes anything that is whole.
    ///
    /// # Errors
    /// [`LayoutError`] if the flash is too small, or erases more at once than the layout is for.
    pub fn new(flash: F, layout: Layout, key: Option<PublicKey>, shape: Shape) -> Result<Self, LayoutError> {
        if layout.end() as usize > flash.capacity() {
            return Err(LayoutError::PastTheEnd);
        }
        let starts = [layout.page(false), layout.page(true), layout.slot(Slot::A), layout.slot(Slot::B), layout.end()];
        if starts.iter().any(|start| !start.is_multiple_of(F::ERASE_SIZE as u32)) {
            return Err(LayoutError::Misaligned);
        }
        Ok(Self { flash, layout, key, shape, trial: 0, journal: None, running: None, switched: false, incoming: None })
    }

    /// Puts every update on trial: it is rolled back if it is not [confirmed](Self::confirm) in so many starts (up to 254).
    #[must_use]
    pub fn on_trial(self, starts: u8) -> Self {
        Self { trial: starts.min(u8::MAX - 1), ..self }
    }

    /// The flash.
    pub fn flash(&self) -> &F {
        &self.flash
    }

    /// The layout.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The highest version that was ever in use; updates must be above it. 0 before [`boot`](Self::boot).
    pub fn floor(&self) -> u32 {
        // The one that runs counts even if it could not be recorded.
        let running = self.running.map_or(0, |(_, version)| version);
        self.record().map_or(0, |record| record.floor).max(running)
    }

    fn record(&self) -> Option<Record> {
        self.journal.as_ref().and_then(Journal::newest).copied()
    }

    /// Finds the model to run: the active one if it is still what was signed and passes its self-test, or else the other one, for
    /// good unless the flash could only not be read. An update that was coming in is forgotten.
    ///
    /// The loader has the blob then, and `state` is any.
    ///
    /// # Errors
    /// [`NoModel`] says why neither can be used.
    pub fn boot<L: Loader<F>, const N: usize>(
        &mut self,
        loader: &mut L,
        state: &mut State<N>,
    ) -> Result<Boot, NoModel> {
        (self.incoming, self.running, self.switched) = (None, None, false);
        let journal = Journal::read(&mut self.flash, self.layout);
        let newest = journal.newest().copied();
        self.journal = Some(journal);
        // Without a record, as in flash that was written at the factory, the higher version is the first to be looked at.
        let active = newest.map_or_else(|| self.higher(), |record| record.active);
        let expired = newest.is_some_and(|record| record.trial == 1);
        let first = if expired { active.other() } else { active };
        let mut refused = None;
        for slot in [first, first.other()] {
            match self.check(slot, loader, state) {
                Ok(manifest) => {
                    let reason = if expired { Some(Fallback::Unconfirmed) } else { refused.map(Fallback::Refused) };
                    return Ok(self.start(slot, &manifest, reason.filter(|_| slot != active)));
                }
                Err(error) => match refused {
                    None => refused = Some(error),
                    Some(before) if slot == Slot::B => return Err(NoModel { reasons: [before, error] }),
                    Some(before) => return Err(NoModel { reasons: [error, before] }),
                },
            }
        }
        Err(NoModel { reasons: [UpdateError::Flash; 2] })
    }

    /// Records what is started. If that cannot be written the model runs all the same.
    fn start(&mut self, slot: Slot, manifest: &Manifest, fallback: Option<Fallback>) -> Boot {
        self.running = Some((slot, manifest.version));
        let (newest, floor) = (self.record(), self.floor());
        let unread = self.journal.as_ref().is_some_and(Journal::is_unreadable);
        let here = newest.filter(|record| record.active == slot);
        let trial = match here {
            // In flash that could be read again tomorrow nothing changes for good.
            None if unread || fallback == Some(Fallback::Refused(UpdateError::Flash)) => 0,
            None => {
                let _ = self.append(Record { sequence: 0, floor, active: slot, trial: 0 });
                0
            }
            Some(Record { trial: 0, .. }) => 0,
            // Expired, with nothing to roll back to.
            Some(Record { trial: 1, .. }) => 1,
            Some(record) => {
                let _ = self.append(Record { trial: record.trial - 1, ..record });
                record.trial
            }
        };
        Boot {
            slot,
            version: manifest.version,
            offset: self.layout.slot(slot).saturating_add(manifest::BYTES as u32),
            length: manifest.length as usize,
            trial: trial.checked_sub(1),
            fallback,
        }
    }

    fn is_running(&self, slot: Slot) -> bool {
        self.running.is_some_and(|(running, _)| running == slot)
    }

    /// Whether the model that runs is not confirmed yet.
    fn is_on_trial(&self, record: &Record) -> bool {
        record.trial > 0 && self.is_running(record.active)
    }

    fn append(&mut self, record: Record) -> Result<(), UpdateError> {
        let journal = self.journal.as_mut().ok_or(UpdateError::NotBegun)?;
        journal.append(&mut self.flash, record).map_err(|_| UpdateError::Flash)
    }

    /// The slot whose manifest has the higher version.
    fn higher(&mut self) -> Slot {
        let [a, b] = Slot::BOTH.map(|slot| self.manifest(slot).map_or(0, |manifest| manifest.version));
        if b > a { Slot::B } else { Slot::A }
    }

    /// The manifest in a slot, if the program may take what it stands before.
    fn manifest(&mut self, slot: Slot) -> Result<Manifest, UpdateError> {
        let mut bytes = [0; manifest::BYTES];
        self.flash.read(self.layout.slot(slot), &mut bytes).map_err(|_| UpdateError::Flash)?;
        let manifest = Manifest::parse(&bytes)?;
        manifest.verify(self.key.as_ref())?;
        Ok(manifest)
    }

    /// Whether the model in a slot can be used: everything there is to check, on what is stored.
    fn check<L: Loader<F>, const N: usize>(
        &mut self,
        slot: Slot,
        loader: &mut L,
        state: &mut State<N>,
    ) -> Result<Manifest, UpdateError> {
        let manifest = self.manifest(slot)?;
        if manifest.length > self.layout.slot_bytes() - manifest::BYTES as u32 {
            return Err(UpdateError::Length);
        }
        let offset = self.layout.slot(slot).saturating_add(manifest::BYTES as u32);
        let blob = loader.load(&mut self.flash, offset, manifest.length as usize).ok_or(UpdateError::Flash)?;
        if manifest::digest(blob) != manifest.digest {
            return Err(UpdateError::Digest);
        }
        judge(blob, &self.shape, state)?;
        Ok(manifest)
    }

    /// Begins an update of so many bytes, manifest and blob, and forgets one that was coming in.
    ///
    /// # Errors
    /// [`UpdateError::NotBegun`] before [`boot`](Self::boot), [`UpdateError::Restart`] after [`finish`](Self::finish),
    /// [`UpdateError::Trial`] while the model that runs is on trial, [`UpdateError::Length`] if it does not fit a slot.
    pub fn begin(&mut self, bytes: u32) -> Result<(), UpdateError> {
        self.incoming = None;
        if self.journal.is_none() {
            return Err(UpdateError::NotBegun);
        }
        if self.switched {
            return Err(UpdateError::Restart);
        }
        if self.record().is_some_and(|record| self.is_on_trial(&record)) {
            return Err(UpdateError::Trial);
        }
        // Never the one that runs.
        let slot = self.running.map_or(Slot::A, |(slot, _)| slot.other());
        self.incoming = Some(Incoming::new(&self.layout, slot, bytes)?);
        Ok(())
    }

    /// Takes the bytes from `offset` on; those that are here already are passed over. Until the manifest was found good the slot
    /// stays as it is.
    ///
    /// # Errors
    /// [`UpdateError::Gap`] and [`UpdateError::Length`] leave the update as it was. What is wrong with the manifest
    /// ([`Manifest`](UpdateError::Manifest), [`Unsigned`](UpdateError::Unsigned), [`Signature`](UpdateError::Signature),
    /// [`Downgrade`](UpdateError::Downgrade), `Length`) and [`UpdateError::Flash`] end it: what follows is
    /// [`UpdateError::NotBegun`].
    pub fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        let floor = self.floor();
        let Self { flash, key, incoming, .. } = self;
        let update = incoming.as_mut().ok_or(UpdateError::NotBegun)?;
        let fresh = update.fresh(offset, bytes)?;
        let taken = update.take(flash, Terms { key: key.as_ref(), floor }, fresh);
        if taken.is_err() {
            *incoming = None;
        }
        taken
    }

    /// Bytes of the update that are here.
    pub fn received(&self) -> u32 {
        self.incoming.as_ref().map_or(0, Incoming::received)
    }

    /// Verifies what is stored of the update, tests it on this core, and makes it the active one from the next start on; gives its
    /// version.
    ///
    /// # Errors
    /// [`UpdateError::Length`] if bytes are missing, and the update can go on. Any other says what is wrong with it, and the
    /// update is over.
    pub fn finish<L: Loader<F>, const N: usize>(
        &mut self,
        loader: &mut L,
        state: &mut State<N>,
    ) -> Result<u32, UpdateError> {
        let update = self.incoming.as_mut().ok_or(UpdateError::NotBegun)?;
        let slot = update.slot();
        let ended = update.end(&mut self.flash);
        if ended != Err(UpdateError::Length) {
            self.incoming = None;
        }
        ended?;
        let manifest = self.check(slot, loader, state)?;
        // Again: of what is stored.
        if manifest.version <= self.floor() {
            return Err(UpdateError::Downgrade);
        }
        // The first model has nothing to be rolled back to.
        let trial = if self.trial > 0 && self.running.is_some() { self.trial + 1 } else { 0 };
        self.append(Record { sequence: 0, floor: manifest.version, active: slot, trial })?;
        self.switched = true;
        Ok(manifest.version)
    }

    /// Says that the model that runs does what it should: its trial is over. Whether it was on one.
    ///
    /// # Errors
    /// [`UpdateError::Flash`] if that could not be recorded; it may be tried again.
    pub fn confirm(&mut self) -> Result<bool, UpdateError> {
        let Some(record) = self.record().filter(|record| self.is_on_trial(record)) else { return Ok(false) };
        self.append(Record { trial: 0, ..record })?;
        Ok(true)
    }

    /// Makes the other slot's model the active one from the next start on, whose [`boot`](Self::boot) looks whether it can be used.
    /// After [`finish`](Self::finish) that takes the update back. Its version stays used.
    ///
    /// # Errors
    /// What is wrong with the other slot's manifest; [`UpdateError::NotBegun`] before [`boot`](Self::boot).
    pub fn roll_back(&mut self) -> Result<(), UpdateError> {
        let record = self.record().ok_or(UpdateError::NotBegun)?;
        let other = record.active.other();
        self.manifest(other)?;
        self.incoming = None;
        self.append(Record { active: other, trial: 0, ..record })?;
        self.switched = !self.is_running(other);
        Ok(())
    }
}

/// Whether a blob is a model that the program can run, and that gives its bits on this core. Out of line: what it needs of the stack
/// must not stay in the caller's frame.
#[inline(never)]
fn judge<const N: usize>(blob: &[u8], shape: &Shape, state: &mut State<N>) -> Result<(), UpdateError> {
    let model = Model::parse(blob).map_err(|_| UpdateError::Model)?;
    if !shape.fits(&model) {
        return Err(UpdateError::Shape);
    }
    let mut session = Session::new(&model, state).map_err(|_| UpdateError::Shape)?;
    session.self_test().map_err(|_| UpdateError::SelfTest)
}
