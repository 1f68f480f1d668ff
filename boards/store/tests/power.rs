//! The power is cut at every write and at every erase, and leaves anything: what starts then is a whole model, the old or the new one.

use cellstate_store::journal::Record;
use cellstate_store::layout::Slot;
use cellstate_store::*;
use common::*;

mod common;

/// Which of the ways that a cut can leave a write or an erase in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ways {
    /// All of them, at every write and erase.
    All,
    /// One after the other; all at the last 40 writes, where the record is.
    InTurn,
}

/// Does something with the power cut at each of its writes and erases. `check` is given the flash, and what was done if that came to
/// its end, as it does once with no cut at all.
fn at_every_cut<const W: usize, const E: usize, T>(
    ways: Ways,
    flash: &Nor<W, E>,
    act: impl Fn(&mut Nor<W, E>) -> T,
    check: impl Fn(&mut Nor<W, E>, Option<T>),
) -> u64 {
    let mut whole = flash.clone();
    let before = whole.operations;
    let result = act(&mut whole);
    let operations = whole.operations - before;
    check(&mut whole, Some(result));
    for cut in 0..operations {
        for (k, torn) in TORN.into_iter().enumerate() {
            if ways == Ways::InTurn && cut + 40 < operations && cut % TORN.len() as u64 != k as u64 {
                continue;
            }
            let mut flash = flash.clone();
            flash.cut_after(cut, torn);
            act(&mut flash);
            flash.revive();
            check(&mut flash, None);
        }
    }
    operations
}

/// A start finds one of these versions, whole; gives it.
fn starts<const W: usize, const E: usize>(flash: &mut Nor<W, E>, versions: &[u32]) -> u32 {
    let mut store = store(&mut *flash);
    let boot = boot(&mut store).unwrap();
    assert!(versions.contains(&boot.version), "{boot:?}");
    assert!(is_whole(flash, &boot), "{boot:?}");
    boot.version
}

/// What was in use is refused, and one that is newer than all before succeeds, which is looked at now and then.
fn goes_on<const W: usize, const E: usize>(flash: &mut Nor<W, E>, floor: u32) {
    let often = flash.operations.is_multiple_of(8);
    let mut store = store(&mut *flash);
    let _ = boot(&mut store);
    assert_eq!(send(&mut store, update(floor), 4096), Err(UpdateError::Downgrade));
    if often {
        assert_eq!(send(&mut store, update(9), 4096), Ok(9));
        starts(flash, &[9]);
    }
}

/// Starts and updates, as far as the power lasts.
fn updates<const W: usize, const E: usize>(flash: &mut Nor<W, E>, version: u32) -> Result<u32, UpdateError> {
    let mut store = store(flash);
    let _ = boot(&mut store);
    send(&mut store, update(version), 100)
}

fn an_update<const W: usize, const E: usize>(ways: Ways) {
    let flash = with::<W, E>(&[1]);
    let operations = at_every_cut(
        ways,
        &flash,
        |flash| updates(flash, 2),
        |flash, done| {
            let version = starts(flash, if done.is_some() { &[2] } else { &[1, 2] });
            if version == 1 {
                assert_eq!(updates(flash, 2), Ok(2), "again");
                starts(flash, &[2]);
            }
            goes_on(flash, 2);
        },
    );
    let words = (update(2).len().div_ceil(W) + 16usize.div_ceil(W)) as u64;
    let blocks = update(2).len().div_ceil(E) as u64;
    assert!((words + blocks..=words + blocks + 1).contains(&operations), "{operations} operations");
}

#[test]
fn an_update_with_words_of_1_byte() {
    an_update::<1, 256>(Ways::InTurn);
}

#[test]
fn an_update_with_words_of_4_bytes() {
    an_update::<4, 4096>(Ways::InTurn);
    an_update::<4, 64>(Ways::InTurn);
}

#[test]
fn an_update_with_words_of_8_bytes() {
    an_update::<8, 2048>(Ways::InTurn);
    an_update::<8, 32>(Ways::InTurn);
}

#[test]
fn an_update_with_words_of_16_and_32_bytes() {
    an_update::<16, 1024>(Ways::All);
    an_update::<32, 64>(Ways::All);
}

