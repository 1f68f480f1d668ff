//! The messages between host and board, version 1.0 of the protocol; `docs/protocol.md` is its description for whoever writes another
//! host.
//!
//! The order of an enum's variants and of a variant's fields is what is on the line. A minor version adds variants at the end; a major
//! one may change anything but the first two fields of `Hello` and of `Ready`.

use crate::link::{FrameError, MAX_FEATURES, MAX_OUTPUTS};
use crate::server::Stack;
use cellstate::RestoreError;
use cellstate_store::update::UpdateError;
use heapless::{String, Vec};
use serde::{Deserialize, Serialize};

/// The version that is here.
pub const VERSION: Version = Version { major: 1, minor: 0 };
/// Outcomes that a board keeps, and so the most commands that a host may have sent without an answer.
pub const OUTCOMES: usize = 8;
/// The most bytes of a state or an update in one message.
pub const PIECE: usize = 192;
/// The most bytes of a name; longer ones are cut.
pub const NAME: usize = 64;
/// The most layers in one message.
pub const LAYERS: usize = 32;

/// A piece of a state or an update.
pub type Piece = Vec<u8, PIECE>;
/// A sample of raw sensor counts.
pub type Sample = Vec<i16, MAX_FEATURES>;

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Both sides must have the same.
    pub major: u8,
    /// What one side has more than the other, it is told that is unknown.
    pub minor: u8,
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// What the host asks. All but `Hello` are commands, numbered by the host from 0 on, and each is executed once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you? Begins the numbers anew, unless the connection is the one that there is.
    Hello {
        /// The host's.
        version: Version,
        /// Any number that tells this connection from others.
        connection: u32,
    },
    /// Step on a sample of raw sensor counts.
    Sample(Sample),
    /// The same, and keep what the counter advanced in each layer.
    Profile(Sample),
    /// Begin a new sequence.
    Reset,
    /// Keep a copy of the state as it is.
    Save,
    /// A piece of that copy.
    Read {
        /// Bytes before it.
        offset: u32,
    },
    /// A piece of a state that is to be restored.
    Load {
        /// Bytes before it; 0 begins a new one.
        offset: u32,
        /// As many as there are, up to [`PIECE`].
        bytes: Piece,
    },
    /// Put the loaded state in the place of the present one.
    Restore,
    /// What the counter advanced in each layer of the latest profiled step.
    Layers {
        /// The first layer to tell of.
        first: u16,
    },
    /// What became of all frames?
    Counts,
    /// How much of the stack was needed?
    Stack,
    /// What is it called?
    Name(Named),
    /// Begin an update of the model.
    UpdateBegin {
        /// All of its bytes.
        bytes: u32,
    },
    /// A piece of the update.
    UpdateWrite {
        /// Bytes before it.
        offset: u32,
        /// As many as there are, up to [`PIECE`].
        bytes: Piece,
    },
    /// How much of the update is here?
    UpdateReceived,
    /// Verify and activate the update.
    UpdateFinish,
    /// Begin anew, as after power-up: with the model that is active then. The host must say `Hello` again.
    Restart,
}

/// The version and the connection that a `Hello` or a `Ready` begins with. Of another version there may be anything behind them.
pub fn greeting(body: &[u8]) -> Option<(Version, u32)> {
    // Both are the first of their kind.
    let fields = body.strip_prefix(&[0])?;
    Some(postcard::take_from_bytes(fields).ok()?.0)
}

/// What has a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Named {
    /// An output of a head.
    Output {
        /// The head, from 0.
        head: u8,
        /// The output, from 0.
        index: u16,
    },
    /// A feature of the samples, from 0.
    Feature(u16),
}

/// What the board answers.
#[allow(clippy::large_enum_variant, reason = "there is no heap to box a message on")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Hello`.
    Ready(Ready),
    /// To `Sample` and `Profile`.
    Prediction(Prediction),
    /// To `Reset`, `Restore` and `Restart`.
    Done,
    /// To `Save`: bytes of the copy.
    Saved(u32),
    /// To `Read`: as many as there are, up to [`PIECE`].
    Piece(Piece),
    /// To `Load`, `UpdateBegin`, `UpdateWrite` and `UpdateReceived`: bytes that are here.
    Received(u32),
    /// To `Layers`: up to [`LAYERS`] of them.
    Layers(Vec<u32, LAYERS>),
    /// To `Counts`.
    Counts(Counts),
    /// To `Stack`.
    Stack(Stack),
    /// To `Name`: UTF-8; empty if it has none.
    Name(String<NAME>),
    /// To `UpdateFinish`: the version that is active at the next start.
    Updated(u32),
    /// To a frame that was damaged, or came before its turn: the command with this frame's number is waited for.
    Missing,
    /// To a command that could not be served; the state is as it was.
    Refused(Reason),
}

