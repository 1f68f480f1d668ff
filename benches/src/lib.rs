//! One LSTM layer on the host, by cellstate in integers and by tract in floats, with the same weights on the same samples.
//!
//! Both run on one thread, both keep their state from step to step, and both are checked against each other before
//! anything is timed. Each begins at what it would be given: tract at tensors that are ready, cellstate at floats, whose
//! conversion to Q0.15 is part of its step.

mod onnx;

use anyhow::{Context, Result, anyhow, ensure};
use cellstate::model::header::Weights;
use cellstate::{Model, Session, State};
use cellstate_convert::synthetic::{self, Kind, WALK_STEPS};
use cellstate_reference::Layer;
use std::hint::black_box;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal::TypedSimpleState;

/// Inputs and hidden units.
pub const SIZES: [(usize, usize); 6] = [(3, 16), (6, 32), (12, 64), (40, 64), (28, 128), (64, 256)];
/// All weight formats.
pub const WEIGHTS: [Weights; 3] = [Weights::W8, Weights::W16, Weights::W4];
/// Steps of a sequence.
pub const STEPS: usize = 100;

/// The largest difference of a hidden state, of which each is within ±1.
const fn tolerance(weights: Weights) -> f32 {
    match weights {
        Weights::W8 => 0.05,
        Weights::W16 => 0.01,
        Weights::W4 => 0.5,
    }
}

/// Samples of the walk that the blob was calibrated on, over and over.
fn samples(inputs: usize) -> Vec<f32> {
    let walk = synthetic::walk(inputs);
    walk.iter().cycle().take(STEPS * inputs).map(|&x| x as f32).collect()
}

/// The layer in integers.
pub struct Integers {
    session: Session<'static>,
    inputs: usize,
    samples: Vec<f32>,
    next: usize,
}

impl Integers {
    /// A session at zero. Its model lives as long as the process, which is short.
    pub fn new((inputs, units): (usize, usize), weights: Weights) -> Result<Self> {
        let blob =
            synthetic::blob(Kind::Lstm, inputs, units, weights).map_err(|e| anyhow!("{}: {}", e.layer, e.cause))?;
        let mut words = vec![0u32; blob.len().div_ceil(4)];
        bytemuck::cast_slice_mut(&mut words)[..blob.len()].copy_from_slice(&blob);
        let words: &'static [u32] = words.leak();
        let model = Model::parse(&bytemuck::cast_slice(words)[..blob.len()])
            .map_err(|e| anyhow!("the blob does not load: {e}"))?;
        let state = Box::leak(Box::new(State::<4096>::new()));
        let session = Session::new(Box::leak(Box::new(model)), state).map_err(|e| anyhow!("{e}"))?;
        Ok(Self { session, inputs, samples: samples(inputs), next: 0 })
    }

    /// One step on the next sample.
    pub fn step(&mut self) {
        let x = &self.samples[self.next * self.inputs..][..self.inputs];
        self.next = (self.next + 1) % WALK_STEPS;
        // A sample has the model's length, which `hidden` relies on too.
        black_box(self.session.step_f32(black_box(x)).is_ok());
    }

    /// A sequence from zero.
    pub fn sequence(&mut self) {
        self.session.reset();
        for x in self.samples.chunks_exact(self.inputs) {
            // A sample has the model's length, which `hidden` relies on too.
            black_box(self.session.step_f32(black_box(x)).is_ok());
        }
    }

    /// The hidden states of [`sequence`](Self::sequence), step by step.
    fn hidden(&mut self) -> Vec<f32> {
        self.session.reset();
        let mut out = Vec::new();
        for x in self.samples.chunks_exact(self.inputs) {
            let y = self.session.step_f32(x).expect("a sample has the model's length");
            out.extend(y.iter().map(|h| h as f32 * y.scale()));
        }
        out
    }
}

/// The layer in floats.
pub struct Floats {
    step: TypedSimpleState,
    sequence: TypedSimpleState,
    /// What the hidden and the cell state are before the next step.
    state: TVec<TValue>,
    samples: Vec<TValue>,
    whole: TValue,
    next: usize,
    units: usize,
}

