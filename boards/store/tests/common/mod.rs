//! Flash that loses its power, models and keys to fill it with.
#![allow(dead_code, missing_docs, reason = "each test program takes its part")]

use cellstate::model::{checksum, header::PREFIX_BYTES};
use cellstate::{Model, State};
use cellstate_store::*;
use embedded_storage::nor_flash::*;
use std::sync::OnceLock;

/// Bytes of state of the models here.
pub(crate) const STATE: usize = 2048;
/// Bytes of a slot: that of any flash here, in whole blocks.
pub(crate) const SLOT: u32 = 4096;

/// What a write or an erase that the power was cut in leaves behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Torn {
    /// What was there before.
    Nothing,
    /// The first half done.
    Half,
    /// All but one bit.
    OneBit,
    /// Anything.
    Noise(u32),
    /// All of it.
    All,
}

/// Every kind.
pub(crate) const TORN: [Torn; 5] = [Torn::Nothing, Torn::Half, Torn::OneBit, Torn::Noise(1), Torn::All];

/// Flash with words of `W` bytes and blocks of `E`, that panics when a word is written twice without an erase, and that loses its
/// power at the write of a word or the erase of a block.
#[derive(Clone)]
pub(crate) struct Nor<const W: usize, const E: usize> {
    words: Vec<u32>,
    written: Vec<bool>,
    /// Writes and erases so far.
    pub(crate) operations: u64,
    cut: Option<(u64, Torn)>,
    dead: bool,
    /// Bytes that cannot be read, from and to.
    pub(crate) unreadable: Option<(u32, u32)>,
}

impl<const W: usize, const E: usize> Nor<W, E> {
    pub(crate) fn new() -> Self {
        let capacity = layout::<Self>().end() as usize;
        let (words, written) = (vec![u32::MAX; capacity / 4], vec![false; capacity / W]);
        Self { words, written, operations: 0, cut: None, dead: false, unreadable: None }
    }

    /// Loses the power at so many writes and erases from now.
    pub(crate) fn cut_after(&mut self, operations: u64, torn: Torn) {
        self.cut = Some((self.operations + operations, torn));
    }

    /// Has power again.
    pub(crate) fn revive(&mut self) {
        (self.dead, self.cut) = (false, None);
    }

    /// Has bytes there that somebody wrote.
    pub(crate) fn fill(&mut self, offset: u32, bytes: &[u8]) {
        let start = offset as usize;
        self.bytes()[start..start + bytes.len()].copy_from_slice(bytes);
        self.written[start / W..(start + bytes.len()).div_ceil(W)].fill(true);
    }

