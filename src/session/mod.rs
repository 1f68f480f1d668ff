//! What an application holds: a [`State`] for the buffers and a [`Session`] that steps a model through them.

#[cfg(feature = "layers")]
mod generate;
#[cfg_attr(not(feature = "layers"), path = "no_others.rs")]
mod others;
mod output;
mod profile;
mod save;
mod self_test;
mod state;
mod stream;
mod trace;
mod walk;

#[cfg(feature = "layers")]
pub use generate::{Choice, Generate, Sampler, TEMPERATURE_ONE};
pub use output::Output;
pub use profile::Profile;
pub use save::RestoreError;
pub use self_test::{Checksum, SelfTestError};
pub use state::{CellState, State, StateTooSmall};

use crate::Model;
use crate::layer::input::Feature;
use fixed::types::I1F15;
use stream::Stream;

/// Why a step was refused. The state is as it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum StepError {
    /// A sample must have as many features as the model has inputs.
    SampleLength {
        /// The model's inputs.
        needed: u16,
        /// The sample's length.
        got: u16,
    },
}

impl core::fmt::Display for StepError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let StepError::SampleLength { needed, got } = self;
        write!(f, "the sample has {got} features and the model takes {needed}")
    }
}

impl core::error::Error for StepError {}

/// A model in motion: its states, one time step after the other.
///
/// A sequence is a loop over [`step`](Self::step); there is no other way to run a model, so streaming and whole sequences
/// agree bit for bit. The state lasts until [`reset`](Self::reset). A windowed model, one with a layer that walks backwards,
/// collects a window of samples and answers at its last, each window from the initial state; whether a step brought a new
/// output says [`Output::is_new`].
#[derive(Debug)]
pub struct Session<'a> {
    model: &'a Model<'a>,
    words: &'a mut [i32],
    /// Whether the latest step ran the model.
    ran: bool,
    /// The stream of the latest step.
    stream: Stream,
}

impl<'a> Session<'a> {
    /// Begins with the model's initial state: zeros, if the network has no other.
    ///
    /// # Errors
    /// [`StateTooSmall`] says how many bytes the model needs; so do [`Model::state_bytes`] and `cellstate inspect`.
    pub fn new<const N: usize>(model: &'a Model<'a>, state: &'a mut State<N>) -> Result<Self, StateTooSmall> {
        let needed = model.state_bytes();
        let words = state.words().get_mut(..needed / 4).ok_or(StateTooSmall { needed, got: N })?;
        let mut session = Self { model, words, ran: false, stream: Stream::FIRST };
        session.reset();
        Ok(session)
    }

    /// The model.
    pub fn model(&self) -> &'a Model<'a> {
        self.model
    }

    /// Back to the initial state: the beginning of a new sequence. A window that is not full is dropped.
    pub fn reset(&mut self) {
        self.words.fill(0);
        walk::reset(self.model, self.words);
        self.ran = false;
    }

