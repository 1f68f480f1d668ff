//! An update in pieces of every size, again, with gaps, and refused for every reason there is; the model that runs stays meanwhile.

use cellstate::model::header::{Header, PREFIX_BYTES};
use cellstate::{Model, State};
use cellstate_store::layout::Slot;
use cellstate_store::*;
use common::*;
use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

mod common;

type Small = Nor<4, 256>;

/// The old model starts, as it was.
fn old_starts(flash: &mut Small) {
    let boot = boot(&mut store(&mut *flash)).unwrap();
    assert_eq!((boot.version, boot.fallback), (1, None));
    assert!(is_whole(flash, &boot));
}

fn pieces<const W: usize, const E: usize>(sizes: impl Iterator<Item = usize>) {
    let old = with::<W, E>(&[1]);
    for size in sizes {
        let mut flash = old.clone();
        let mut store = store(&mut flash);
        boot(&mut store).unwrap();
        assert_eq!(send(&mut store, update(2), size), Ok(2), "pieces of {size}");
        assert_eq!(boot(&mut store).unwrap().version, 2);
        let found = boot(&mut store).unwrap();
        assert!(is_whole(&flash, &found), "pieces of {size}");
    }
}

#[test]
fn pieces_of_every_size() {
    pieces::<1, 256>([1, 2, 159, 160, 161, 256, 5000].into_iter());
    pieces::<4, 256>((1..=170).chain([255, 256, 257, 1024, 2659, 2660, 5000]));
    pieces::<8, 64>(1..=40);
    pieces::<16, 4096>((1..=70).step_by(3));
    pieces::<32, 128>((1..=70).step_by(3));
}

#[test]
fn pieces_again_overlapping_and_behind_gaps() {
    let mut flash = with::<4, 256>(&[1]);
    let update = update(2);
    let mut store = store(&mut flash);
    boot(&mut store).unwrap();
    store.begin(update.len() as u32).unwrap();
    let mut rng = Rng(7);
    let (mut again, mut gaps) = (0, 0);
    while store.received() < update.len() as u32 {
        let here = store.received();
        let offset = u64::from(here).saturating_sub(60) + rng.below(90);
        let end = (offset + rng.below(80)).min(update.len() as u64);
        if offset > u64::from(here) {
            let offset = offset.min(update.len() as u64) as usize;
            let expected = if offset as u32 == here { Ok(()) } else { Err(UpdateError::Gap) };
            assert_eq!(store.write(offset as u32, &update[offset..(end as usize).max(offset)]), expected);
            assert_eq!(store.received(), here, "nothing is taken");
            gaps += 1;
        } else {
            let end = end.max(offset);
            store.write(offset as u32, &update[offset as usize..end as usize]).unwrap();
            assert_eq!(u64::from(store.received()), end.max(here.into()));
            again += 1;
        }
    }
    assert!(again > 50 && gaps > 20, "{again} {gaps}");
    assert_eq!(finish(&mut store), Ok(2));
}

#[test]
fn what_is_missing_can_still_come() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash);
    boot(&mut store).unwrap();
    store.begin(update(2).len() as u32).unwrap();
    store.write(0, &update(2)[..2000]).unwrap();
    assert_eq!(finish(&mut store), Err(UpdateError::Length));
    assert_eq!(store.received(), 2000);
    store.write(2000, &update(2)[2000..]).unwrap();
    assert_eq!(finish(&mut store), Ok(2));
}

#[test]
fn another_begin_forgets_the_first() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash);
    boot(&mut store).unwrap();
    store.begin(update(2).len() as u32).unwrap();
    store.write(0, &update(2)[..2000]).unwrap();
    assert_eq!(send(&mut store, update(3), 77), Ok(3));
    assert_eq!(store.received(), 0);
    assert_eq!(boot(&mut store).unwrap().version, 3);
}

