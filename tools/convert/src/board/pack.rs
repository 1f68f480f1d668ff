//! A pack of trials: what `boards/bench` finds in its memory. `boards/app/src/trial.rs` reads it.

use cellstate_app::trial::PACK_PREFIX;

/// Blobs, each with its number of steps, or with [`SELF_TEST`](cellstate_app::trial::SELF_TEST).
pub fn pack<'a>(trials: impl IntoIterator<Item = (u32, &'a [u8])>) -> Vec<u8> {
    let mut out = vec![0; PACK_PREFIX];
    for (steps, blob) in trials {
        out.extend(steps.to_le_bytes());
        out.extend((blob.len() as u32).to_le_bytes());
        out.extend(blob);
        out.resize(out.len().next_multiple_of(4), 0);
    }
    let len = (out.len() as u32).to_le_bytes();
    out[..PACK_PREFIX].copy_from_slice(&len);
    out
}
