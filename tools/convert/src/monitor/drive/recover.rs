//! Connects again where the line broke, and goes on where the board is.

use super::beside::step;
use super::{BLINK, Driver};
use crate::monitor::event::Event;
use cellstate_app::protocol::Reason;
use cellstate_link::{Device, LinkError, Port, Settings};
use std::time::Instant;

impl<P: Port> Driver<'_, P> {
    /// Connects again, if that is what helps.
    pub(super) fn recover(&mut self, error: &LinkError, each: &mut dyn FnMut(Event)) -> Result<(), String> {
        let restarted = matches!(error, LinkError::Restarted);
        match error {
            LinkError::Port(_) | LinkError::NoAnswer(_) | LinkError::Restarted | LinkError::Refused(Reason::Old) => {}
            _ => return Err(error.to_string()),
        }
        let since = *self.broke.get_or_insert_with(Instant::now);
        each(Event::Lost(error.to_string()));
        // Of a board that has restarted the line is whole.
        let mut kept = self.device.take();
        if !restarted && let Some(device) = kept.take() {
            self.closed(&device);
        }
        loop {
            if self.control.stopped() {
                return Ok(());
            }
            let why = match self.again(kept.take(), each) {
                Ok(()) => return Ok(()),
                Err(Again::Never(sentence)) => return Err(sentence),
                Err(Again::Later(sentence)) => sentence,
            };
            if since.elapsed() >= self.plan.patience {
                return Err(format!("{why}; it was lost, and not back within {} s", self.plan.patience.as_secs()));
            }
            std::thread::sleep(BLINK * 4);
        }
    }

    /// What went over a line stays counted.
    fn closed(&mut self, device: &Device<P>) {
        self.traffic = self.traffic + device.traffic();
    }

    /// Tries to connect again.
    fn again(&mut self, kept: Option<Device<P>>, each: &mut dyn FnMut(Event)) -> Result<(), Again> {
        // The deadline is the caller's; each attempt is a short one.
        let settings = Settings { attempts: self.plan.settings.attempts.min(3), ..self.plan.settings };
        let mut device = match kept {
            Some(device) => device,
            None => Device::connect((self.open)().map_err(Again::Later)?, settings)?,
        };
        // Of a line that was kept it says hello again; of a new one that costs little.
        let counted = device.reconnect().and_then(|()| device.counts());
        let accepted = match counted {
            Ok(counts) => counts.accepted,
            Err(error) => {
                self.closed(&device);
                return Err(error.into());
            }
        };
        let ready = *device.board();
        if ready.model != self.board.ready.model {
            let (now, before) = (ready.model, self.board.ready.model);
            return Err(Again::Never(format!(
                "the board came back with the model {now:08x} instead of {before:08x}; start again"
            )));
        }
        device.pipeline().settings().attempts = self.plan.settings.attempts;
        // Answers on their way are lost; what was executed of them, the board has counted.
        let stepped = u64::from(accepted.wrapping_sub(self.base).wrapping_sub(self.settled as u32));
        let restarted = stepped > self.next - self.settled;
        let unheard = if restarted { 0 } else { stepped };
        for index in self.settled..self.settled + unheard {
            let sample = self.plan.samples.at(index);
            if let Some(host) = &mut self.host {
                step(host, sample.step, sample.counts);
            }
        }
        self.settled += unheard;
        self.next = self.settled;
        self.asked.clear();
        if restarted {
            self.base = accepted.wrapping_sub(self.settled as u32);
            if let Some(host) = &mut self.host {
                host.reset();
            }
        }
        self.device = Some(device);
        self.rest();
        each(Event::Back { restarted, unheard });
        each(Event::Sent(self.next));
        Ok(())
    }
}

/// Why it is not connected again.
enum Again {
    /// Try later.
    Later(String),
    /// Trying does not help.
    Never(String),
}

impl From<LinkError> for Again {
    fn from(error: LinkError) -> Self {
        match error {
            LinkError::Version(_) => Self::Never(error.to_string()),
            _ => Self::Later(error.to_string()),
        }
    }
}