fn a_first_model<const W: usize, const E: usize>() {
    at_every_cut(
        Ways::InTurn,
        &Nor::<W, E>::new(),
        |flash| updates(flash, 1),
        |flash, done| {
            let found = boot(&mut store(&mut *flash));
            if let Ok(boot) = found {
                assert!(boot.version == 1 && is_whole(flash, &boot));
            } else {
                assert_eq!(done, None);
                assert_eq!(updates(flash, 1), Ok(1), "again");
                starts(flash, &[1]);
            }
            goes_on(flash, 1);
        },
    );
}

#[test]
fn a_first_model_in_blank_flash() {
    a_first_model::<4, 256>();
    a_first_model::<16, 64>();
}

#[test]
fn an_update_after_a_roll_back() {
    let mut flash = with::<8, 512>(&[1, 2]);
    // The model of version 2 is damaged where it lies.
    let damaged = layout::<Nor<8, 512>>().slot(Slot::B) as usize + 1000;
    flash.bytes()[damaged] ^= 1;
    at_every_cut(
        Ways::InTurn,
        &flash,
        |flash| {
            let version = boot(&mut store(&mut *flash)).map(|boot| boot.version);
            (version, updates(flash, 3))
        },
        |flash, done| {
            if let Some(done) = done {
                assert_eq!(done, (Ok(1), Ok(3)));
                starts(flash, &[3]);
            } else if starts(flash, &[1, 3]) == 1 {
                // Version 2 was in use once, and is not taken again, whatever is left of it.
                assert_eq!(updates(flash, 2), Err(UpdateError::Downgrade));
                assert_eq!(updates(flash, 3), Ok(3));
                starts(flash, &[3]);
            }
            goes_on(flash, 3);
        },
    );
}

#[test]
fn a_second_update_in_the_slot_of_the_first_model() {
    let flash = with::<4, 1024>(&[1, 2]);
    at_every_cut(
        Ways::InTurn,
        &flash,
        |flash| updates(flash, 3),
        |flash, done| {
            starts(flash, if done.is_some() { &[3] } else { &[2, 3] });
            let known = floor(flash);
            goes_on(flash, known);
        },
    );
}

fn floor<const W: usize, const E: usize>(flash: &mut Nor<W, E>) -> u32 {
    let mut store = store(flash);
    boot(&mut store).unwrap();
    store.floor()
}

/// A model on trial, whose records begin at different places of the journal: its pages have room for four and take turns.
fn a_trial<const W: usize, const E: usize>(old: u32) {
    let versions: Vec<u32> = (1..=old).collect();
    let (mut flash, new) = (with::<W, E>(&versions), old + 1);
    let mut store = store(&mut flash).on_trial(3);
    boot(&mut store).unwrap();
    send(&mut store, update(new), 4096).unwrap();
    let act = |flash: &mut Nor<W, E>| {
        let mut store = self::store(flash);
        let trials = [(); 2].map(|()| boot(&mut store).ok()?.trial);
        store.confirm().map(|confirmed| (trials, confirmed))
    };
    at_every_cut(Ways::All, &flash, act, |flash, done| {
        // Whether it is there to stay or not, it comes to an end within the starts that it has, and never to no model.
        let found: Vec<u32> = (0..6).map(|_| starts(flash, &[old, new])).collect();
        assert!(found[4] == found[5] && found.is_sorted_by(|a, b| a >= b), "{found:?}");
        if let Some(done) = done {
            assert_eq!(done, Ok(([Some(3), Some(2)], true)));
            assert_eq!(found, [new; 6], "a confirmed model stays");
        }
        let known = floor(flash);
        goes_on(flash, known);
    });
}

#[test]
fn a_trial_until_it_is_confirmed() {
    for old in 1..=4 {
        a_trial::<8, 64>(old);
        a_trial::<16, 64>(old);
        a_trial::<32, 32>(old);
    }
}

