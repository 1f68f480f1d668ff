//! Registers of a peripheral.
#![allow(unsafe_code, reason = "memory-mapped registers")]

/// Words at a peripheral's address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers(usize);

impl Registers {
    /// # Safety
    /// The address is that of a peripheral of the board, which touches no memory, and whatever is read from or written to its
    /// registers does no harm.
    pub(crate) const unsafe fn at(address: usize) -> Self {
        Self(address)
    }

    /// Reads a word at so many bytes from the address.
    pub(crate) fn read(self, offset: usize) -> u32 {
        // SAFETY: `at` was promised that there is such a peripheral.
        unsafe { ((self.0 + offset) as *const u32).read_volatile() }
    }

    /// Writes one.
    pub(crate) fn write(self, offset: usize, value: u32) {
        // SAFETY: as above.
        unsafe { ((self.0 + offset) as *mut u32).write_volatile(value) }
    }
}

/// An interrupt of the Arm cores' controller.
#[cfg(target_arch = "arm")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line(pub(crate) u16);

// SAFETY: numbers are those of the boards' interrupts; every vector exists, and has the default handler at least.
#[cfg(target_arch = "arm")]
unsafe impl cortex_m::interrupt::InterruptNumber for Line {
    fn number(self) -> u16 {
        self.0
    }
}

#[cfg(target_arch = "arm")]
impl Line {
    /// Lets it end a `wfi`; interrupts are masked from now on, so that it is not served.
    pub(crate) fn wake(self) {
        cortex_m::interrupt::disable();
        self.serve();
    }

    /// Lets its handler run.
    pub(crate) fn serve(self) {
        // SAFETY: critical sections here mask all interrupts, and rely on none being masked by itself.
        unsafe { cortex_m::peripheral::NVIC::unmask(self) };
    }

    /// Lets it wait, seen or not.
    pub(crate) fn ignore(self) {
        cortex_m::peripheral::NVIC::mask(self);
    }

    /// It was seen.
    pub(crate) fn clear(self) {
        cortex_m::peripheral::NVIC::unpend(self);
    }
}
