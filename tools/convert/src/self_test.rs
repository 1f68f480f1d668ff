//! A blob's self-test, on the host or on an emulated board.

use crate::board::cores::Core;
use crate::board::emulate::{Failure, Look, Trial, run};
use crate::board::pack::pack;
use crate::eval::STATE_BYTES;
use cellstate::{Model, SelfTestError, Session, State};
use cellstate_app::trial;
use std::path::Path;
use std::time::Duration;

/// What a self-test found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Steps.
    pub steps: u16,
    /// The checksum in the blob.
    pub expected: u32,
    /// That of what came out.
    pub found: u32,
    /// On a board, instructions of the longest step, with a few for counting them.
    pub instructions: Option<u64>,
}

impl Outcome {
    /// Whether the bits are the right ones.
    pub fn passed(&self) -> bool {
        self.found == self.expected
    }
}

/// Why there was nothing to find.
#[derive(Debug, thiserror::Error)]
pub enum Untested {
    /// The blob has no vectors.
    #[error("the blob has no test vectors; convert the model again, without --self-test 0")]
    NoVectors,
    /// It wants more state than there is.
    #[error("the model needs {needed} bytes of state and there are {there}")]
    State {
        /// Bytes of the model.
        needed: usize,
        /// Bytes of the host or of the board's firmware.
        there: usize,
    },
    /// It is too large for the board.
    #[error("the blob has {bytes} bytes and the board room for {there}")]
    Flash {
        /// Bytes of the blob.
        bytes: usize,
        /// Bytes of the board.
        there: usize,
    },
    /// The board did not run.
    #[error(transparent)]
    Board(#[from] Failure),
}

/// On this host.
///
/// # Errors
/// [`Untested`] if there are no vectors, or the state is too large.
pub fn on_host(model: &Model) -> Result<Outcome, Untested> {
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session =
        Session::new(model, &mut state).map_err(|e| Untested::State { needed: e.needed, there: e.got })?;
    let expected = model.test_checksum().ok_or(Untested::NoVectors)?;
    let found = match session.self_test() {
        Err(SelfTestError::Mismatch { found, .. }) => found,
        _ => expected,
    };
    Ok(Outcome { steps: model.header().tests, expected, found, instructions: None })
}

/// On an emulated board with the firmware `elf`, for no longer than `limit`. `blob` is the model's.
///
/// # Errors
/// [`Untested`] if there are no vectors, the board is too small, or it did not run.
pub fn on_board(model: &Model, blob: &[u8], core: &Core, elf: &Path, limit: Duration) -> Result<Outcome, Untested> {
    let expected = model.test_checksum().ok_or(Untested::NoVectors)?;
    let needed = model.state_bytes();
    let there = core.state_bytes();
    if needed > there {
        return Err(Untested::State { needed, there });
    }
    let pack = pack([(trial::SELF_TEST, blob)]);
    if pack.len() > core.pack_bytes {
        let there = core.pack_bytes - (pack.len() - blob.len());
        return Err(Untested::Flash { bytes: blob.len(), there });
    }
    match run(core, elf, &pack, limit, Look::Count)?[..] {
        [Trial { checksum: found, counted, .. }] => {
            Ok(Outcome { steps: model.header().tests, expected, found, instructions: Some(counted) })
        }
        _ => Err(Failure::Firmware { core: core.name, said: "it ran no trial".to_owned() }.into()),
    }
}
