//! Models that are replaced in the field, whatever happens to the power meanwhile.
//!
//! * [`update`]: an update as it comes in, in pieces, and why it is refused; what the link and the store agree on.

#![no_std]
#![forbid(unsafe_code)]

pub mod update;
