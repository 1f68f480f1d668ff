//! The predictor's rules, once more and plainly: what a board with samples and gaps should come to.

use cellstate::Session;
use cellstate_app::debounce::Debounce;
use cellstate_app::predictor::{Decision, Predicted, Rules, class};
use cellstate_app::sensor::Fault;

/// A session on the host, and what the board should have counted.
pub(crate) struct Replay<'a> {
    pub(crate) session: Session<'a>,
    pub(crate) counts: Predicted,
    rules: Rules,
    debounce: Debounce,
    /// The last good reading, and the samples since.
    last: Option<Vec<i16>>,
    gap: u32,
}

impl<'a> Replay<'a> {
    pub(crate) fn new(session: Session<'a>, rules: Rules) -> Self {
        let debounce = Debounce::new(rules.debounce);
        Self { session, counts: Predicted::default(), rules, debounce, last: None, gap: 0 }
    }

    /// What the board should decide; `latency` is for it to say.
    pub(crate) fn take(&mut self, index: u32, reading: Result<&[i16], Fault>, latency: u32) -> Option<Decision> {
        let Ok(counts) = reading else {
            self.gap += 1;
            self.counts.faults += 1;
            return None;
        };
        match self.last.take() {
            Some(last) if self.gap <= self.rules.bridge => {
                (0..self.gap).for_each(|_| self.input(&last));
                self.counts.bridged += self.gap;
            }
            Some(_) => {
                self.session.reset();
                self.debounce.reset();
                self.counts.resets += 1;
            }
            None => {}
        }
        (self.last, self.gap) = (Some(counts.to_vec()), 0);
        self.input(counts);
        self.counts.accepted += 1;
        let class = class(&self.session.output());
        let changed = self.debounce.step(class);
        Some(Decision { index, class, decided: self.debounce.decided(), changed, latency })
    }

    fn input(&mut self, counts: &[i16]) {
        // The board refuses a model of other inputs.
        let _ = self.session.step_i16(counts);
    }
}
