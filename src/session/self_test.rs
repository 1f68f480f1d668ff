//! The self-test: the samples that travel in the blob, and the checksum of what the model gives on them.
//!
//! [`Checksum`] is its one home: the converter stores it, and every core must find the same.

use super::Session;
use crate::model::crc32;

/// CRC-32 of what a session gives: at each step the values of every output that is new, output by output, as 32-bit integers;
/// at the end the whole state.
#[derive(Clone)]
pub struct Checksum(crc::Digest<'static, u32>);

impl Checksum {
    /// Of nothing yet.
    pub fn new() -> Self {
        Self(crc32())
    }

    /// Takes in what the latest step made.
    pub fn observe(&mut self, session: &Session) {
        for head in 0..session.model.header().heads.len() {
            let output = session.head(head);
            if output.is_new() {
                output.iter().for_each(|value| self.0.update(&value.to_le_bytes()));
            }
        }
    }

    /// Takes in the state as it is, and ends.
    pub fn finish(mut self, session: &Session) -> u32 {
        self.0.update(bytemuck::cast_slice(&*session.words));
        self.0.finalize()
    }
}

impl Default for Checksum {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a self-test did not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum SelfTestError {
    /// The blob must have test vectors: `cellstate convert` writes them unless `--self-test` is 0.
    NoVectors,
    /// This core must give the bits that the converter's host gave.
    Mismatch {
        /// The checksum in the blob.
        expected: u32,
        /// That of what this core gave.
        found: u32,
    },
}

impl core::fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            SelfTestError::NoVectors => write!(f, "the blob has no test vectors"),
            SelfTestError::Mismatch { expected, found } => {
                write!(f, "the checksum must be {expected:08x} and is {found:08x}")
            }
        }
    }
}

impl core::error::Error for SelfTestError {}

impl Session<'_> {
    /// Steps the samples that travel in the blob and compares all that comes out with what the converter's host gave: whether
    /// this build, on this core, gives the right bits. Begins with the initial state and ends with it, whatever was found.
    ///
    /// ```
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # use cellstate::{Aligned, Model, Session, State};
    /// # static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!("../../tests/models/watch/watch.cell"));
    /// let model = Model::parse(&BLOB.0)?;
    /// let mut state = State::<316>::new();
    /// let mut session = Session::new(&model, &mut state)?;
    /// session.self_test()?; // once, after power-up; then the first sample
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`SelfTestError`] says whether there was nothing to compare with, or what was found.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let expected = self.model.test_checksum().ok_or(SelfTestError::NoVectors)?;
        self.reset();
        let mut checksum = Checksum::new();
        for (stream, sample) in self.model.test_samples() {
            // Each has as many features as its stream, if there is such a stream.
            if self.step_stream(stream, sample).is_ok() {
                checksum.observe(self);
            }
        }
        let found = checksum.finish(self);
        self.reset();
        if found == expected { Ok(()) } else { Err(SelfTestError::Mismatch { expected, found }) }
    }
}
