//! The first bytes, the lengths, the checksum.

use super::*;

/// Every single-bit flip, on two threads; the digits blob has 656,000 of them.
#[test]
fn every_flipped_bit_is_an_error() {
    for name in ["watch", "digits"] {
        let blob = committed(name);
        std::thread::scope(|scope| {
            for half in 0..2 {
                let blob = &blob;
                scope.spawn(move || {
                    let mut words = aligned(blob);
                    for bit in (half..blob.len() * 8).step_by(2) {
                        words[bit / 32] ^= 1 << (bit % 32);
                        assert!(Model::parse(bytes(&words, blob.len())).is_err(), "{name}: bit {bit}");
                        words[bit / 32] ^= 1 << (bit % 32);
                    }
                    assert!(Model::parse(bytes(&words, blob.len())).is_ok());
                });
            }
        });
    }
}

#[test]
fn an_unaligned_blob_is_refused() {
    let blob = committed("watch");
    let mut shifted = vec![0u8; 1];
    shifted.extend(&blob);
    let words = aligned(&shifted);
    assert_eq!(Model::parse(&bytes(&words, shifted.len())[1..]).err(), Some(LoadError::Misaligned));
}

#[test]
fn every_truncation_is_refused() {
    for name in ["watch", "digits"] {
        let blob = committed(name);
        let words = aligned(&blob);
        for len in 0..blob.len() {
            let error = Model::parse(bytes(&words, len)).unwrap_err();
            assert!(matches!(error, LoadError::Truncated { .. }), "{name}: {len} bytes: {error:?}");
        }
    }
}

#[test]
fn bytes_behind_the_blob_are_refused() {
    let mut blob = committed("watch");
    assert_eq!(Model::blob_len(&blob), Some(blob.len()));
    for extra in 1..9 {
        blob.push(0);
        assert_eq!(error_of(&blob), Some(LoadError::TrailingBytes { extra }));
    }
}

/// A blob with one byte changed, its checksum not repaired.
fn patched(at: usize, value: u8) -> Option<LoadError> {
    let mut blob = committed("watch");
    blob[at] = value;
    error_of(&blob)
}

#[test]
fn another_magic_is_refused() {
    for at in 0..4 {
        assert_eq!(patched(at, b'c'), Some(LoadError::NotABlob));
    }
}

#[test]
fn another_version_is_refused() {
    assert_eq!(patched(4, 5), Some(LoadError::Version { found: 5, supported: 6 }));
    assert_eq!(patched(5, 1), Some(LoadError::Version { found: 262, supported: 6 }));
}

#[test]
fn another_length_is_refused() {
    let len = committed("watch").len() as u32;
    let [low, ..] = len.to_le_bytes();
    assert_eq!(patched(8, low + 4), Some(LoadError::Truncated { needed: len + 4, found: len }));
    assert_eq!(patched(8, low - 4), Some(LoadError::TrailingBytes { extra: 4 }));
}

#[test]
fn another_checksum_is_refused() {
    let blob = committed("watch");
    assert_eq!(patched(16, !blob[16]), Some(LoadError::Checksum));
    assert_eq!(patched(6, 1), Some(LoadError::Checksum));
    assert_eq!(patched(blob.len() - 1, !blob[blob.len() - 1]), Some(LoadError::Checksum));
}
