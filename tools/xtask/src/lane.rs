//! `cargo xtask lane`: a simulated lane with vehicles into an emulated magnetometer.

use crate::inject::{Example, Figures};
use anyhow::{Context, Result};
use cellstate::Session;
use cellstate_app::lane::RULES;
use cellstate_app::predictor::Decision;
use cellstate_convert::data::Sequence;

const EXAMPLE: Example = Example {
    name: "lane",
    device: "lsm303dlhc_mag,id=sensor,address=0x1e,bus=i2c",
    properties: &[("mag-x", across), ("mag-y", across), ("mag-z", down)],
    rules: RULES,
};

/// Builds, runs and prints.
pub(crate) fn run() -> Result<()> {
    EXAMPLE.run::<Lane>()
}

/// What the emulator takes for a field of so many counts along x or y, in nT; it rounds towards zero, and refuses what is negative.
fn across(count: i16) -> i64 {
    nanotesla(count, 1100)
}

/// The same along z.
fn down(count: i16) -> i64 {
    nanotesla(count, 980)
}

/// 100,000 nT are a gauss.
fn nanotesla(count: i16, counts_a_gauss: i64) -> i64 {
    let nanotesla = i64::from(count) * 100_000;
    nanotesla / counts_a_gauss + i64::from(nanotesla % counts_a_gauss > 0)
}

/// How often a reading with a vehicle was known as one.
#[derive(Debug, Default)]
struct Lane {
    vehicles: u32,
    flagged: u32,
    flagged_rightly: u32,
    direction: u32,
    announced: u32,
}

impl Figures for Lane {
    fn observe(&mut self, lane: &Sequence, t: usize, decision: &Decision, _: &Session) -> Result<()> {
        let label = lane.label(t).context("a sample without a label")?;
        let class = usize::from(decision.class);
        self.vehicles += u32::from(label > 0);
        self.flagged += u32::from(class > 0);
        self.flagged_rightly += u32::from(class > 0 && label > 0);
        self.direction += u32::from(class > 0 && class == label as usize);
        self.announced += u32::from(decision.changed && decision.decided > Some(0));
        Ok(())
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        vec![
            ("readings with a vehicle", self.vehicles.to_string()),
            ("readings flagged as one, rightly", format!("{}, {}", self.flagged, self.flagged_rightly)),
            ("of these, direction right", self.direction.to_string()),
            ("vehicles announced", self.announced.to_string()),
        ]
    }
}
