//! The outcomes of the latest commands, so that one whose answer was lost is answered again and not executed again.

use crate::link::Body;
use crate::protocol::OUTCOMES;

/// A command's turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It is the next to be executed.
    Next,
    /// It was executed, and its outcome is here.
    Again,
    /// Others must come before.
    Early,
    /// It was executed long ago.
    Old,
}

/// What the last [`OUTCOMES`] commands were answered with.
#[derive(Debug)]
pub struct Outcomes {
    next: u16,
    /// How many are here.
    kept: u16,
    bodies: [Body; OUTCOMES],
}

impl Default for Outcomes {
    fn default() -> Self {
        Self::new()
    }
}

impl Outcomes {
    /// Waits for command 0.
    pub const fn new() -> Self {
        Self { next: 0, kept: 0, bodies: [const { Body::new() }; OUTCOMES] }
    }

    /// Waits for command 0 again.
    pub fn clear(&mut self) {
        (self.next, self.kept) = (0, 0);
    }

    /// The command that is waited for. After 65535 comes 0.
    pub fn next(&self) -> u16 {
        self.next
    }

    /// Whether it is this command's turn.
    pub fn turn(&self, number: u16) -> Turn {
        let behind = self.next.wrapping_sub(number);
        match behind {
            0 => Turn::Next,
            _ if behind <= self.kept => Turn::Again,
            _ if behind > u16::MAX / 2 => Turn::Early,
            _ => Turn::Old,
        }
    }

    /// The place for the outcome of the command that is waited for. It is executed now.
    pub fn executed(&mut self) -> &mut Body {
        let slot = usize::from(self.next) % OUTCOMES;
        self.next = self.next.wrapping_add(1);
        self.kept = (self.kept + 1).min(OUTCOMES as u16);
        self.at(slot)
    }

    /// The outcome of a command that was executed.
    pub fn outcome(&mut self, number: u16) -> &Body {
        self.at(usize::from(number) % OUTCOMES)
    }

    fn at(&mut self, slot: usize) -> &mut Body {
        // The remainder is below the number of bodies, which the compiler sees.
        &mut self.bodies[slot % OUTCOMES]
    }
}