/// The board, and the model on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// The board's.
    pub version: Version,
    /// The one that the `Hello` gave.
    pub connection: u32,
    /// The blob's CRC-32.
    pub model: u32,
    /// Features of a sample.
    pub inputs: u16,
    /// Outputs of all heads.
    pub outputs: u16,
    /// Heads.
    pub heads: u8,
    /// Layers.
    pub layers: u16,
    /// Bytes of state that the model uses.
    pub state_bytes: u32,
    /// Bytes of a saved state.
    pub saved_bytes: u32,
    /// The most commands that may be on their way without an answer.
    pub window: u8,
}

/// What a sample came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// The index of the largest output of the first head.
    pub argmax: u16,
    /// Whether this step brought a new output: a windowed model has one at a window's last sample.
    pub new: bool,
    /// All outputs, head by head, as integers.
    pub outputs: Vec<i32, MAX_OUTPUTS>,
    /// CRC-32 of all hidden and cell states.
    pub digest: u32,
    /// What the counter advanced during the step alone.
    pub ticks: u32,
    /// What it advanced from the last byte of the command until the decision, the index of the largest output, was known.
    pub latency: u32,
}

/// What became of all frames since the start: [`frames`](Self::frames) is the sum of [`commands`](Self::commands) and all below it
/// from [`repeated`](Self::repeated) on. Each counter begins at 0 again after 2^32 - 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Frames that had an end.
    pub frames: u32,
    /// Commands that were executed, each once.
    pub commands: u32,
    /// Of these: samples that were stepped and predicted.
    pub accepted: u32,
    /// Of these: such as were answered with [`Response::Refused`].
    pub refused: u32,
    /// Commands that came again, and were answered as before.
    pub repeated: u32,
    /// Commands that came before their turn.
    pub early: u32,
    /// Commands of which the outcome is no longer kept.
    pub old: u32,
    /// Commands before any `Hello`.
    pub unconnected: u32,
    /// `Hello`s.
    pub hellos: u32,
    /// Frames that were longer than any may be.
    pub too_long: u32,
    /// Frames that were not valid COBS, or too short.
    pub framing: u32,
    /// Frames with a checksum that does not match.
    pub checksum: u32,
}

impl Counts {
    /// Frames by what became of them.
    pub fn sum(&self) -> u32 {
        let Self { commands, repeated, early, old, unconnected, hellos, too_long, framing, checksum, .. } = *self;
        let all = [commands, repeated, early, old, unconnected, hellos, too_long, framing, checksum];
        all.into_iter().fold(0, u32::wrapping_add)
    }

    /// Counts a frame that was refused.
    pub(crate) fn damaged(&mut self, error: FrameError) {
        let counter = match error {
            FrameError::TooLong => &mut self.too_long,
            FrameError::Checksum => &mut self.checksum,
            FrameError::Framing | FrameError::Message => &mut self.framing,
        };
        *counter = counter.wrapping_add(1);
    }
}

/// Why a command was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// There was no `Hello` since the board started.
    Unconnected,
    /// The command was executed long ago, and its outcome is no longer kept.
    Old,
    /// This board does not know such a message.
    Unknown,
    /// The sample does not have the model's number of features, or the model has more outputs than a message holds.
    Shape,
    /// The state could not be saved, told or restored.
    State(StateError),
    /// The update was refused.
    Update(UpdateError),
}

/// Why a state could not be saved, told or restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StateError {
    /// This program has no room for it.
    Room,
    /// Nothing was saved or loaded before.
    Nothing,
    /// Bytes between those that are here and the offset are missing, or the offset is behind the last.
    Gap,
    /// It must have as many bytes as a saved state of this model.
    Length,
    /// It must have been saved with this very model.
    OtherModel,
    /// Its checksum must match.
    Checksum,
}

impl From<RestoreError> for StateError {
    fn from(error: RestoreError) -> Self {
        match error {
            RestoreError::OtherModel => Self::OtherModel,
            RestoreError::Checksum => Self::Checksum,
            _ => Self::Length,
        }
    }
}
