//! Which slot is in use: the newest of the records in two pages that take turns.
//!
//! A record says all that there is to say, so that one write changes it: it is there as a whole, by its checksum, or the one before
//! it is the newest. Records are appended; when a page is full the other one is erased and goes on, and what is in the full one stays
//! until then. No word is written twice between two erases.

use crate::layout::{LARGEST_WORD, Layout, Slot};
use cellstate::model::checksum;
use embedded_storage::nor_flash::NorFlash;

/// Bytes of a record.
const BYTES: usize = 16;
const MAGIC: [u8; 2] = *b"CJ";

/// What was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// One more than that of the record before it.
    pub sequence: u32,
    /// The highest version that was ever in use; an update must be above it.
    pub floor: u32,
    /// The slot whose model is in use.
    pub active: Slot,
    /// 0 of a model that is there to stay; of one on trial, one more than the starts that it has left to be confirmed in.
    pub trial: u8,
}

impl Record {
    /// As it is in flash.
    pub fn bytes(&self) -> [u8; BYTES] {
        let [m0, m1] = MAGIC;
        let active = match self.active {
            Slot::A => 0,
            Slot::B => 1,
        };
        let mut bytes = [0; BYTES];
        let fields = [m0, m1, active, self.trial].into_iter();
        let fields = fields.chain(self.sequence.to_le_bytes()).chain(self.floor.to_le_bytes());
        bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
        let crc = bytes.first_chunk::<12>().map_or(0, |checked| checksum([checked.as_slice()]));
        if let Some(last) = bytes.last_chunk_mut::<4>() {
            *last = crc.to_le_bytes();
        }
        bytes
    }

    /// Reads a record; none if it is torn, or none at all.
    pub fn parse(bytes: &[u8; BYTES]) -> Option<Self> {
        let [_, _, active, trial, s0, s1, s2, s3, f0, f1, f2, f3, ..] = *bytes;
        let active = if active == 0 { Slot::A } else { Slot::B };
        let sequence = u32::from_le_bytes([s0, s1, s2, s3]);
        let record = Self { sequence, floor: u32::from_le_bytes([f0, f1, f2, f3]), active, trial };
        (record.bytes() == *bytes).then_some(record)
    }
}

/// The flash could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwritten;

/// The newest record, and where the next one goes.
#[derive(Clone, Copy, Debug)]
pub struct Journal {
    layout: Layout,
    newest: Option<Record>,
    /// Whether the newest is in the second page.
    second: bool,
    /// Bytes of that page up to the last that is not erased.
    used: u32,
    /// Whether a part of the flash could not be read.
    unread: bool,
}

impl Journal {
    /// Looks for the newest record. What cannot be read is none.
    pub fn read<F: NorFlash>(flash: &mut F, layout: Layout) -> Self {
        let mut journal = Self { layout, newest: None, second: false, used: 0, unread: false };
        for second in [false, true] {
            let (mut newest, mut used) = (None::<Record>, 0);
            let size = cell::<F>() as u32;
            for start in (0..layout.page_bytes() / size).map(|k| k * size) {
                let mut bytes = [0; LARGEST_WORD];
                let Some(bytes) = bytes.get_mut(..cell::<F>()) else { continue };
                let read = flash.read(layout.page(second).saturating_add(start), bytes).is_ok();
                journal.unread |= !read;
                if read && bytes.iter().all(|&byte| byte == 0xff) {
                    continue;
                }
                used = start + size;
                let record = bytes.first_chunk().filter(|_| read).and_then(Record::parse);
                newest = record.filter(|r| newest.is_none_or(|n| r.sequence > n.sequence)).or(newest);
            }
            let newer = newest.is_some_and(|r| journal.newest.is_none_or(|n| r.sequence > n.sequence));
            if newer || !second {
                (journal.newest, journal.second, journal.used) = (newest, second, used);
            }
        }
        journal
    }

    /// The newest record; none in flash where nothing was ever stored.
    pub fn newest(&self) -> Option<&Record> {
        self.newest.as_ref()
    }

    /// Whether there is no record because the flash could not be read.
    pub fn is_unreadable(&self) -> bool {
        self.unread && self.newest.is_none()
    }

    /// Appends what a record says, but for its sequence, which is the next.
    ///
    /// # Errors
    /// [`Unwritten`]; the record before it stays.
    pub fn append<F: NorFlash>(&mut self, flash: &mut F, record: Record) -> Result<(), Unwritten> {
        // More than any flash can be written.
        let sequence = self.newest.map_or(0, |r| r.sequence).checked_add(1).ok_or(Unwritten)?;
        let record = Record { sequence, ..record };
        let size = cell::<F>();
        if self.used.saturating_add(size as u32) > self.layout.page_bytes() {
            let start = self.layout.page(!self.second);
            flash.erase(start, start.saturating_add(self.layout.page_bytes())).map_err(|_| Unwritten)?;
            (self.second, self.used) = (!self.second, 0);
        }
        let at = self.layout.page(self.second).saturating_add(self.used);
        // Whatever comes of it, these words are not written again.
        self.used += size as u32;
        let (mut bytes, mut found) = ([0xff; LARGEST_WORD], [0; LARGEST_WORD]);
        bytes.iter_mut().zip(record.bytes()).for_each(|(byte, field)| *byte = field);
        let bytes = bytes.get(..size).ok_or(Unwritten)?;
        let found = found.get_mut(..size).ok_or(Unwritten)?;
        flash.write(at, bytes).map_err(|_| Unwritten)?;
        flash.read(at, found).map_err(|_| Unwritten)?;
        if found != bytes {
            return Err(Unwritten);
        }
        self.newest = Some(record);
        Ok(())
    }
}

/// Bytes from one record to the next: words of the flash of their own.
const fn cell<F: NorFlash>() -> usize {
    const {
        let (write, read) = (F::WRITE_SIZE, F::READ_SIZE);
        assert!(
            write > 0 && LARGEST_WORD.is_multiple_of(write) && read > 0 && LARGEST_WORD.is_multiple_of(read),
            "a word of flash must be 1, 2, 4, 8, 16 or 32 bytes"
        );
        assert!(
            F::ERASE_SIZE.is_multiple_of(write) && F::ERASE_SIZE.is_multiple_of(read),
            "flash must erase whole words"
        );
        let word = if write > read { write } else { read };
        if word > BYTES { word } else { BYTES }
    }
}
