#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| cellstate_targets::blob::sealed(bytes));
