//! The frames between host and board: a zero byte, COBS of a number, a message and the CRC-32 of both, and a zero byte.
//!
//! The number says which of the host's commands is meant, or answered; what it means is the service's. A damaged frame is an error
//! value. The next zero byte begins afresh, and every frame begins with one: whatever was on the line before, it is understood.

use cellstate::model::checksum;
use cobs::{CobsEncoder, DecodeResult, DecoderState};
use serde::{Deserialize, Serialize};

/// The most features that a sample on the link may have.
pub const MAX_FEATURES: usize = 64;
/// The most outputs, of all heads together, that a prediction on the link may have.
pub const MAX_OUTPUTS: usize = 32;
/// The longest frame, its zero bytes included.
pub const MAX_FRAME: usize = 256;
/// The longest message before framing.
pub const MAX_BODY: usize = 240;
/// A message with its number before it and its checksum behind.
const MAX_PLAIN: usize = 2 + MAX_BODY + 4;

/// Room for an encoded message.
pub type Body = heapless::Vec<u8, MAX_BODY>;

/// An encoded message and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// Of the command that this is, or that it answers.
    pub number: u16,
    /// The message as postcard encodes it.
    pub body: &'a [u8],
}

impl Message<'_> {
    /// The message itself.
    ///
    /// # Errors
    /// [`FrameError::Message`] if it is none of this type, or has bytes left over.
    pub fn decode<T: for<'de> Deserialize<'de>>(&self) -> Result<T, FrameError> {
        match postcard::take_from_bytes(self.body) {
            Ok((message, [])) => Ok(message),
            _ => Err(FrameError::Message),
        }
    }
}

/// Why a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FrameError {
    /// Longer than [`MAX_FRAME`].
    TooLong,
    /// Not valid COBS, or too short for a number and a checksum.
    Framing,
    /// The checksum does not match.
    Checksum,
    /// The message does not decode, or is too large to encode.
    Message,
}

/// Where postcard writes a message. Its own slice flavor can panic, as far as the compiler sees; this cannot.
struct Into<'a>(&'a mut Body);

impl postcard::ser_flavors::Flavor for Into<'_> {
    type Output = ();

    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte).map_err(|_| postcard::Error::SerializeBufferFull)
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

/// Encodes a message in place of what was in `body`.
///
/// # Errors
/// [`FrameError::Message`] if the message is longer than [`MAX_BODY`].
pub fn encode(message: &impl Serialize, body: &mut Body) -> Result<(), FrameError> {
    body.clear();
    postcard::serialize_with_flavor(message, Into(body)).map_err(|_| FrameError::Message)
}

/// Writes a message as a frame to the front of `out`; returns the frame's length.
///
/// # Errors
/// [`FrameError::Message`] if the message is longer than [`MAX_BODY`].
pub fn frame(message: Message, out: &mut [u8; MAX_FRAME]) -> Result<usize, FrameError> {
    let (first, rest) = out.split_first_mut().ok_or(FrameError::Message)?;
    *first = 0;
    let Message { number, body } = message;
    if body.len() > MAX_BODY {
        return Err(FrameError::Message);
    }
    let number = number.to_le_bytes();
    let crc = checksum([&number, body]).to_le_bytes();
    let mut encoder = CobsEncoder::new(&mut *rest);
    let pushed = [&number, body, &crc].into_iter().try_for_each(|part| encoder.push(part));
    pushed.map_err(|_| FrameError::Message)?;
    let len = encoder.finalize();
    *rest.get_mut(len).ok_or(FrameError::Message)? = 0;
    Ok(len + 2)
}

/// Collects bytes into frames.
#[derive(Debug)]
pub struct Receiver {
    state: DecoderState,
    plain: heapless::Vec<u8, MAX_PLAIN>,
    /// Whether the frame that ended is to be forgotten before the next byte.
    ended: bool,
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
        Self { state: DecoderState::Idle, plain: heapless::Vec::new(), ended: false, too_long: false }
    }

    /// Takes one byte; at the end of a frame returns its message or why it was refused. Empty frames are skipped.
    pub fn push(&mut self, byte: u8) -> Option<Result<Message<'_>, FrameError>> {
        if self.ended {
            (self.ended, self.too_long) = (false, false);
            self.plain.clear();
        }
        let fed = self.state.feed(byte);
        if byte == 0 {
            self.ended = true;
            return match fed {
                Ok(DecodeResult::NoData) => None,
                _ if self.too_long => Some(Err(FrameError::TooLong)),
                Ok(_) => Some(self.checked()),
                Err(_) => Some(Err(FrameError::Framing)),
            };
        }
        if let Ok(DecodeResult::DataContinue(byte)) = fed {
            self.too_long |= self.plain.push(byte).is_err();
        }
        None
    }

    fn checked(&self) -> Result<Message<'_>, FrameError> {
        let (message, crc) = self.plain.split_last_chunk::<4>().ok_or(FrameError::Framing)?;
        let (number, body) = message.split_first_chunk::<2>().ok_or(FrameError::Framing)?;
        if checksum([message]).to_le_bytes() != *crc {
            return Err(FrameError::Checksum);
        }
        Ok(Message { number: u16::from_le_bytes(*number), body })
    }
}