/// What is wrong with the first bytes is said when they are here, and nothing was erased for them.
#[test]
fn manifests_that_are_refused_before_anything_is_erased() {
    let flash = with::<4, 256>(&[1, 2]);
    let foreign = Manifest::of(&lane(3), 3).unwrap().sign(&key(2)).bytes();
    let mut longer = update(3).to_vec();
    longer.push(0);
    let mut other_format = update(3).to_vec();
    other_format[4] = 2;
    let cases = [
        (lane(3), UpdateError::Manifest),
        (vec![0; 3000], UpdateError::Manifest),
        (other_format, UpdateError::Manifest),
        (unsigned(&lane(3), 3), UpdateError::Unsigned),
        ([&foreign[..], &lane(3)].concat(), UpdateError::Signature),
        (update(2).to_vec(), UpdateError::Downgrade),
        (update(1).to_vec(), UpdateError::Downgrade),
        (signed(&lane(3), 0), UpdateError::Downgrade),
        (longer, UpdateError::Length),
        (update(3)[..2000].to_vec(), UpdateError::Length),
    ];
    for (update, error) in cases {
        let mut flash = flash.clone();
        let before = flash.operations;
        let mut store = store(&mut flash);
        boot(&mut store).unwrap();
        store.begin(update.len() as u32).unwrap();
        store.write(0, &update[..159]).unwrap();
        assert_eq!(store.write(159, &update[159..]), Err(error));
        assert_eq!(store.received(), 0);
        assert_eq!(store.write(0, &update), Err(UpdateError::NotBegun), "{error:?} ends it");
        assert_eq!(finish(&mut store), Err(UpdateError::NotBegun));
        let other = store.roll_back();
        assert_eq!(other, Ok(()), "the other slot still has its model");
        assert_eq!(boot(&mut store).unwrap().version, 1);
        assert_eq!(flash.operations, before + 4, "the record of the roll-back alone was written");
    }
}

/// What is wrong with the blob is said at the end, and the old model is in use.
#[test]
fn blobs_that_are_refused() {
    let old = with::<4, 256>(&[1]);
    let mut untested = lane(2);
    let last = untested.len() - 1;
    untested[last] ^= 1;
    seal(&mut untested);
    let mut damaged = lane(2);
    damaged[1000] ^= 1;
    let wide = blob("motes");
    let mut altered = update(2).to_vec();
    altered[2000] ^= 1;
    let cases = [
        (signed(&damaged, 2), UpdateError::Model),
        (signed(&[1; 500], 2), UpdateError::Model),
        (signed(&untested, 2), UpdateError::SelfTest),
        (signed(&wide, 2), UpdateError::Shape),
        (altered, UpdateError::Digest),
    ];
    for (update, error) in cases {
        let mut flash = old.clone();
        let mut store = store(&mut flash);
        boot(&mut store).unwrap();
        assert_eq!(send(&mut store, &update, 100), Err(error));
        assert_eq!(store.floor(), 1);
        assert_eq!(finish(&mut store), Err(UpdateError::NotBegun), "{error:?} ends it");
        old_starts(&mut flash);
        assert_eq!(send_to(&mut flash, self::update(2)), Ok(2), "a good one of the same version is taken");
    }
}

fn send_to(flash: &mut Small, update: &[u8]) -> Result<u32, UpdateError> {
    let mut store = store(flash);
    boot(&mut store).unwrap();
    send(&mut store, update, 512)
}

#[test]
fn models_without_test_vectors_are_refused() {
    let mut flash = with::<4, 256>(&[1]);
    assert_eq!(send_to(&mut flash, &signed(&without_vectors(), 2)), Err(UpdateError::SelfTest));
    old_starts(&mut flash);
}

/// A blob whose vectors are taken off: their number in the header is 0, and their words are gone.
fn without_vectors() -> Vec<u8> {
    let bytes = lane(2);
    let words: Vec<u32> = bytes.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let header = Header { tests: 0, ..model.header().clone() };
    let header = postcard::to_allocvec(&header).unwrap();
    let words = model.words();
    let body: &[u8] = bytemuck::cast_slice(&words[..words.len() - model.header().test_words()]);
    let padding = header.len().next_multiple_of(4) - header.len();
    let total = PREFIX_BYTES + header.len() + padding + body.len();
    let prefix = cellstate::model::prefix(total as u32, header.len() as u32);
    let mut blob = [&prefix[..], &[0; 4], &header, &[0; 3][..padding], body].concat();
    seal(&mut blob);
    blob
}

