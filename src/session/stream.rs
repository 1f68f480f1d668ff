//! Which of a model's input streams: nothing at all in builds that have but one.

/// A stream's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stream {
    #[cfg(feature = "layers")]
    number: usize,
}

impl Stream {
    /// The first, or only one.
    pub(super) const FIRST: Self = Self {
        #[cfg(feature = "layers")]
        number: 0,
    };

    /// Stream `number`, if this build has it.
    #[inline(always)]
    #[allow(clippy::unnecessary_wraps, reason = "a build with one stream has no others")]
    pub(super) const fn new(number: usize) -> Option<Self> {
        #[cfg(feature = "layers")]
        return Some(Self { number });
        #[cfg(not(feature = "layers"))]
        if number == 0 { Some(Self {}) } else { None }
    }

    /// Its number.
    #[inline(always)]
    pub(super) const fn number(self) -> usize {
        #[cfg(feature = "layers")]
        return self.number;
        #[cfg(not(feature = "layers"))]
        0
    }
}
