//! The key that updates must be signed with.

use core::fmt;
use ed25519_compact::{KeyPair, Seed, Signature};

/// The public half of an Ed25519 key: 32 bytes, which devices have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey([u8; PublicKey::BYTES]);

impl PublicKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// The key of these bytes. Whether they are a point of the curve is seen when a signature is verified: none is valid for one that
    /// is not.
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Reads 64 hexadecimal digits, as `cellstate keygen` prints them; none if the text is anything else.
    pub const fn from_hex(hex: &str) -> Option<Self> {
        let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
        if pairs.len() != Self::BYTES || !rest.is_empty() {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        let mut k = 0;
        while k < Self::BYTES {
            let [high, low] = pairs[k];
            match (digit(high), digit(low)) {
                (Some(high), Some(low)) => bytes[k] = high << 4 | low,
                _ => return None,
            }
            k += 1;
        }
        Some(Self(bytes))
    }

    /// The key that a program is built with, for a constant; none if there is no text.
    ///
    /// ```
    /// # use cellstate_store::PublicKey;
    /// const KEY: Option<PublicKey> = PublicKey::of_build(option_env!("CELLSTATE_KEY"));
    /// ```
    ///
    /// # Panics
    /// On text that is no key, which in a constant is an error of the build:
    ///
    /// ```compile_fail
    /// # use cellstate_store::PublicKey;
    /// const KEY: Option<PublicKey> = PublicKey::of_build(Some("not 64 hexadecimal digits"));
    /// # fn main() { let _ = KEY; }
    /// ```
    pub const fn of_build(hex: Option<&str>) -> Option<Self> {
        match hex {
            None => None,
            Some(hex) => {
                let key = Self::from_hex(hex);
                assert!(key.is_some(), "the key must be 64 hexadecimal digits, as `cellstate keygen` prints them");
                key
            }
        }
    }

    /// Whether a signature of a message is by the secret half of this key. Out of line: what it needs of the stack must not stay in the
    /// caller's frame.
    #[inline(never)]
    pub fn verify(&self, message: &[u8], signature: &[u8; Signature::BYTES]) -> bool {
        ed25519_compact::PublicKey::new(self.0).verify(message, &Signature::new(*signature)).is_ok()
    }
}

/// As hexadecimal digits.
impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

const fn digit(text: u8) -> Option<u8> {
    match text {
        b'0'..=b'9' => Some(text - b'0'),
        b'a'..=b'f' => Some(text - b'a' + 10),
        b'A'..=b'F' => Some(text - b'A' + 10),
        _ => None,
    }
}

/// The secret half, for the host tool and for tests; a device has no use for it.
pub struct SecretKey(KeyPair);

impl SecretKey {
    /// The key of 32 random bytes; none of 32 zeros, which are not random.
    pub fn from_seed(seed: [u8; 32]) -> Option<Self> {
        KeyPair::try_from_seed(Seed::new(seed)).ok().map(Self)
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(*self.0.pk)
    }

    /// Signs a message; the same signature each time (RFC 8032).
    pub fn sign(&self, message: &[u8]) -> [u8; Signature::BYTES] {
        *self.0.sk.sign(message, None)
    }
}