#[test]
fn shapes_that_the_program_has_not() {
    let mut flash = with::<4, 256>(&[1]);
    let layout = layout::<Small>();
    let Boot { length, .. } = boot(&mut store(&mut flash)).unwrap();
    assert_eq!(length, lane(1).len());
    let mut starts = |shape: Shape| {
        let mut store = ModelStore::new(&mut flash, layout, Some(key(1).public()), shape).unwrap();
        boot(&mut store).map(|boot| boot.version)
    };
    let refused = Err(NoModel { reasons: [UpdateError::Shape, UpdateError::Manifest] });
    assert_eq!(starts(shape()), Ok(1));
    assert_eq!(starts(shape().outputs(3)), Ok(1));
    assert_eq!(starts(shape().outputs(2)), refused);
    assert_eq!(starts(shape().streams(2)), refused);
    assert_eq!(starts(Shape::inputs(9)), refused);
    let mut store = store(&mut flash);
    let found = store.boot(&mut InPlace, &mut State::<64>::new()).map(|boot| boot.version);
    assert_eq!(found, refused, "a state that is too small");
}

#[test]
fn errors_of_the_order_of_things() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash).on_trial(2);
    assert_eq!(store.begin(1000), Err(UpdateError::NotBegun), "before a start");
    assert_eq!(store.roll_back(), Err(UpdateError::NotBegun));
    boot(&mut store).unwrap();
    assert_eq!(store.write(0, &[0]), Err(UpdateError::NotBegun));
    assert_eq!(finish(&mut store), Err(UpdateError::NotBegun));
    for bytes in [0, 160, SLOT + 1, u32::MAX] {
        assert_eq!(store.begin(bytes), Err(UpdateError::Length), "{bytes}");
    }
    store.begin(161).unwrap();
    assert_eq!(store.write(100, &[0; 62]), Err(UpdateError::Length));
    assert_eq!(store.write(u32::MAX, &[0; 2]), Err(UpdateError::Length));
    assert_eq!(store.write(1, &[0]), Err(UpdateError::Gap));
    assert_eq!(store.roll_back(), Err(UpdateError::Manifest), "there is nothing in the other slot");
    assert_eq!(send(&mut store, update(2), 100), Ok(2));
    assert_eq!(store.begin(1000), Err(UpdateError::Restart), "the new one does not run yet");
    assert_eq!(store.confirm(), Ok(false), "nor is it on trial yet");
    assert_eq!(boot(&mut store).unwrap().trial, Some(2));
    assert_eq!(store.begin(1000), Err(UpdateError::Trial));
    assert_eq!(store.confirm(), Ok(true));
    assert_eq!(store.confirm(), Ok(false));
    assert_eq!(store.begin(1000), Ok(()));
}

#[test]
fn an_update_that_is_taken_back() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash);
    boot(&mut store).unwrap();
    assert_eq!(send(&mut store, update(2), 100), Ok(2));
    assert_eq!(store.roll_back(), Ok(()));
    assert_eq!(send(&mut store, update(2), 100), Err(UpdateError::Downgrade), "its version stays used");
    assert_eq!(boot(&mut store).unwrap().version, 1);
    assert_eq!(send(&mut store, update(3), 100), Ok(3), "the slot is free again");
    assert_eq!(boot(&mut store).unwrap().version, 3);
}

#[test]
fn a_trial_that_is_not_confirmed() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash).on_trial(2);
    boot(&mut store).unwrap();
    send(&mut store, update(2), 100).unwrap();
    let found = [(); 4].map(|()| {
        let boot = boot(&mut store).unwrap();
        (boot.version, boot.trial, boot.fallback)
    });
    let back = (1, None, Some(Fallback::Unconfirmed));
    assert_eq!(found, [(2, Some(2), None), (2, Some(1), None), back, (1, None, None)]);
    assert_eq!(store.floor(), 2);
}

#[test]
fn a_trial_with_nothing_to_go_back_to_goes_on() {
    let mut flash = with::<4, 256>(&[1]);
    let mut store = store(&mut flash).on_trial(1);
    boot(&mut store).unwrap();
    send(&mut store, update(2), 100).unwrap();
    boot(&mut store).unwrap();
    let old = layout::<Small>().slot(Slot::A) as usize;
    flash.bytes()[old + 500] ^= 4;
    let mut store = self::store(&mut flash);
    for _ in 0..3 {
        let boot = boot(&mut store).unwrap();
        assert_eq!((boot.version, boot.trial, boot.fallback), (2, Some(0), None));
    }
    assert_eq!(store.confirm(), Ok(true));
    assert_eq!(boot(&mut store).unwrap().trial, None);
}

