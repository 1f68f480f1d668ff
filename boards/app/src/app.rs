//! The application of the boards with sensors: sample, step, decide, report, sleep.

use crate::clock::{Clock, Sleep};
use crate::predictor::{Decision, Predicted, Predictor, Rules};
use crate::sampler::{Sample, Sampled, Sampler};
use crate::sensor::{Fault, Sensor};
use cellstate::{Model, Session, State};
use core::convert::Infallible;
use core::fmt;
use embedded_hal::digital::StatefulOutputPin;
use heapless::spsc::Queue;

/// Samples between two reports of the counts.
pub const COUNTS_EVERY: u32 = 1000;

/// What happened, for the log: the same text through `defmt` and through `Debug`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Report<'a> {
    /// A reading, or the sensor's setting up, failed, in another way than the one before it.
    Failed {
        /// The sample's index.
        index: u32,
        /// Why.
        fault: Fault,
    },
    /// The first good reading after failures.
    Recovered {
        /// The sample's index.
        index: u32,
    },
    /// The debounced decision changed.
    Decided {
        /// The sample's index.
        index: u32,
        /// The name of the class.
        label: Label<'a>,
        /// Microseconds from when the sample was due.
        latency: u32,
    },
    /// After every [`COUNTS_EVERY`] samples.
    Counts {
        /// Of the sampler.
        sampled: Sampled,
        /// Of the predictor, with the longest latency so far.
        predicted: Predicted,
    },
}

/// The name of a class.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Label<'a>(pub &'a str);

impl fmt::Debug for Label<'_> {
    // As it is: escapes would bring tables of Unicode into the firmware.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Label<'_> {
    fn format(&self, f: defmt::Formatter) {
        defmt::write!(f, "{=str}", self.0);
    }
}

/// Why the application cannot begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Refused {
    /// The blob does not load.
    Model,
    /// The state is too small for the model.
    State,
    /// The model has other inputs than the sensor has features.
    Inputs,
}

/// What a board runs, and how.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'a> {
    /// Microseconds between two samples.
    pub period: u32,
    /// What is done about gaps and flicker.
    pub rules: Rules,
    /// Names of the model's classes.
    pub labels: &'a [&'a str],
}

/// What is behind the queue: a model, decisions, a light and a log. The sampler before it runs in an interrupt, or in turns with
/// this.
#[derive(Debug)]
pub struct Inference<'a, L, const N: usize> {
    predictor: Predictor<'a, N>,
    led: L,
    labels: &'a [&'a str],
    fault: Option<Fault>,
    /// Samples since the counts were reported.
    samples: u32,
}

impl<'a, L: StatefulOutputPin, const N: usize> Inference<'a, L, N> {
    /// Begins with the session as it is.
    ///
    /// # Errors
    /// [`Refused`] if the model has other inputs than `N`.
    pub fn new(settings: Settings<'a>, session: Session<'a>, led: L) -> Result<Self, Refused> {
        let predictor = Predictor::new(session, settings.rules).ok_or(Refused::Inputs)?;
        Ok(Self { predictor, led, labels: settings.labels, fault: None, samples: 0 })
    }

    /// Takes a sample from the queue; `sampled` is what the sampler has counted by now.
    pub fn take(
        &mut self,
        sample: Sample<N>,
        clock: &mut impl Clock,
        sampled: impl FnOnce() -> Sampled,
        mut report: impl FnMut(Report),
    ) -> Option<Decision> {
        let fault = sample.reading.err();
        if fault != self.fault {
            let index = sample.index;
            report(fault.map_or(Report::Recovered { index }, |fault| Report::Failed { index, fault }));
            self.fault = fault;
        }
        let decision = self.predictor.take(sample, clock);
        if let Some(Decision { index, class, changed: true, latency, .. }) = decision {
            let _ = self.led.toggle();
            let label = Label(self.labels.get(usize::from(class)).copied().unwrap_or("?"));
            report(Report::Decided { index, label, latency });
        }
        self.samples += 1;
        if self.samples == COUNTS_EVERY {
            self.samples = 0;
            report(Report::Counts { sampled: sampled(), predicted: self.predictor.counts() });
        }
        decision
    }

    /// The predictor, to look at its session and its counts.
    pub fn predictor(&self) -> &Predictor<'a, N> {
        &self.predictor
    }
}

/// A sensor, a model and a light, in one loop.
#[derive(Debug)]
pub struct Application<'a, S, L, const N: usize> {
    sampler: Sampler<S, N>,
    queue: Queue<Sample<N>, 4>,
    inference: Inference<'a, L, N>,
}

impl<'a, S: Sensor<N>, L: StatefulOutputPin, const N: usize> Application<'a, S, L, N> {
    /// The first sample is due at once.
    ///
    /// # Errors
    /// [`Refused`] if sensor and model do not fit.
    pub fn new(settings: Settings<'a>, session: Session<'a>, sensor: S, led: L, now: u32) -> Result<Self, Refused> {
        let inference = Inference::new(settings, session, led)?;
        Ok(Self { sampler: Sampler::new(sensor, settings.period, now), queue: Queue::new(), inference })
    }

    /// Takes the sample that is due, if one is, and decides; returns the microseconds until the next one is due.
    pub fn turn(&mut self, clock: &mut impl Clock, mut report: impl FnMut(Report)) -> u32 {
        let Self { sampler, queue, inference } = self;
        let (mut producer, mut consumer) = queue.split();
        sampler.poll(clock.micros(), &mut producer);
        while let Some(sample) = consumer.dequeue() {
            inference.take(sample, clock, || sampler.counts(), &mut report);
        }
        sampler.until_next(clock.micros())
    }

    /// What became of all samples so far.
    pub fn counts(&self) -> (Sampled, Predicted) {
        (self.sampler.counts(), self.inference.predictor().counts())
    }
}

/// Runs the application forever: all of a board's `main` but the wiring.
///
/// # Errors
/// [`Refused`] if it cannot begin.
pub fn run<const N: usize, const BYTES: usize>(
    settings: Settings,
    blob: &[u8],
    state: &mut State<BYTES>,
    sensor: impl Sensor<N>,
    led: impl StatefulOutputPin,
    time: &mut impl Sleep,
    mut report: impl FnMut(Report),
) -> Result<Infallible, Refused> {
    let model = Model::parse(blob).map_err(|_| Refused::Model)?;
    let session = Session::new(&model, state).map_err(|_| Refused::State)?;
    let mut application = Application::new(settings, session, sensor, led, time.micros())?;
    loop {
        let left = application.turn(time, &mut report);
        if left > 0 {
            time.sleep(left);
        }
    }
}