impl Floats {
    /// The layer at zero, in tract's best shape: shapes fixed, graph optimized, buffers kept from call to call.
    pub fn new((inputs, units): (usize, usize)) -> Result<Self> {
        let network = synthetic::lstm(inputs, units);
        let Layer::Lstm(lstm) = &network.nodes[0].layer else { return Err(anyhow!("not an LSTM")) };
        let plan = |steps: usize| -> Result<TypedSimpleState> {
            let model = tract_onnx::onnx().model_for_proto_model(&onnx::model(lstm, steps))?;
            model.into_optimized()?.into_runnable()?.spawn()
        };
        let x = samples(inputs);
        let tensor = |steps: usize, x: &[f32]| Tensor::from_shape(&[steps, 1, inputs], x).map(Tensor::into_tvalue);
        Ok(Self {
            step: plan(1).context("tract, one step")?,
            sequence: plan(STEPS).context("tract, sequence")?,
            state: zeros(units)?,
            samples: x.chunks_exact(inputs).map(|x| tensor(1, x)).collect::<Result<_>>()?,
            whole: tensor(STEPS, &x)?,
            next: 0,
            units,
        })
    }

    /// One step on the next sample, from the state that the last one left.
    pub fn step(&mut self) -> Result<()> {
        let mut state = std::mem::take(&mut self.state).into_iter();
        let x = black_box(self.samples[self.next].clone());
        self.next = (self.next + 1) % WALK_STEPS;
        let inputs = tvec![x, state.next().context("h")?, state.next().context("c")?];
        self.state = black_box(self.step.run(inputs)?);
        clear_upper();
        Ok(())
    }

    /// A sequence from zero, in one call.
    pub fn sequence(&mut self) -> Result<TVec<TValue>> {
        let mut inputs = tvec![black_box(self.whole.clone())];
        inputs.extend(zeros(self.units)?);
        let outputs = black_box(self.sequence.run(inputs)?);
        clear_upper();
        Ok(outputs)
    }

    /// The hidden states of [`step`](Self::step) from zero on.
    fn hidden(&mut self) -> Result<Vec<f32>> {
        (self.state, self.next) = (zeros(self.units)?, 0);
        let mut out = Vec::new();
        for _ in 0..STEPS {
            self.step()?;
            out.extend_from_slice(self.state[0].try_as_plain_ram()?.as_slice()?);
        }
        Ok(out)
    }
}

/// Clears the upper halves of the vector registers, where tract's AVX-512 kernels leave something: until that is gone,
/// every SSE instruction of whatever runs next takes twice its time. One instruction; without it the ratio is half.
fn clear_upper() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx") {
        // SAFETY: the core has AVX, and no value of the compiler's stands in an upper half across a call.
        unsafe { std::arch::x86_64::_mm256_zeroupper() };
    }
}

/// Hidden and cell state at the beginning.
fn zeros(units: usize) -> Result<TVec<TValue>> {
    let zero = Tensor::zero::<f32>(&[1, 1, units])?.into_tvalue();
    Ok(tvec![zero.clone(), zero])
}

/// Both engines at one size, checked to compute the same.
pub struct Pair {
    /// In the order of [`WEIGHTS`].
    pub integers: Vec<(Weights, Integers)>,
    /// The peer.
    pub floats: Floats,
}

impl Pair {
    /// Builds both and compares every hidden state of a sequence: tract's two forms, and cellstate with them.
    pub fn new(size: (usize, usize)) -> Result<Self> {
        let mut floats = Floats::new(size)?;
        let expected = floats.hidden()?;
        let whole = floats.sequence()?;
        compare(&expected, whole[0].try_as_plain_ram()?.as_slice()?, 1e-4)
            .with_context(|| format!("{size:?}: tract's steps and its sequence"))?;
        let mut integers = Vec::new();
        for weights in WEIGHTS {
            let mut mine = Integers::new(size, weights)?;
            compare(&expected, &mine.hidden(), tolerance(weights))
                .with_context(|| format!("{size:?}: tract and cellstate {}", weights.name()))?;
            integers.push((weights, mine));
        }
        Ok(Self { integers, floats })
    }
}

fn compare(a: &[f32], b: &[f32], tolerance: f32) -> Result<()> {
    ensure!(a.len() == b.len(), "{} and {} values", a.len(), b.len());
    let error = a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    ensure!(error < tolerance, "hidden states differ by {error}, more than {tolerance}");
    let largest = a.iter().fold(0.0, |top: f32, v| top.max(v.abs()));
    ensure!(largest > 0.1, "every hidden state is near zero: the comparison says nothing");
    Ok(())
}
