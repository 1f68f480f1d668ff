//! Every bit of an update and of what is stored is flipped: none goes unseen.

use cellstate_store::layout::Slot;
use cellstate_store::*;
use common::*;
use embedded_storage::nor_flash::NorFlash;

mod common;

type Flash = Nor<8, 1024>;

/// Where the slot is that update `version` went to.
fn slot(version: u32) -> usize {
    layout::<Flash>().slot(if version % 2 == 1 { Slot::A } else { Slot::B }) as usize
}

#[test]
fn every_flipped_bit_of_a_signed_update_is_refused() {
    let mut store = store(with::<8, 1024>(&[1]));
    boot(&mut store).unwrap();
    let mut update = update(2).to_vec();
    let mut counts = std::collections::BTreeMap::new();
    for bit in 0..update.len() * 8 {
        update[bit / 8] ^= 1 << (bit % 8);
        let error = send(&mut store, &update, 4096).unwrap_err();
        *counts.entry(format!("{error:?}")).or_insert(0) += 1;
        assert_eq!(store.floor(), 1);
        if bit % 64 == 0 {
            let found = boot(&mut store).unwrap();
            assert!(found.version == 1 && is_whole(store.flash(), &found), "bit {bit}");
        }
        update[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(send(&mut store, &update, 4096), Ok(2));
    let of = |error: &str| counts[error];
    assert_eq!((of("Manifest"), of("Signature"), of("Digest")), (96 * 8, 64 * 8, (update.len() - 160) * 8));
}

#[test]
fn every_flipped_bit_of_an_unsigned_update_is_refused() {
    let mut update = unsigned(&lane(1), 1);
    let mut store = ModelStore::new(Flash::new(), layout::<Flash>(), None, shape()).unwrap();
    boot(&mut store).unwrap_err();
    for bit in 0..update.len() * 8 {
        update[bit / 8] ^= 1 << (bit % 8);
        let error = send(&mut store, &update, 4096).unwrap_err();
        let expected = if bit < 160 * 8 { UpdateError::Manifest } else { UpdateError::Digest };
        assert_eq!(error, expected, "bit {bit}");
        update[bit / 8] ^= 1 << (bit % 8);
    }
    assert_eq!(send(&mut store, &update, 4096), Ok(1));
}

/// Of the model that is in use: the other one starts, for good, and the version stays used.
#[test]
fn every_flipped_bit_of_a_stored_model_starts_the_other_one() {
    let flash = with::<8, 1024>(&[1, 2]);
    for bit in 0..update(2).len() * 8 {
        let mut flash = flash.clone();
        flash.bytes()[slot(2) + bit / 8] ^= 1 << (bit % 8);
        let mut store = store(&mut flash);
        let found = boot(&mut store).unwrap();
        assert!(found.version == 1 && matches!(found.fallback, Some(Fallback::Refused(_))), "bit {bit}: {found:?}");
        assert_eq!(store.floor(), 2);
        if bit % 64 == 0 {
            assert_eq!(send(&mut store, update(2), 4096), Err(UpdateError::Downgrade), "bit {bit}");
            assert_eq!(send(&mut store, update(3), 4096), Ok(3), "bit {bit}");
        }
        assert!(is_whole(&flash, &found));
    }
}

/// Of the journal: a whole model starts, the one in use or the one before it.
#[test]
fn every_flipped_bit_of_the_journal_starts_a_whole_model() {
    let flash = with::<8, 64>(&[1, 2, 3, 4, 5, 6]);
    let pages = 2 * layout::<Nor<8, 64>>().page_bytes() as usize;
    let mut old = 0;
    for bit in 0..pages * 8 {
        let mut flash = flash.clone();
        flash.bytes()[bit / 8] ^= 1 << (bit % 8);
        let boot = boot(&mut store(&mut flash)).unwrap();
        assert!([5, 6].contains(&boot.version) && is_whole(&flash, &boot), "bit {bit}: {boot:?}");
        old += u32::from(boot.version == 5);
    }
    assert_eq!(old, 16 * 8, "the bits of the newest record alone");
}

/// As flash has it that was written at the factory, or whose journal is lost: the newest model starts.
#[test]
fn without_a_journal_the_newest_whole_model_starts() {
    let mut flash = with::<8, 1024>(&[1, 2]);
    let pages = 2 * layout::<Flash>().page_bytes() as usize;
    for filled in [0xff, 0x00, 0x5a] {
        flash.erase(0, pages as u32).unwrap();
        flash.bytes()[..pages].fill(filled);
        for damaged in [false, true] {
            let mut flash = flash.clone();
            if damaged {
                flash.bytes()[slot(2) + 700] ^= 2;
            }
            let mut store = store(&mut flash);
            assert_eq!(boot(&mut store).unwrap().version, if damaged { 1 } else { 2 });
            if filled == 0xff {
                assert_eq!(store.floor(), if damaged { 1 } else { 2 }, "it is recorded");
                assert_eq!(send(&mut store, update(3), 4096), Ok(3));
            }
        }
    }
}

#[test]
fn replayed_updates_are_refused() {
    let mut flash = with::<8, 1024>(&[1, 2, 5]);
    let mut store = store(&mut flash);
    let found = boot(&mut store).unwrap();
    for version in 1..=5 {
        assert_eq!(send(&mut store, update(version), 333), Err(UpdateError::Downgrade), "version {version}");
    }
    assert_eq!(boot(&mut store), Ok(found));
    // Signed again with another content, or another content with the same manifest.
    assert_eq!(send(&mut store, &signed(&lane(9), 5), 333), Err(UpdateError::Downgrade));
    let mixed = [&update(6)[..160], &lane(7)].concat();
    assert_eq!(send(&mut store, &mixed, 333), Err(UpdateError::Digest));
    assert_eq!(send(&mut store, update(6), 333), Ok(6));
}

#[test]
fn truncated_and_extended_updates_are_refused() {
    let flash = with::<8, 1024>(&[1]);
    let longer = [update(2), &[0xff; 64]].concat();
    for length in (161..longer.len()).step_by(7).chain(2655..=2665) {
        let mut flash = flash.clone();
        let mut store = store(&mut flash);
        boot(&mut store).unwrap();
        let expected = if length == update(2).len() { Ok(2) } else { Err(UpdateError::Length) };
        assert_eq!(send(&mut store, &longer[..length], 4096), expected, "{length} bytes");
    }
}

#[test]
fn keys() {
    let public = key(1).public();
    let hex = public.to_string();
    assert_eq!((hex.len(), PublicKey::from_hex(&hex)), (64, Some(public)));
    assert_eq!(PublicKey::from_hex(&hex.to_uppercase()), Some(public));
    for wrong in ["", &hex[1..], &format!("{hex}0"), &format!("{hex}00"), &hex.replace(&hex[..1], "g"), "x"] {
        assert_eq!(PublicKey::from_hex(wrong), None, "{wrong}");
    }
    assert_eq!(PublicKey::of_build(None), None);
    assert_eq!(PublicKey::of_build(Some(&hex)), Some(public));
    assert!(std::panic::catch_unwind(|| PublicKey::of_build(Some(""))).is_err());
    assert!(SecretKey::from_seed([0; 32]).is_none());
    assert_eq!(format!("{public:?}"), format!("PublicKey({hex})"));
}

/// RFC 8032, section 7.1, test 2: the scheme is the one that others have.
#[test]
fn signatures_are_those_of_rfc_8032() {
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|k| u8::from_str_radix(&hex[k..k + 2], 16).unwrap()).collect()
    };
    let seed = bytes("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
    let key = SecretKey::from_seed(seed.try_into().unwrap()).unwrap();
    assert_eq!(key.public().to_string(), "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
    let signature = bytes(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    );
    assert_eq!(key.sign(&[0x72])[..], signature);
    assert!(key.public().verify(&[0x72], &signature.clone().try_into().unwrap()));
    assert!(!key.public().verify(&[0x73], &signature.try_into().unwrap()));
    assert!(!PublicKey::new([0; 32]).verify(&[0x72], &[0; 64]), "a key of small order verifies nothing");
}
