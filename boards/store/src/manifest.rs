//! What stands before a blob: version, length, digest, signature. `docs/updates.md` has the table of bytes.

use crate::{PublicKey, SecretKey, UpdateError};
use cellstate::model::checksum;
use ed25519_compact::sha512::Hash;

/// Bytes of a manifest; the blob follows.
pub const BYTES: usize = 160;
/// Bytes of it that are signed: all before the signature.
pub const SIGNED_BYTES: usize = 96;
/// The first bytes.
pub const MAGIC: [u8; 4] = *b"CELU";
/// The format that this crate reads and writes.
pub const FORMAT: u16 = 1;

/// The flag of a manifest that has a signature.
const SIGNED: u16 = 1;
/// Bytes that the checksum is of.
const CHECKED_BYTES: usize = SIGNED_BYTES - 4;

/// An update's first bytes, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The update's version: above that of every model that a device had before.
    pub version: u32,
    /// Bytes of the blob.
    pub length: u32,
    /// SHA-512 of the blob.
    pub digest: [u8; 64],
    /// The signature of the [`SIGNED_BYTES`] before it, if there is one.
    pub signature: Option<[u8; 64]>,
}

impl Manifest {
    /// Describes a blob, unsigned; none if it is longer than 32 bits can say.
    pub fn of(blob: &[u8], version: u32) -> Option<Self> {
        let length = u32::try_from(blob.len()).ok()?;
        Some(Self { version, length, digest: digest(blob), signature: None })
    }

    /// The same, signed.
    #[must_use]
    pub fn sign(self, key: &SecretKey) -> Self {
        // The flag is signed too.
        let signed = Self { signature: Some([0; 64]), ..self };
        Self { signature: Some(key.sign(&signed.head())), ..self }
    }

    /// The bytes that are signed.
    fn head(&self) -> [u8; SIGNED_BYTES] {
        let mut head = [0; SIGNED_BYTES];
        let flags = if self.signature.is_some() { SIGNED } else { 0 };
        let fields = MAGIC.into_iter().chain(FORMAT.to_le_bytes()).chain(flags.to_le_bytes());
        let fields = fields.chain(self.version.to_le_bytes()).chain(self.length.to_le_bytes()).chain(self.digest);
        put(&mut head, fields);
        let crc = head.first_chunk::<CHECKED_BYTES>().map_or(0, |checked| checksum([checked.as_slice()]));
        if let Some(last) = head.last_chunk_mut::<4>() {
            *last = crc.to_le_bytes();
        }
        head
    }

    /// As it stands before the blob.
    pub fn bytes(&self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        put(&mut bytes, self.head().into_iter().chain(self.signature.unwrap_or([0; 64])));
        bytes
    }

    /// Reads a manifest. Whether its signature is right says [`verify`](Self::verify).
    ///
    /// # Errors
    /// [`UpdateError::Manifest`] if it is of another format or damaged: every bit counts.
    pub fn parse(bytes: &[u8; BYTES]) -> Result<Self, UpdateError> {
        Self::decode(bytes).filter(|manifest| manifest.bytes() == *bytes).ok_or(UpdateError::Manifest)
    }

    /// The fields, whatever stands between them.
    fn decode(bytes: &[u8; BYTES]) -> Option<Self> {
        let (prefix, rest) = bytes.split_first_chunk::<16>()?;
        let (digest, _) = rest.split_first_chunk::<64>()?;
        let (_, signature) = bytes.split_last_chunk::<64>()?;
        let [_, _, _, _, _, _, f0, f1, v0, v1, v2, v3, l0, l1, l2, l3] = *prefix;
        Some(Self {
            version: u32::from_le_bytes([v0, v1, v2, v3]),
            length: u32::from_le_bytes([l0, l1, l2, l3]),
            digest: *digest,
            signature: (u16::from_le_bytes([f0, f1]) == SIGNED).then_some(*signature),
        })
    }

    /// Whether a program with this key may take it; a program without a key takes any.
    ///
    /// # Errors
    /// [`UpdateError::Unsigned`] or [`UpdateError::Signature`].
    pub fn verify(&self, key: Option<&PublicKey>) -> Result<(), UpdateError> {
        let Some(key) = key else { return Ok(()) };
        let signature = self.signature.as_ref().ok_or(UpdateError::Unsigned)?;
        if key.verify(&self.head(), signature) { Ok(()) } else { Err(UpdateError::Signature) }
    }
}

/// SHA-512 of a blob.
#[inline(never)]
pub fn digest(blob: &[u8]) -> [u8; 64] {
    Hash::hash(blob)
}

fn put(bytes: &mut [u8], fields: impl Iterator<Item = u8>) {
    bytes.iter_mut().zip(fields).for_each(|(byte, field)| *byte = field);
}
