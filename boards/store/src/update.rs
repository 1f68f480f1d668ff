//! An update as it comes in: its bytes from the first on, in pieces, until all of it is verified.

use serde::{Deserialize, Serialize};

/// Takes an update. The model that is in use stays as it is until [`finish`](Self::finish) has verified all of the new one.
pub trait Updates {
    /// Begins an update of so many bytes, and forgets one that was begun before.
    ///
    /// # Errors
    /// [`UpdateError`] says why there is no room for it.
    fn begin(&mut self, bytes: u32) -> Result<(), UpdateError>;

    /// Takes the bytes from `offset` on, which follow on those that are here; such as are here already are passed over, so that
    /// a piece may come again.
    ///
    /// # Errors
    /// [`UpdateError`] says why they were not taken; the update can go on from the bytes that are here.
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), UpdateError>;

    /// Bytes of the update that are here.
    fn received(&self) -> u32;

    /// Verifies and activates the update; gives its version.
    ///
    /// # Errors
    /// [`UpdateError`] says what is wrong with it; the old model stays.
    fn finish(&mut self) -> Result<u32, UpdateError>;
}

/// Why an update was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum UpdateError {
    /// This program takes no updates.
    Unsupported,
    /// Nothing was begun.
    NotBegun,
    /// It must fit a slot, and have all of its parts.
    Length,
    /// Bytes between those that are here and the offset are missing.
    Gap,
    /// It must begin with a manifest of this format.
    Manifest,
    /// A key is set, and the update must be signed.
    Unsigned,
    /// The signature must be by the key that is set.
    Signature,
    /// The bytes must have the digest that the manifest gives.
    Digest,
    /// The version must be above that of any model that is stored.
    Downgrade,
    /// The blob must load.
    Model,
    /// The model must fit the state and the inputs that the program has.
    Shape,
    /// The model must have test vectors and pass them on this core.
    SelfTest,
    /// The flash memory failed.
    Flash,
    /// The model that was activated must be running, after a restart, before another one is taken.
    Restart,
    /// The model that runs must be confirmed or rolled back first: what it would be rolled back to is where an update goes.
    Trial,
}

impl core::fmt::Display for UpdateError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            UpdateError::Unsupported => "the program takes no updates",
            UpdateError::NotBegun => "no update was begun",
            UpdateError::Length => "its length is not the one that its manifest gives, or it does not fit a slot",
            UpdateError::Gap => "bytes before these are missing",
            UpdateError::Manifest => "it does not begin with a manifest, or that is damaged",
            UpdateError::Unsigned => "it is not signed, and the program has a key",
            UpdateError::Signature => "it is signed with another key, or damaged",
            UpdateError::Digest => "the model does not have the digest that the manifest gives",
            UpdateError::Downgrade => "its version is not above that of every model before",
            UpdateError::Model => "the model does not load",
            UpdateError::Shape => "the model's inputs or state do not fit the program",
            UpdateError::SelfTest => "the model has no test vectors, or gives other bits on this core",
            UpdateError::Flash => "the flash memory could not be read or written",
            UpdateError::Restart => "the update before it does not run yet: restart the program",
            UpdateError::Trial => "the model that runs is on trial: it must be confirmed or rolled back",
        })
    }
}

impl core::error::Error for UpdateError {}

impl<T: Updates> Updates for &mut T {
    fn begin(&mut self, bytes: u32) -> Result<(), UpdateError> {
        T::begin(self, bytes)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        T::write(self, offset, bytes)
    }

    fn received(&self) -> u32 {
        T::received(self)
    }

    fn finish(&mut self) -> Result<u32, UpdateError> {
        T::finish(self)
    }
}

/// No updates.
impl Updates for () {
    fn begin(&mut self, _: u32) -> Result<(), UpdateError> {
        Err(UpdateError::Unsupported)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), UpdateError> {
        Err(UpdateError::Unsupported)
    }

    fn received(&self) -> u32 {
        0
    }

    fn finish(&mut self) -> Result<u32, UpdateError> {
        Err(UpdateError::Unsupported)
    }
}
