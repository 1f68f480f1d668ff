//! A saved state on its way: a copy that is told in pieces, or one that comes in pieces and is put back when it is whole.

use crate::protocol::{PIECE, Piece, StateError};
use cellstate::Session;

/// Room for one saved state of up to `N` bytes.
#[derive(Debug)]
pub struct Staging<const N: usize> {
    bytes: [u8; N],
    len: usize,
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    Nothing,
    /// The session's, whole.
    Saved,
    /// The host's, up to here.
    Loaded,
}

impl<const N: usize> Default for Staging<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Staging<N> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self { bytes: [0; N], len: 0, holds: Holds::Nothing }
    }

    /// Forgets what is here.
    pub fn clear(&mut self) {
        (self.len, self.holds) = (0, Holds::Nothing);
    }

    /// Copies the session's state; gives its bytes.
    ///
    /// # Errors
    /// [`StateError::Room`] if it does not fit.
    pub fn save(&mut self, session: &Session) -> Result<u32, StateError> {
        self.clear();
        self.len = session.save(&mut self.bytes).map_err(|_| StateError::Room)?;
        self.holds = Holds::Saved;
        Ok(self.len as u32)
    }

    /// The bytes of the copy from `offset` on, up to [`PIECE`].
    ///
    /// # Errors
    /// [`StateError::Nothing`] if there is no copy, [`StateError::Gap`] if the offset is not within it.
    pub fn read(&self, offset: u32) -> Result<Piece, StateError> {
        if self.holds != Holds::Saved {
            return Err(StateError::Nothing);
        }
        let rest = self.bytes.get(..self.len).and_then(|saved| saved.get(offset as usize..));
        let rest = rest.filter(|rest| !rest.is_empty()).ok_or(StateError::Gap)?;
        let piece = rest.get(..PIECE).unwrap_or(rest);
        Piece::from_slice(piece).map_err(|_| StateError::Gap)
    }

    /// Takes the bytes from `offset` on; 0 begins anew. Gives the number of bytes that are here.
    ///
    /// # Errors
    /// [`StateError::Gap`] if they do not follow those that are here, [`StateError::Room`] if they do not fit; those that are here
    /// stay.
    pub fn load(&mut self, offset: u32, piece: &[u8]) -> Result<u32, StateError> {
        if offset == 0 {
            self.clear();
            self.holds = Holds::Loaded;
        }
        if self.holds != Holds::Loaded || offset as usize != self.len {
            return Err(StateError::Gap);
        }
        let place = self.bytes.get_mut(self.len..).and_then(|rest| rest.get_mut(..piece.len()));
        for (slot, byte) in place.ok_or(StateError::Room)?.iter_mut().zip(piece) {
            *slot = *byte;
        }
        self.len += piece.len();
        Ok(self.len as u32)
    }

    /// Puts the loaded state in the place of the session's.
    ///
    /// # Errors
    /// [`StateError`] says why not; the session's is as it was.
    pub fn restore(&self, session: &mut Session) -> Result<(), StateError> {
        if self.holds != Holds::Loaded {
            return Err(StateError::Nothing);
        }
        Ok(session.restore(self.bytes.get(..self.len).unwrap_or_default())?)
    }
}
