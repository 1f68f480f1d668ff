//! The pack in the memory that `build.rs` names.

/// All of it.
#[allow(unsafe_code, reason = "memory that the emulator filled")]
pub(crate) fn pack() -> &'static [u8] {
    // SAFETY: the emulator put a pack there, which begins with its length.
    unsafe { cellstate_qemu::loaded(const { address(env!("TRIALS")) }) }
}

const fn address(digits: &str) -> usize {
    let (mut value, mut k) = (0, 0);
    while k < digits.len() {
        value = value * 10 + (digits.as_bytes()[k] - b'0') as usize;
        k += 1;
    }
    value
}