/// Through a buffer, as of flash that the core cannot address: the same.
#[test]
fn in_a_buffer() {
    let mut flash = with::<4, 256>(&[1]);
    let (mut buffer, mut state) = (Buffer::<2528>::new(), State::<STATE>::new());
    let mut store = store(&mut flash);
    let found = store.boot(&mut buffer, &mut state).unwrap();
    assert_eq!(buffer.bytes(found.length), Some(&lane(1)[..]));
    assert_eq!(buffer.bytes(5000), None);
    let mut updater = Updater::<_, _, STATE>::new(store, buffer);
    Updates::begin(&mut updater, update(2).len() as u32).unwrap();
    Updates::write(&mut updater, 0, update(2)).unwrap();
    assert_eq!(Updates::received(&updater), update(2).len() as u32);
    assert_eq!(Updates::finish(&mut updater), Ok(2));
    let mut buffer = Buffer::<2528>::new();
    let boot = updater.store().boot(&mut buffer, &mut state).unwrap();
    assert_eq!((boot.version, buffer.bytes(boot.length)), (2, Some(&lane(2)[..])));
    let mut small = Buffer::<2496>::new();
    let none = NoModel { reasons: [UpdateError::Flash; 2] };
    assert_eq!(updater.into_store().boot(&mut small, &mut state), Err(none));
}

#[test]
fn flash_that_cannot_be_read_for_a_while() {
    let mut flash = with::<4, 256>(&[1, 2]);
    let slot = layout::<Small>().slot(Slot::B);
    flash.unreadable = Some((slot, slot + 4));
    let found = boot(&mut store(&mut flash)).unwrap();
    assert_eq!((found.version, found.fallback), (1, Some(Fallback::Refused(UpdateError::Flash))));
    flash.unreadable = None;
    let found = boot(&mut store(&mut flash)).unwrap();
    assert_eq!((found.version, found.fallback), (2, None), "nothing changed for good");
}

#[test]
fn a_journal_that_cannot_be_read_for_a_while() {
    let mut flash = with::<4, 256>(&[1, 2]);
    let damaged = layout::<Small>().slot(Slot::B) as usize + 300;
    flash.bytes()[damaged] ^= 1;
    assert_eq!(boot(&mut store(&mut flash)).unwrap().version, 1);
    let operations = flash.operations;
    flash.unreadable = Some((0, 512));
    let mut store = store(&mut flash);
    let found = boot(&mut store).unwrap();
    let refused = Some(Fallback::Refused(UpdateError::Digest));
    assert_eq!((found.version, found.fallback, store.floor()), (1, refused, 1), "no older one is taken");
    assert_eq!(send(&mut store, update(1), 100), Err(UpdateError::Downgrade));
    assert_eq!(flash.operations, operations, "nothing changed for good");
    flash.unreadable = None;
    let mut store = self::store(&mut flash);
    boot(&mut store).unwrap();
    assert_eq!(store.floor(), 2);
}

/// Blocks that are no power of two, of which records do not fill a page.
#[test]
fn odd_blocks() {
    let mut flash = with::<8, 24>(&[1]);
    let page = layout::<Nor<8, 24>>().page_bytes();
    assert_eq!(page, 72);
    for version in 2..=20 {
        let before = flash.operations;
        let mut store = store(&mut flash);
        boot(&mut store).unwrap();
        assert_eq!(send(&mut store, update(version), 4096), Ok(version));
        let (words, blocks) = (update(version).len().div_ceil(8) as u64, update(version).len().div_ceil(24) as u64);
        // Four records a page, and then its three blocks are erased.
        let turn = if version % 4 == 1 { 3 } else { 0 };
        assert_eq!(flash.operations - before, words + blocks + 2 + turn, "version {version}");
    }
}

/// Without a key a program takes what is whole, signed or not; with one it does not start what it would not take.
#[test]
fn programs_without_a_key() {
    let mut flash = Small::new();
    let layout = layout::<Small>();
    let mut store = ModelStore::new(&mut flash, layout, None, shape()).unwrap();
    assert_eq!(boot(&mut store), Err(NoModel { reasons: [UpdateError::Manifest; 2] }));
    assert_eq!(send(&mut store, &unsigned(&lane(1), 1), 100), Ok(1));
    boot(&mut store).unwrap();
    assert_eq!(send(&mut store, update(2), 100), Ok(2));
    assert_eq!(boot(&mut store).unwrap().version, 2);
    assert_eq!(send(&mut store, &unsigned(&lane(2), 2), 100), Err(UpdateError::Downgrade));
    let mut store = ModelStore::new(&mut flash, layout, Some(key(2).public()), shape()).unwrap();
    let reasons = [UpdateError::Unsigned, UpdateError::Signature];
    assert_eq!(boot(&mut store), Err(NoModel { reasons }));
    let other = [&Manifest::of(&lane(3), 3).unwrap().sign(&key(2)).bytes()[..], &lane(3)].concat();
    assert_eq!(send(&mut store, &other, 100), Ok(3), "an update helps out");
    assert_eq!(boot(&mut store).unwrap().version, 3);
}

