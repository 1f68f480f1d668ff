//! Time as the application sees it.

/// A clock that never stops.
pub trait Clock {
    /// Microseconds since some start. It wraps around after 71 minutes, which no interval here comes near.
    fn micros(&mut self) -> u32;
}

/// A clock whose processor can sleep.
pub trait Sleep: Clock {
    /// Sleeps for so many microseconds, or less.
    fn sleep(&mut self, micros: u32);
}
