//! `cargo xtask motes`: readings of real sensor motes into an emulated thermometer.

use crate::inject::{Example, Figures, value};
use anyhow::{Result, bail};
use cellstate::Session;
use cellstate_app::mote::RULES;
use cellstate_app::predictor::Decision;
use cellstate_convert::data::Sequence;

/// 1.0 of the forecast in counts.
const FORECAST_COUNTS: f64 = 16.0;

const EXAMPLE: Example = Example {
    name: "motes",
    device: "tmp105,id=sensor,address=0x48,bus=i2c",
    properties: &[("temperature", millidegrees)],
    rules: RULES,
};

/// Builds, runs and prints.
pub(crate) fn run() -> Result<()> {
    EXAMPLE.run::<Motes>()
}

/// What the emulator takes for a temperature of so many sixteenths of a degree; it rounds towards zero.
fn millidegrees(count: i16) -> i64 {
    (i64::from(count) * 125 + 1).div_euclid(2)
}

/// Events and forecasts.
#[derive(Debug, Default)]
struct Motes {
    /// Readings that the model takes for part of an event, those of them that are, and how often an event was announced.
    flagged: u32,
    flagged_rightly: u32,
    alarms: u32,
    all: Errors,
    quiet: Errors,
}

/// Errors of the next reading in counts.
#[derive(Debug, Default)]
struct Errors {
    count: f64,
    forecast: f64,
    last_value: f64,
}

impl Errors {
    fn observe(&mut self, difference: f64, forecast: f64) {
        self.count += 1.0;
        self.forecast += (difference - forecast).powi(2);
        self.last_value += difference.powi(2);
    }

    /// Roots of the mean squares: of the forecast, and of the last value.
    fn rms(&self) -> String {
        let rms = |sum: f64| (sum / self.count.max(1.0)).sqrt();
        format!("{:.4}, last value {:.4}", rms(self.forecast), rms(self.last_value))
    }
}

impl Figures for Motes {
    fn observe(&mut self, mote: &Sequence, t: usize, decision: &Decision, session: &Session) -> Result<()> {
        let event = mote.label(t) == Some(1);
        if t + 1 < mote.len() {
            let ([now], [next]) = (mote.step(t), mote.step(t + 1)) else { bail!("sample {t} is not one temperature") };
            let difference = next - now;
            let forecast = FORECAST_COUNTS * value(session, 1)?;
            self.all.observe(difference, forecast);
            if !event && mote.label(t + 1) != Some(1) {
                self.quiet.observe(difference, forecast);
            }
        }
        self.flagged += u32::from(decision.class == 1);
        self.flagged_rightly += u32::from(decision.class == 1 && event);
        self.alarms += u32::from(decision.changed && decision.decided == Some(1));
        Ok(())
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("readings flagged as event, rightly", format!("{}, {}", self.flagged, self.flagged_rightly)),
            ("events announced", self.alarms.to_string()),
            ("RMSE of the next reading, counts", self.all.rms()),
            ("RMSE without events", self.quiet.rms()),
        ]
    }
}
