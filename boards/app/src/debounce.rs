//! A decision that does not flicker.

/// Decides for a class when it came so often in a row.
#[derive(Clone, Copy, Debug)]
pub struct Debounce {
    needed: u16,
    candidate: u16,
    seen: u16,
    decided: Option<u16>,
}

impl Debounce {
    /// Decides after `needed` equal classes in a row; 0 and 1 decide at once.
    pub const fn new(needed: u16) -> Self {
        Self { needed, candidate: 0, seen: 0, decided: None }
    }

    /// Takes the class of a step; says whether the decision changed.
    pub fn step(&mut self, class: u16) -> bool {
        self.seen = if self.seen > 0 && class == self.candidate { self.seen.saturating_add(1) } else { 1 };
        self.candidate = class;
        let changes = self.seen >= self.needed && self.decided != Some(class);
        if changes {
            self.decided = Some(class);
        }
        changes
    }

    /// The class that was decided for; none at first and after a reset.
    pub fn decided(&self) -> Option<u16> {
        self.decided
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Self::new(self.needed);
    }
}
