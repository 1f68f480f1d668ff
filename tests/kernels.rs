//! A million random steps over random shapes, by whatever kernels this build has.
//!
//! The checksum is the same with the feature `portable`, on every host, and on every emulated core: `cargo xtask test` runs
//! the same networks there.

use cellstate::State;
use cellstate_app::trial;
use cellstate_convert::random::{Rng, random};

mod common;

/// Of all steps' outputs and all last states. A change of the numeric contract or of the generator changes it.
const CHECKSUM: u32 = 0x6e0d_2b47;

#[test]
fn a_million_random_steps_have_the_known_checksum() {
    let mut state = Box::new(State::<{ trial::STATE_BYTES }>::new());
    let mut all = 0u32;
    for seed in 1..=500 {
        let (_, blob) = random(&mut Rng(seed));
        let words = common::aligned(&blob);
        let step = |session: &mut cellstate::Session, stream, x: &[_]| session.step_stream(stream, x).is_ok();
        let checksum = trial::run(common::bytes(&words, blob.len()), 2000, &mut state, step).unwrap();
        all = all.rotate_left(7).wrapping_add(checksum);
    }
    assert_eq!(all, CHECKSUM, "{all:#010x}");
}
