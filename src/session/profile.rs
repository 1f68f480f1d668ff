//! Where a step's time goes.

/// Is told when each layer begins and ends, so that a timer may be read. See [`Session::step_profiled`](super::Session::step_profiled).
///
/// A step that is not profiled has none of this in its code.
pub trait Profile {
    /// Layer `layer` begins, on one step of a streaming model or on all of a window.
    fn begin(&mut self, layer: usize);

    /// It ended.
    fn end(&mut self, layer: usize);
}

/// No profile.
impl Profile for () {
    #[inline(always)]
    fn begin(&mut self, _: usize) {}

    #[inline(always)]
    fn end(&mut self, _: usize) {}
}
