//! What can go wrong between host and board.

use cellstate_app::protocol::{Reason, StateError, VERSION, Version};
use cellstate_store::update::UpdateError;
use std::time::Duration;

/// Why the board did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LinkError {
    /// The port does not open.
    #[error("{name}: {cause}; a port is a device such as /dev/ttyACM0 or COM3, unix:PATH or tcp:HOST:PORT")]
    Open {
        /// The port's name.
        name: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The port failed, or closed.
    #[error("the port failed: {0}; look at the cable, or at the emulator")]
    Port(#[from] std::io::Error),
    /// Nothing came in all that time.
    #[error(
        "the board does not answer within {0:?}; is it on, at this port and baud rate, and does its program serve the link?"
    )]
    NoAnswer(Duration),
    /// The board speaks another version.
    #[error(
        "the board speaks version {0} of the protocol and this program {VERSION}; use a program of the board's version"
    )]
    Version(Version),
    /// The board began anew since it was connected, and its state with it.
    #[error("the board has restarted, and its state is the initial one; connect again")]
    Restarted,
    /// A command was refused.
    #[error("the board refuses: {}", cause(*.0))]
    Refused(Reason),
    /// A message that does not belong there.
    #[error("the board answers with what was not asked: {0}")]
    Unexpected(String),
    /// What is to be sent is longer than any message.
    #[error("a sample of {0} values does not fit a message, which takes {max}", max = cellstate_app::link::MAX_FEATURES)]
    TooLong(usize),
}

/// In words, with a remedy.
fn cause(reason: Reason) -> &'static str {
    match reason {
        Reason::Unconnected => "nobody said hello since it started; connect again",
        Reason::Old => "the command was executed before, and its outcome is forgotten; connect again",
        Reason::Unknown => "its version of the protocol has no such message; update its program",
        Reason::Shape => {
            "the sample does not have one value for each of the model's features, or the model has too many outputs"
        }
        Reason::State(error) => match error {
            StateError::Room => "its program has no room for a saved state",
            StateError::Nothing => "no state was saved or loaded before",
            StateError::Gap => "bytes of the state are missing; begin again at the first",
            StateError::Length => "the state does not have the bytes of this model's",
            StateError::OtherModel => "the state was saved with another model",
            StateError::Checksum => "the saved state is damaged",
        },
        Reason::Update(error) => update(error),
    }
}

fn update(error: UpdateError) -> &'static str {
    match error {
        UpdateError::Unsupported => "its program takes no updates",
        UpdateError::NotBegun => "no update was begun",
        UpdateError::Length => "the update does not fit a slot, or lacks parts",
        UpdateError::Gap => "bytes of the update are missing; go on from those that are there",
        UpdateError::Manifest => "the update does not begin with a manifest that it knows",
        UpdateError::Unsigned => "the update must be signed",
        UpdateError::Signature => "the update is not signed with the board's key",
        UpdateError::Digest => "the update was altered",
        UpdateError::Downgrade => "the update is not newer than what the board has",
        UpdateError::Model => "the update's model does not load",
        UpdateError::Shape => "the update's model does not fit the program",
        UpdateError::SelfTest => "the update's model fails its self-test, or has none",
        UpdateError::Flash => "its flash memory failed",
        _ => "the update is wrong in a way that this program does not know",
    }
}