    /// All bytes, for what happens to them beside writes.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.words)
    }

    /// Does an operation on `start..` that makes of the bytes what is in `new`, or leaves it torn.
    fn operate(&mut self, start: usize, new: &[u8], erase: bool) -> Result<(), NorFlashErrorKind> {
        if self.dead {
            return Err(NorFlashErrorKind::Other);
        }
        let torn = self.cut.filter(|cut| cut.0 == self.operations).map(|cut| cut.1);
        self.operations += 1;
        self.dead = torn.is_some();
        let old = self.bytes()[start..start + new.len()].to_vec();
        let changed = old.iter().zip(new).position(|(old, new)| old != new);
        let mut left = new.to_vec();
        match torn {
            None | Some(Torn::All) => {}
            Some(Torn::Nothing) => left.clone_from(&old),
            Some(Torn::Half) => left[new.len() / 2..].copy_from_slice(&old[new.len() / 2..]),
            Some(Torn::OneBit) => {
                if let Some(k) = changed {
                    let bits = old[k] ^ new[k];
                    left[k] ^= bits & bits.wrapping_neg();
                }
            }
            Some(Torn::Noise(seed)) => {
                let mut rng = Rng(u64::from(seed) << 32 | self.operations);
                left.fill_with(|| rng.below(256) as u8);
            }
        }
        self.bytes()[start..start + new.len()].copy_from_slice(&left);
        if left != old || torn.is_none() {
            // What an erase did in part must be erased again.
            let clean = erase && matches!(torn, None | Some(Torn::All));
            self.written[start / W..(start + new.len()) / W].fill(!clean);
        }
        if self.dead { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

impl<const W: usize, const E: usize> ErrorType for Nor<W, E> {
    type Error = NorFlashErrorKind;
}

impl<const W: usize, const E: usize> ReadNorFlash for Nor<W, E> {
    const READ_SIZE: usize = W;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        let end = offset + bytes.len() as u32;
        if self.dead || self.unreadable.is_some_and(|(from, to)| from < end && offset < to) {
            return Err(NorFlashErrorKind::Other);
        }
        let start = offset as usize;
        bytes.copy_from_slice(&self.bytes()[start..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.words.len() * 4
    }
}

impl<const W: usize, const E: usize> NorFlash for Nor<W, E> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = E;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        check_erase(self, from, to)?;
        (from..to).step_by(E).try_for_each(|block| self.operate(block as usize, &[0xff; E], true))
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        check_write(self, offset, bytes.len())?;
        for (k, word) in bytes.chunks(W).enumerate() {
            let start = offset as usize + k * W;
            assert!(self.dead || !self.written[start / W], "the word at {start} is written twice");
            self.operate(start, word, false)?;
        }
        Ok(())
    }
}

impl<const W: usize, const E: usize> Mapped for Nor<W, E> {
    fn view(&self, offset: u32, length: usize) -> Option<&[u8]> {
        if self.dead {
            return None;
        }
        bytemuck::cast_slice(&self.words).get(offset as usize..)?.get(..length)
    }
}

pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

pub(crate) fn layout<F: NorFlash>() -> Layout {
    Layout::of::<F>(0, SLOT.next_multiple_of(F::ERASE_SIZE as u32)).unwrap()
}

/// A committed blob.
pub(crate) fn blob(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/../../tests/models/{name}/{name}.cell", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// The model of most tests, with another name each: another digest, the same shape.
pub(crate) fn lane(name: u8) -> Vec<u8> {
    let mut blob = blob("lane");
    let at = blob.windows(4).position(|bytes| bytes == b"lane").unwrap();
    blob[at] = b'a' + name % 26;
    seal(&mut blob);
    blob
}

/// Gives a blob that was changed the right checksum.
pub(crate) fn seal(blob: &mut [u8]) {
    let (head, body) = blob.split_at(PREFIX_BYTES);
    let crc = checksum([&head[..PREFIX_BYTES - 4], body]);
    blob[PREFIX_BYTES - 4..PREFIX_BYTES].copy_from_slice(&crc.to_le_bytes());
}

pub(crate) fn key(seed: u8) -> SecretKey {
    SecretKey::from_seed([seed; 32]).unwrap()
}

/// An update signed with the key that stores here have.
pub(crate) fn signed(blob: &[u8], version: u32) -> Vec<u8> {
    [&Manifest::of(blob, version).unwrap().sign(&key(1)).bytes()[..], blob].concat()
}

pub(crate) fn unsigned(blob: &[u8], version: u32) -> Vec<u8> {
    [&Manifest::of(blob, version).unwrap().bytes()[..], blob].concat()
}

/// The update of a version: a model of its own, signed.
pub(crate) fn update(version: u32) -> &'static [u8] {
    static MADE: [OnceLock<Vec<u8>>; 64] = [const { OnceLock::new() }; 64];
    MADE[version as usize].get_or_init(|| signed(&lane(version as u8), version))
}

/// The features of the model of most tests.
pub(crate) fn shape() -> Shape {
    static INPUTS: OnceLock<usize> = OnceLock::new();
    Shape::inputs(*INPUTS.get_or_init(|| {
        let words: Vec<u32> = blob("lane").chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
        Model::parse(bytemuck::cast_slice(&words)).unwrap().inputs()
    }))
}

/// A store as a program has it, with the key.
pub(crate) fn store<F: NorFlash>(flash: F) -> ModelStore<F> {
    ModelStore::new(flash, layout::<F>(), Some(key(1).public()), shape()).unwrap()
}

/// Starts, as a program does.
pub(crate) fn boot<F: NorFlash + Mapped>(store: &mut ModelStore<F>) -> Result<Boot, NoModel> {
    store.boot(&mut InPlace, &mut State::<STATE>::new())
}

pub(crate) fn finish<F: NorFlash + Mapped>(store: &mut ModelStore<F>) -> Result<u32, UpdateError> {
    store.finish(&mut InPlace, &mut State::<STATE>::new())
}

/// Sends an update in pieces of so many bytes.
pub(crate) fn send<F: NorFlash + Mapped>(
    store: &mut ModelStore<F>,
    bytes: &[u8],
    piece: usize,
) -> Result<u32, UpdateError> {
    store.begin(bytes.len() as u32)?;
    for (k, piece_bytes) in bytes.chunks(piece).enumerate() {
        store.write((k * piece) as u32, piece_bytes)?;
    }
    finish(store)
}

/// Flash that has updates of these versions, one after the other, each of them started.
pub(crate) fn with<const W: usize, const E: usize>(versions: &[u32]) -> Nor<W, E> {
    let mut flash = Nor::new();
    for &version in versions {
        let mut store = store(&mut flash);
        let _ = boot(&mut store);
        assert_eq!(send(&mut store, update(version), 100), Ok(version));
        assert_eq!(boot(&mut store).unwrap().version, version);
    }
    flash
}

/// Whether the model that was started is the one that belongs to its version.
pub(crate) fn is_whole<F: Mapped>(flash: &F, boot: &Boot) -> bool {
    flash.view(boot.offset, boot.length) == update(boot.version).get(manifest::BYTES..)
}
