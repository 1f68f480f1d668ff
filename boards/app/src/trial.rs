//! A trial: a blob stepped on pseudo-random samples, the same on the host and on every board, with a checksum of all that
//! came out.

use cellstate::{LoadError, Model, Session, State};
use fixed::types::I1F15;

/// Bytes of state that a trial gives its model.
pub const STATE_BYTES: usize = 8192;
/// The most features of a trial's model.
pub const MAX_INPUTS: usize = 64;

/// Bytes before the first trial of a pack: its length in bytes, all of it.
pub const PACK_PREFIX: usize = 4;
/// Bytes before each trial's blob: number of steps, and length of the blob.
pub const TRIAL_PREFIX: usize = 8;

/// Why a trial did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The blob was refused.
    Load(LoadError),
    /// The model needs more state, or more inputs, than a trial has.
    TooLarge,
}

/// Steps a blob on pseudo-random samples, extremes included; returns a checksum of every output of every step and of the
/// last states. `step` makes each step, and may look at it.
///
/// # Errors
/// [`Failure`] says what the blob lacks.
#[inline(never)]
pub fn run(
    blob: &[u8],
    steps: u32,
    state: &mut State<STATE_BYTES>,
    mut step: impl FnMut(&mut Session, &[I1F15]) -> bool,
) -> Result<u32, Failure> {
    let model = Model::parse(blob).map_err(Failure::Load)?;
    let mut session = Session::new(&model, state).map_err(|_| Failure::TooLarge)?;
    let mut sample = [I1F15::ZERO; MAX_INPUTS];
    let sample = sample.get_mut(..model.inputs()).ok_or(Failure::TooLarge)?;
    let mut random = 0x9E37_79B9u32;
    let mut checksum = 0u32;
    for _ in 0..steps {
        for x in &mut *sample {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            // One sample in sixteen is an extreme.
            *x = match random >> 27 {
                0 => I1F15::MAX,
                1 => I1F15::MIN,
                _ => I1F15::from_bits(random as i16),
            };
        }
        checksum = checksum.rotate_left(5) ^ u32::from(step(&mut session, sample));
        for y in session.output().iter() {
            checksum = checksum.rotate_left(5).wrapping_add(y as u32);
        }
    }
    Ok(checksum ^ session.digest())
}

/// The trials of a pack, first to last: number of steps and blob.
pub fn trials(pack: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    let mut rest = pack.get(PACK_PREFIX..).unwrap_or_default();
    core::iter::from_fn(move || {
        let (steps, after) = rest.split_first_chunk::<4>()?;
        let (length, after) = after.split_first_chunk::<4>()?;
        let length = u32::from_le_bytes(*length) as usize;
        let (blob, after) = after.split_at_checked(length)?;
        // Blobs begin at a multiple of 4.
        rest = after.get(length.wrapping_neg() & 3..).unwrap_or_default();
        Some((u32::from_le_bytes(*steps), blob))
    })
}
