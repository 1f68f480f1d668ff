//! A trial: a blob stepped on pseudo-random samples, or on the test vectors that it holds, the same on the host and on every
//! board, with a checksum of all that came out.

use cellstate::session::Checksum;
use cellstate::{LoadError, Model, Session, State};
use fixed::types::I1F15;

/// Bytes of state that a trial gives its model.
pub const STATE_BYTES: usize = 8192;
/// The most features of a model that is stepped on pseudo-random samples.
pub const MAX_INPUTS: usize = 64;

/// Bytes before the first trial of a pack: its length in bytes, all of it.
pub const PACK_PREFIX: usize = 4;
/// Bytes before each trial's blob: number of steps, and length of the blob.
pub const TRIAL_PREFIX: usize = 8;
/// In place of a number of steps: the blob's own test vectors.
pub const SELF_TEST: u32 = 0;

/// Why a trial did not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The blob was refused.
    Load(LoadError),
    /// The model needs more state, or more inputs, than a trial has.
    TooLarge,
    /// A step was refused.
    Step,
}

/// Steps a blob on pseudo-random samples, extremes included, of all its streams, or as a [`SELF_TEST`]; returns the [`Checksum`] of all that came
/// out. `step` makes each step, may look at it, and says whether it was made.
///
/// # Errors
/// [`Failure`] says what the blob lacks.
#[inline(never)]
pub fn run<const N: usize>(
    blob: &[u8],
    steps: u32,
    state: &mut State<N>,
    mut step: impl FnMut(&mut Session, usize, &[I1F15]) -> bool,
) -> Result<u32, Failure> {
    let model = Model::parse(blob).map_err(Failure::Load)?;
    let mut session = Session::new(&model, state).map_err(|_| Failure::TooLarge)?;
    let mut checksum = Checksum::new();
    let mut next = |(stream, sample): (usize, &[I1F15])| {
        let done = step(&mut session, stream, sample);
        checksum.observe(&session);
        done
    };
    let done = if steps == SELF_TEST {
        model.test_samples().all(next)
    } else {
        let mut sample = [I1F15::ZERO; MAX_INPUTS];
        let sample = sample.get_mut(..model.inputs()).ok_or(Failure::TooLarge)?;
        let mut random = Random(0x9E37_79B9);
        (0..steps).all(|_| {
            for x in &mut *sample {
                *x = random.next();
            }
            // Streams by turns, some of them longer.
            let stream = if model.streams() > 1 { (random.0 >> 8) as usize % model.streams() } else { 0 };
            let width = model.header().stream_width(stream);
            sample.get(..width).is_some_and(|x| next((stream, x)))
        })
    };
    if done { Ok(checksum.finish(&session)) } else { Err(Failure::Step) }
}

/// Samples that follow from a seed.
struct Random(u32);

impl Random {
    /// One value in sixteen is an extreme.
    fn next(&mut self) -> I1F15 {
        let Self(random) = self;
        *random ^= *random << 13;
        *random ^= *random >> 17;
        *random ^= *random << 5;
        match *random >> 27 {
            0 => I1F15::MAX,
            1 => I1F15::MIN,
            _ => I1F15::from_bits(*random as i16),
        }
    }
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
