//! The frames between host and board: COBS of a postcard message and its CRC-32, ended by a zero byte.
//!
//! A damaged frame is an error value; the next zero byte begins afresh.

use crate::server::Stack;
use cellstate::model::checksum;
use serde::{Deserialize, Serialize};

/// The most features that a sample on the link may have.
pub const MAX_FEATURES: usize = 64;
/// The most outputs that a prediction on the link may have.
pub const MAX_OUTPUTS: usize = 32;
/// The longest frame, its zero byte included.
pub const MAX_FRAME: usize = 256;
/// The longest message before framing: a byte of COBS overhead for every 254, the CRC and the zero byte are left.
const MAX_MESSAGE: usize = MAX_FRAME - 8;

/// What the host asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Who are you?
    Hello,
    /// Begin a new sequence.
    Reset,
    /// Step on a sample of raw sensor counts.
    Sample(heapless::Vec<i16, MAX_FEATURES>),
    /// How much of the stack was needed?
    Stack,
}

/// What the board answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Response {
    /// To `Hello`: the model on board.
    Ready {
        /// The blob's CRC-32.
        model: u32,
        /// Number of input features.
        inputs: u16,
        /// Bytes of state that the model uses.
        state_bytes: u32,
    },
    /// To `Reset`.
    Done,
    /// To `Sample`.
    Prediction {
        /// The index of the largest output.
        argmax: u16,
        /// All outputs.
        outputs: heapless::Vec<i32, MAX_OUTPUTS>,
        /// CRC-32 of all hidden and cell states.
        digest: u32,
        /// What the counter advanced during the step alone.
        ticks: u32,
        /// What it advanced from the last byte of the request until the decision, the index of the largest output, was known.
        latency: u32,
    },
    /// To `Stack`.
    Stack(Stack),
    /// To anything that could not be served; the state is as it was.
    Rejected(Reason),
}

/// Why a request was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The frame was damaged or too long.
    Frame(FrameError),
    /// The sample does not have the model's number of features, or the model has more outputs than a frame holds.
    Shape,
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    TooLong,
    /// Not valid COBS, or too short for a checksum.
    Framing,
    /// The checksum does not match.
    Checksum,
    /// The message does not decode, or is too large to encode.
    Message,
}

/// Where postcard writes a message. Its own slice flavor can panic, as far as the compiler sees; this cannot.
#[derive(Default)]
struct Plain(heapless::Vec<u8, MAX_MESSAGE>);

impl postcard::ser_flavors::Flavor for Plain {
    type Output = heapless::Vec<u8, MAX_MESSAGE>;

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte).map_err(|_| postcard::Error::SerializeBufferFull)
    }

    fn finalize(self) -> postcard::Result<Self::Output> {
        Ok(self.0)
    }
}

/// Writes a message as a frame to the front of `out`; returns its length.
///
/// # Errors
/// [`FrameError::Message`] if the message is too large.
pub fn encode<T: Serialize>(message: &T, out: &mut [u8; MAX_FRAME]) -> Result<usize, FrameError> {
    let message = postcard::serialize_with_flavor(message, Plain::default()).map_err(|_| FrameError::Message)?;
    let mut encoder = cobs::CobsEncoder::new(out);
    let pushed = encoder.push(&message).and_then(|()| encoder.push(&checksum([&*message]).to_le_bytes()));
    pushed.map_err(|_| FrameError::Message)?;
    let len = encoder.finalize();
    *out.get_mut(len).ok_or(FrameError::Message)? = 0;
    Ok(len + 1)
}

/// Collects bytes into frames.
#[derive(Debug)]
pub struct Receiver {
    buffer: heapless::Vec<u8, MAX_FRAME>,
    too_long: bool,
}

impl Default for Receiver {
    fn default() -> Self {
        Self::new()
    }
}

impl Receiver {
    /// Waits for the first byte of a frame.
    pub const fn new() -> Self {
        Self { buffer: heapless::Vec::new(), too_long: false }
    }

    /// Takes one byte; at the end of a frame returns its message or why it was refused. Empty frames are skipped.
    pub fn push<T: for<'de> Deserialize<'de>>(&mut self, byte: u8) -> Option<Result<T, FrameError>> {
        if byte != 0 {
            self.too_long |= self.buffer.push(byte).is_err();
            return None;
        }
        let result = if self.too_long { Err(FrameError::TooLong) } else { self.decode() };
        let empty = self.buffer.is_empty();
        self.buffer.clear();
        self.too_long = false;
        (!empty).then_some(result)
    }

    fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<T, FrameError> {
        let mut plain = [0; MAX_FRAME];
        let report = cobs::decode(&self.buffer, &mut plain).map_err(|_| FrameError::Framing)?;
        let plain = plain.get(..report.frame_size()).ok_or(FrameError::Framing)?;
        let (message, crc) = plain.split_last_chunk::<4>().ok_or(FrameError::Framing)?;
        if checksum([message]).to_le_bytes() != *crc {
            return Err(FrameError::Checksum);
        }
        match postcard::take_from_bytes(message) {
            Ok((value, [])) => Ok(value),
            _ => Err(FrameError::Message),
        }
    }
}
