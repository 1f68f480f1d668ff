//! x86-64 hosts.
pub(crate) use super::portable::{W4, W8, W16, line, mul_high};
