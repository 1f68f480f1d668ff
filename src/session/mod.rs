//! What an application holds: a [`State`] for the buffers and a [`Session`] that steps a model through them.

mod output;
mod save;
mod state;
mod walk;

pub use output::Output;
pub use save::RestoreError;
pub use state::{CellState, State, StateTooSmall};

use crate::Model;
use crate::layer::input::Feature;
use crate::model::header::packed_words;
use fixed::types::I1F15;

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

/// A model in motion: its hidden and cell states, one time step after the other.
///
/// A sequence is a loop over [`step`](Self::step); there is no other way to run a model, so streaming and whole sequences
/// agree bit for bit. The state lasts until [`reset`](Self::reset).
#[derive(Debug)]
pub struct Session<'a> {
    model: &'a Model<'a>,
    words: &'a mut [i32],
    /// Whether the current hidden states stand in the second of each layer's two buffers.
    flipped: bool,
}

impl<'a> Session<'a> {
    /// Begins with every hidden and cell state at zero.
    ///
    /// # Errors
    /// [`StateTooSmall`] says how many bytes the model needs; so do [`Model::state_bytes`] and `cellstate inspect`.
    pub fn new<const N: usize>(model: &'a Model<'a>, state: &'a mut State<N>) -> Result<Self, StateTooSmall> {
        let needed = model.state_bytes();
        let words = state.words().get_mut(..needed / 4).ok_or(StateTooSmall { needed, got: N })?;
        let mut session = Self { model, words, flipped: false };
        session.reset();
        Ok(session)
    }

    /// The model.
    pub fn model(&self) -> &'a Model<'a> {
        self.model
    }

    /// Sets every hidden and cell state to zero: the beginning of a new sequence.
    pub fn reset(&mut self) {
        self.words.fill(0);
        self.flipped = false;
    }

    /// One time step on a sample in Q0.15, after the input map: centred and scaled as the converter chose.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step(&mut self, x: &[I1F15]) -> Result<Output<'_>, StepError> {
        for (slot, x) in self.input(x.len())?.iter_mut().zip(x) {
            *slot = x.to_bits();
        }
        Ok(self.advance())
    }

    /// One time step on raw sensor counts.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step_i16(&mut self, counts: &[i16]) -> Result<Output<'_>, StepError> {
        self.step_mapped(counts, Feature::map_count)
    }

    /// One time step on floats in the units that the model was trained on. NaN counts as the feature's centre.
    ///
    /// The map is one subtraction, one multiplication and one rounding a feature, in software on cores without an FPU.
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if the sample does not have one value a feature.
    pub fn step_f32(&mut self, x: &[f32]) -> Result<Output<'_>, StepError> {
        self.step_mapped(x, Feature::map_float)
    }

    fn step_mapped<T: Copy>(&mut self, sample: &[T], map: impl Fn(Feature, T) -> i16) -> Result<Output<'_>, StepError> {
        let model = self.model;
        for ((slot, feature), &value) in self.input(sample.len())?.iter_mut().zip(model.features()).zip(sample) {
            *slot = map(feature, value);
        }
        Ok(self.advance())
    }

    /// The input vector, for a sample of `got` features.
    #[inline]
    fn input(&mut self, got: usize) -> Result<&mut [i16], StepError> {
        let needed = self.model.inputs();
        if got != needed {
            return Err(StepError::SampleLength { needed: needed as u16, got: got as u16 });
        }
        let input = self.words.get_mut(..packed_words(needed)).unwrap_or_default();
        Ok(bytemuck::cast_slice_mut(input))
    }

    /// Runs the layers on the input vector.
    fn advance(&mut self) -> Output<'_> {
        walk::step(self.model, self.words, self.flipped);
        self.flipped = !self.flipped;
        self.output()
    }

    /// The latest output; zeros after a reset.
    pub fn output(&self) -> Output<'_> {
        Output::new(self.model, self.words, self.flipped)
    }

    /// The hidden state of layer `layer` in Q0.15, or none if that is not an LSTM.
    pub fn hidden(&self, layer: usize) -> Option<&[I1F15]> {
        let (_, h) = self.lstm_states().nth(self.lstm_index(layer)?)?;
        Some(bytemuck::cast_slice(h))
    }

    /// The cell state of layer `layer`, or none if that is not an LSTM.
    pub fn cell(&self, layer: usize) -> Option<CellState<'_>> {
        let (c, _) = self.lstm_states().nth(self.lstm_index(layer)?)?;
        let frac_bits = walk::cell_frac(self.model.header().layers.get(layer)?)?;
        Some(CellState { raw: c, frac_bits })
    }

    /// How many LSTM layers stand before layer `layer`, if that is one.
    fn lstm_index(&self, layer: usize) -> Option<usize> {
        let (before, rest) = self.model.header().layers.split_at_checked(layer)?;
        walk::cell_frac(rest.first()?)?;
        Some(before.iter().filter(|l| walk::cell_frac(l).is_some()).count())
    }

    /// Cell and hidden state of each LSTM layer.
    fn lstm_states(&self) -> impl Iterator<Item = (&[i32], &[i16])> {
        walk::lstm_states(self.model, self.words, self.flipped)
    }
}