#[test]
fn layouts() {
    let new = |start, slot, erase| Layout::new(start, slot, erase);
    assert_eq!(new(0, 4096, 0), Err(LayoutError::Misaligned));
    assert_eq!(new(100, 4096, 256), Err(LayoutError::Misaligned));
    assert_eq!(new(0, 4000, 256), Err(LayoutError::Misaligned));
    assert_eq!(new(2, 4096, 2), Err(LayoutError::Misaligned));
    assert_eq!(new(0, 160, 32), Err(LayoutError::SlotTooSmall));
    assert_eq!(new(0, 1 << 31, 4096), Err(LayoutError::PastTheEnd));
    let layout = new(8192, 12288, 4096).unwrap();
    let places = [layout.page(false), layout.page(true), layout.slot(Slot::A), layout.slot(Slot::B), layout.end()];
    assert_eq!(places, [8192, 12288, 16384, 28672, 40960]);
    let small = new(0, 192, 32).unwrap();
    assert_eq!((small.page_bytes(), small.slot(Slot::A)), (64, 128));
    let mut flash = Small::new();
    let capacity = flash.capacity() as u32;
    let store = |layout: Layout, flash: &mut Small| ModelStore::new(flash, layout, None, shape()).err();
    assert_eq!(store(new(capacity, 4096, 256).unwrap(), &mut flash), Some(LayoutError::PastTheEnd));
    assert_eq!(store(new(64, 4096, 64).unwrap(), &mut flash), Some(LayoutError::Misaligned));
}

/// An EEPROM whose pages wrap around, as they do.
struct Chip {
    bytes: Vec<u8>,
    writes: u32,
}

impl Eeprom for Chip {
    type Error = ();
    const PAGE: usize = 32;

    fn capacity(&self) -> usize {
        self.bytes.len()
    }

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> Result<(), ()> {
        bytes.copy_from_slice(&self.bytes[address as usize..][..bytes.len()]);
        Ok(())
    }

    fn write_page(&mut self, address: u32, bytes: &[u8]) -> Result<(), ()> {
        let page = address as usize / 32 * 32;
        self.writes += 1;
        for (k, byte) in bytes.iter().enumerate() {
            self.bytes[page + (address as usize + k) % 32] = *byte;
        }
        Ok(())
    }
}

#[test]
fn in_an_eeprom() {
    type Flash = Bytewise<Chip, 64>;
    let mut flash: Flash = Bytewise(Chip { bytes: vec![0x5a; 16384], writes: 0 });
    let layout = Layout::of::<Flash>(64, 4096).unwrap();
    let (mut buffer, mut state) = (Buffer::<4096>::new(), State::<STATE>::new());
    let mut store = ModelStore::new(&mut flash, layout, Some(key(1).public()), shape()).unwrap();
    assert_eq!(store.boot(&mut buffer, &mut state), Err(NoModel { reasons: [UpdateError::Manifest; 2] }));
    for version in 1..=12 {
        store.begin(update(version).len() as u32).unwrap();
        for (k, piece) in update(version).chunks(45).enumerate() {
            store.write(k as u32 * 45, piece).unwrap();
        }
        assert_eq!(store.finish(&mut buffer, &mut state), Ok(version));
        assert_eq!(store.boot(&mut buffer, &mut state).unwrap().version, version);
        assert_eq!(buffer.bytes(2500), update(version).get(160..));
    }
    assert!(flash.0.writes > 1000);
    assert_eq!(flash.erase(32, 64).unwrap_err(), cellstate_store::eeprom::BytewiseError::Range(NOT_ALIGNED));
    assert!(flash.read(16384, &mut [0]).is_err());
}

const NOT_ALIGNED: embedded_storage::nor_flash::NorFlashErrorKind =
    embedded_storage::nor_flash::NorFlashErrorKind::NotAligned;