/// Power that comes and goes all the time: starts, updates, trials, confirmations, damage to nothing.
#[test]
fn storms() {
    let (mut updates, mut rolled_back) = (0, 0);
    for seed in 1..=30 {
        let mut rng = Rng(seed);
        let mut flash = with::<8, 128>(&[1]);
        let (mut active, mut known) = (1, 1);
        for _ in 0..60 {
            let whole = rng.below(4) == 0;
            if !whole {
                // Many cuts soon, in the journal; others anywhere.
                let reach = if rng.below(2) == 0 { 6 } else { 400 };
                let torn = TORN[rng.below(TORN.len() as u64) as usize];
                flash.cut_after(rng.below(reach), torn);
            }
            let mut store = store(&mut flash).on_trial(2);
            let mut now = boot(&mut store).map(|boot| boot.version);
            let mut sent = None;
            if now.is_ok() && rng.below(2) == 0 {
                let _ = store.confirm();
            }
            if now.is_ok() {
                sent = send(&mut store, update(known + 1), 700).ok();
                if sent.is_some() {
                    now = boot(&mut store).map(|boot| boot.version);
                }
            }
            flash.revive();
            let mut store = self::store(&mut flash).on_trial(2);
            let boot = boot(&mut store).unwrap();
            let floor = store.floor();
            assert!(floor >= known && floor <= known + 1 && sent.is_none_or(|sent| floor == sent), "seed {seed}");
            let expired = boot.fallback == Some(Fallback::Unconfirmed);
            assert!(
                [active, floor].contains(&boot.version) || now == Ok(boot.version) || expired,
                "seed {seed}: {boot:?}"
            );
            assert!(is_whole(&flash, &boot), "seed {seed}");
            rolled_back += u32::from(boot.version < floor && active > boot.version);
            updates += u32::from(floor > known);
            (active, known) = (boot.version, floor);
        }
    }
    assert!(updates > 150 && rolled_back > 10, "{updates} updates, {rolled_back} rolled back");
}

/// Whatever is in flash, a start is a whole model or none, and the next update is taken.
#[test]
fn anything_in_flash() {
    type Flash = Nor<8, 128>;
    let layout = layout::<Flash>();
    let (mut started, mut full) = (0, 0);
    for seed in 0..3000 {
        let mut rng = Rng(seed);
        let mut flash = Flash::new();
        for start in (0..2 * layout.page_bytes()).step_by(16) {
            let floor = [1, 2, 3, 9, u32::MAX - 1, u32::MAX][rng.below(6) as usize];
            let active = Slot::BOTH[rng.below(2) as usize];
            let sequence = [start, u32::MAX - 50, rng.below(1 << 32) as u32][rng.below(3) as usize];
            let record = Record { sequence, floor, active, trial: rng.below(5) as u8 };
            let mut bytes = record.bytes();
            match rng.below(8) {
                0 => flash.fill(start, &[0; 16]),
                1 => {
                    bytes[rng.below(16) as usize] ^= 1;
                    flash.fill(start, &bytes);
                }
                2..=4 => flash.fill(start, &bytes),
                _ => {}
            }
        }
        for slot in Slot::BOTH {
            let mut bytes = update(1 + rng.below(3) as u32).to_vec();
            match rng.below(8) {
                0 => bytes.fill_with(|| rng.below(256) as u8),
                1 => bytes = signed(&bytes[160..][..100], 4),
                2 => {
                    bytes = [&Manifest { length: u32::MAX, ..manifest_of(&bytes) }.sign(&key(1)).bytes()[..], &[0; 9]]
                        .concat();
                }
                3 => bytes = unsigned(&lane(1), 1),
                4 => bytes.truncate(rng.below(1000) as usize),
                _ => {}
            }
            flash.fill(layout.slot(slot), &bytes);
        }
        let mut store = store(&mut flash).on_trial(rng.below(3) as u8);
        for _ in 0..rng.below(4) {
            if let Ok(found) = boot(&mut store) {
                assert!(
                    store.flash().view(found.offset, found.length) == update(found.version).get(160..),
                    "seed {seed}"
                );
                assert!(store.floor() >= found.version);
                started += 1;
            }
            match rng.below(4) {
                0 => drop(store.confirm()),
                1 => drop(store.roll_back()),
                _ => {}
            }
        }
        let _ = boot(&mut store);
        let _ = store.confirm();
        let next = store.floor().checked_add(1);
        let sent = signed(&lane(1), next.unwrap_or(u32::MAX));
        let expected = next.ok_or(UpdateError::Downgrade);
        assert_eq!(send(&mut store, &sent, 4096), expected, "seed {seed}");
        if let Some(next) = next {
            assert_eq!(boot(&mut store).map(|found| found.version), Ok(next), "seed {seed}");
        }
        full += u32::from(next.is_none());
    }
    assert!(started > 1000 && full > 100, "{started} started, {full} with the last version");
}

fn manifest_of(update: &[u8]) -> Manifest {
    Manifest::parse(update.first_chunk().unwrap()).unwrap()
}