    /// One time step on a sample in Q0.15, after the input map: centred and scaled as the converter chose.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step(&mut self, x: &[I1F15]) -> Result<Output<'_>, StepError> {
        self.step_of(Some(Stream::FIRST), x)
    }

    /// One time step of one of several input streams, on a sample in Q0.15. The layers behind that stream run, on the latest
    /// values of the others.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature of this stream; a stream that the model does
    /// not have has none.
    pub fn step_stream(&mut self, stream: usize, x: &[I1F15]) -> Result<Output<'_>, StepError> {
        self.step_of(Stream::new(stream), x)
    }

    #[inline]
    fn step_of(&mut self, stream: Option<Stream>, x: &[I1F15]) -> Result<Output<'_>, StepError> {
        for (slot, x) in self.input(stream, x.len())?.iter_mut().zip(x) {
            *slot = x.to_bits();
        }
        Ok(self.advance(&mut ()))
    }

    /// [`step_stream`](Self::step_stream) on raw sensor counts.
    ///
    /// # Errors
    /// As of [`step_stream`](Self::step_stream).
    #[cfg(feature = "layers")]
    pub fn step_stream_i16(&mut self, stream: usize, counts: &[i16]) -> Result<Output<'_>, StepError> {
        self.step_mapped(Stream::new(stream), counts, Feature::map_count, &mut ())
    }

    /// [`step_stream`](Self::step_stream) on floats in the units that the model was trained on.
    ///
    /// # Errors
    /// As of [`step_stream`](Self::step_stream).
    #[cfg(feature = "layers")]
    pub fn step_stream_f32(&mut self, stream: usize, x: &[f32]) -> Result<Output<'_>, StepError> {
        self.step_mapped(Stream::new(stream), x, Feature::map_float, &mut ())
    }

    /// Clears what a stream left: the states of the layers that run on it, and all memories of it. Layers of other streams stay
    /// as they are.
    #[cfg(feature = "layers")]
    pub fn reset_stream(&mut self, stream: usize) {
        walk::reset_stream(self.model, self.words, stream);
        self.ran = false;
    }

    /// One time step on raw sensor counts.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step_i16(&mut self, counts: &[i16]) -> Result<Output<'_>, StepError> {
        self.step_mapped(Some(Stream::FIRST), counts, Feature::map_count, &mut ())
    }

    /// One time step on floats in the units that the model was trained on. NaN counts as the feature's centre.
    ///
    /// The map is one subtraction, one multiplication and one rounding a feature, in software on cores without an FPU.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step_f32(&mut self, x: &[f32]) -> Result<Output<'_>, StepError> {
        self.step_mapped(Some(Stream::FIRST), x, Feature::map_float, &mut ())
    }

    /// One time step on raw sensor counts, of which `profile` is told layer by layer.
    ///
    /// ```
    /// # use cellstate::{Profile, Session, StepError};
    /// struct Ticks {
    ///     timer: fn() -> u32,
    ///     begun: u32,
    ///     layers: [u32; 16],
    /// }
    ///
    /// impl Profile for Ticks {
    ///     fn begin(&mut self, _: usize) {
    ///         self.begun = (self.timer)();
    ///     }
    ///
    ///     fn end(&mut self, layer: usize) {
    ///         self.layers[layer] += (self.timer)().wrapping_sub(self.begun);
    ///     }
    /// }
    ///
    /// fn timed(session: &mut Session, counts: &[i16], ticks: &mut Ticks) -> Result<usize, StepError> {
    ///     Ok(session.step_profiled(counts, ticks)?.argmax())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step_profiled(&mut self, counts: &[i16], profile: &mut impl Profile) -> Result<Output<'_>, StepError> {
        self.step_mapped(Some(Stream::FIRST), counts, Feature::map_count, profile)
    }

    fn step_mapped<T: Copy>(
        &mut self,
        stream: Option<Stream>,
        sample: &[T],
        map: impl Fn(Feature, T) -> i16,
        profile: &mut impl Profile,
    ) -> Result<Output<'_>, StepError> {
        let model = self.model;
        let first = stream.map_or(0, |s| if s == Stream::FIRST { 0 } else { model.header().first_feature(s.number()) });
        let features = model.features_from(first);
        for ((slot, feature), &value) in self.input(stream, sample.len())?.iter_mut().zip(features).zip(sample) {
            *slot = map(feature, value);
        }
        Ok(self.advance(profile))
    }

    /// The place of the next sample of a stream, for one of `got` features.
    #[inline]
    fn input(&mut self, stream: Option<Stream>, got: usize) -> Result<&mut [i16], StepError> {
        let model = self.model;
        let needed = stream.map_or(0, |s| model.header().stream_width(s.number()));
        let Some(stream) = stream.filter(|_| got == needed && needed > 0) else {
            return Err(StepError::SampleLength { needed: needed as u16, got: got as u16 });
        };
        self.stream = stream;
        let (mut start, size) = model.samples_of(stream.number());
        if model.header().is_windowed() {
            let kept = self.words.get(1).map_or(0, |&kept| (kept as usize).min(model.header().samples() - 1));
            start += kept * size;
        }
        let input = self.words.get_mut(start..).and_then(|words| words.get_mut(..size)).unwrap_or_default();
        Ok(bytemuck::cast_slice_mut(input))
    }

    /// Runs the model on the sample that was put in its place, or on the window that it completes.
    fn advance(&mut self, profile: &mut impl Profile) -> Output<'_> {
        let model = self.model;
        let masked = model.header().is_masked() && self.is_masked();
        self.ran = if model.header().is_windowed() {
            self.collect(masked, profile)
        } else {
            if !masked {
                walk::run(model, self.words, self.stream, 1, profile);
            }
            !masked
        };
        self.output()
    }

    /// Counts the sample that was put in its place; runs the model if it completes the window, and says so.
    #[cold]
    fn collect(&mut self, masked: bool, profile: &mut impl Profile) -> bool {
        let window = self.model.header().window;
        let Some([seen, kept, ..]) = self.words.first_chunk_mut::<2>() else { return false };
        *seen = seen.saturating_add(1);
        *kept = kept.saturating_add(i32::from(!masked)).min(window.into());
        if *seen < i32::from(window) {
            return false;
        }
        // What was restored may be negative.
        let samples = (*kept).max(0) as usize;
        (*seen, *kept) = (0, 0);
        if samples > 0 {
            walk::reset(self.model, self.words);
            walk::run(self.model, self.words, Stream::FIRST, samples, profile);
        }
        samples > 0
    }

    /// Whether the sample that was put in its place is the mask.
    #[cold]
    fn is_masked(&mut self) -> bool {
        let model = self.model;
        let input = self.input(Some(Stream::FIRST), model.inputs()).unwrap_or_default();
        model.mask().is_some_and(|mask| input.iter().zip(mask).all(|(x, m)| x == m))
    }

    /// The latest value of the first output; zeros after a reset.
    pub fn output(&self) -> Output<'_> {
        self.head(0)
    }

    /// The latest value of output `head`; empty if there is no such output.
    pub fn head(&self, head: usize) -> Output<'_> {
        Output::new(self.model, self.words, head, None, self.ran.then_some(self.stream))
    }

    /// Output `head` at step `t` of the latest window, of a windowed model that yields every step; empty past its end.
    pub fn head_at(&self, head: usize, t: usize) -> Output<'_> {
        Output::new(self.model, self.words, head, Some(t), self.ran.then_some(self.stream))
    }

    /// The hidden state of layer `layer`, or none if that has none. One unit is
    /// [`Layer::scale`](crate::model::layer::Layer::scale): Q0.15, but for simple recurrent layers without a squashing
    /// activation and LSTMs with a projection.
    pub fn hidden(&self, layer: usize) -> Option<&[I1F15]> {
        let (_, h) = walk::state(self.model, self.words, layer)?;
        Some(bytemuck::cast_slice(h))
    }

    /// The 32-bit state of layer `layer`: an LSTM's cell state, the hidden state of a GRU; none of other layers.
    pub fn cell(&self, layer: usize) -> Option<CellState<'_>> {
        let frac_bits = self.model.header().nodes.get(layer)?.layer.cell_frac()?;
        let (raw, _) = walk::state(self.model, self.words, layer)?;
        Some(CellState { raw, frac_bits })
    }
}
