//! The session against the naive oracle on random networks, and the state's save, restore and reset.

mod common;

use cellstate::model::header::{Activation, Layer as Header, Weights};
use cellstate::numeric::{sigmoid, tanh};
use cellstate::{Model, RestoreError, Session, State, StateTooSmall, StepError};
use cellstate_convert::quantize::Quantized;
use cellstate_convert::random::{Rng, random};
use common::{aligned, bytes};
use fixed::types::{I1F15, I16F16};
use proptest::prelude::*;

/// `floor(v / 2^shift + 1/2)` without a thought for speed.
fn round(v: i128, shift: u32) -> i128 {
    (2 * v + (1 << shift)).div_euclid(2 << shift)
}

/// Hidden and cell states of every layer, by the definitions of docs/numeric.md.
struct Oracle<'a> {
    net: &'a Quantized,
    c: Vec<Vec<i128>>,
    out: Vec<Vec<i128>>,
}

impl<'a> Oracle<'a> {
    fn new(net: &'a Quantized) -> Self {
        let zeros = || net.layers.iter().map(|l| vec![0; l.header.width()]).collect();
        Self { net, c: zeros(), out: zeros() }
    }

    fn step(&mut self, x: &[i16]) -> &[i128] {
        let mut x: Vec<i128> = x.iter().map(|&v| v.into()).collect();
        for (k, layer) in self.net.layers.iter().enumerate() {
            let h = self.out[k].clone();
            let product = |p: usize, r: usize, v: &[i128]| {
                let i = &layer.rows.products[p];
                let sum: i128 = i.weights[r].iter().zip(v).map(|(&w, x)| i128::from(w) * x).sum();
                let acc = if layer.header.weights() == Weights::W16 { round(sum, 8) } else { sum };
                assert_eq!(i128::from(acc as i32), acc, "accumulator");
                round(acc * i128::from(i.multipliers[r]), 32)
            };
            let z = |r: usize, shift: u8| {
                let u = if layer.rows.products.len() > 1 { product(1, r, &h) } else { 0 };
                let z = (i128::from(layer.rows.biases[r]) + product(0, r, &x) + u) << shift;
                i32::try_from(z).expect("pre-activation")
            };
            let sig = |v: i32| i128::from(sigmoid(I16F16::from_bits(v)).to_bits());
            let tan = |v: i32| i128::from(tanh(I16F16::from_bits(v)).to_bits());
            self.out[k] = match layer.header {
                Header::Lstm { units, cell_frac, z_shift, .. } => (0..usize::from(units))
                    .map(|j| {
                        let [i, f, g, o] = std::array::from_fn(|gate| z(4 * j + gate, z_shift));
                        let written = round(sig(i) * tan(g), 30 - u32::from(cell_frac));
                        let c = 2 * round(self.c[k][j] * sig(f), 16) + written;
                        self.c[k][j] = c.clamp(i32::MIN.into(), i32::MAX.into());
                        round(sig(o) * tan(round(self.c[k][j], u32::from(cell_frac) - 16) as i32), 15)
                    })
                    .collect(),
                Header::Dense { outputs, activation, z_shift, .. } => (0..usize::from(outputs))
                    .map(|r| match (activation, z(r, z_shift)) {
                        (Activation::Linear | Activation::Softmax, z) => z.into(),
                        (Activation::Relu, z) => z.max(0).into(),
                        (Activation::Sigmoid, z) => sig(z),
                        (Activation::Tanh, z) => tan(z),
                    })
                    .map(|v: i128| if k + 1 == self.net.layers.len() { v } else { v.clamp(-32767, 32767) })
                    .collect(),
            };
            x.clone_from(&self.out[k]);
        }
        self.out.last().unwrap()
    }
}

const STATE: usize = 2048;

fn sample(rng: &mut Rng, features: usize) -> Vec<I1F15> {
    (0..features).map(|_| I1F15::from_bits(rng.i16())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_step_equals_the_oracle(seed in 1u64..) {
        let mut rng = Rng(seed);
        let (net, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let mut state = State::<STATE>::new();
        let mut session = Session::new(&model, &mut state).unwrap();
        let mut oracle = Oracle::new(&net);
        for _ in 0..12 {
            let x = sample(&mut rng, model.inputs());
            let raw: Vec<i16> = x.iter().map(|v| v.to_bits()).collect();
            let got: Vec<i128> = session.step(&x).unwrap().iter().map(i128::from).collect();
            prop_assert_eq!(&got[..], oracle.step(&raw));
            for (k, layer) in net.layers.iter().enumerate() {
                prop_assert_eq!(session.cell(k).is_some(), layer.rows.products.len() == 2);
                if let Some(cell) = session.cell(k) {
                    prop_assert!(cell.raw.iter().map(|&c| i128::from(c)).eq(oracle.c[k].iter().copied()));
                    let h = session.hidden(k).unwrap();
                    prop_assert!(h.iter().map(|h| i128::from(h.to_bits())).eq(oracle.out[k].iter().copied()));
                }
            }
        }
    }

    #[test]
    fn saving_and_restoring_in_the_middle_changes_nothing(seed in 1u64.., cut in 0usize..9) {
        let mut rng = Rng(seed);
        let (_, blob) = random(&mut rng);
        let words = aligned(&blob);
        let model = Model::parse(bytes(&words, blob.len())).unwrap();
        let samples: Vec<_> = (0..10).map(|_| sample(&mut rng, model.inputs())).collect();
        let (mut one, mut two) = (State::<STATE>::new(), State::<STATE>::new());
        let mut whole = Session::new(&model, &mut one).unwrap();
        let mut saved = vec![0; model.saved_bytes()];
        for (k, x) in samples.iter().enumerate() {
            whole.step(x).unwrap();
            if k == cut {
                prop_assert_eq!(whole.save(&mut saved), Ok(model.saved_bytes()));
            }
        }
        let mut resumed = Session::new(&model, &mut two).unwrap();
        resumed.step(&samples[0]).unwrap(); // something to overwrite
        resumed.restore(&saved).unwrap();
        for x in &samples[cut + 1..] {
            resumed.step(x).unwrap();
        }
        prop_assert_eq!(whole.digest(), resumed.digest());
        prop_assert!(whole.output().iter().eq(resumed.output().iter()) || cut == 9);
        whole.reset();
        for x in &samples {
            whole.step(x).unwrap();
        }
        prop_assert_eq!(whole.digest(), resumed.digest());
    }
}

#[test]
fn misuse_is_an_error_that_says_what_is_needed() {
    let (_, blob) = random(&mut Rng(5));
    let words = aligned(&blob);
    let model = Model::parse(bytes(&words, blob.len())).unwrap();
    let needed = model.state_bytes();
    assert_eq!(Session::new(&model, &mut State::<4>::new()).err(), Some(StateTooSmall { needed, got: 4 }));
    let mut state = State::<STATE>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let wrong = StepError::SampleLength { needed: model.inputs() as u16, got: 0 };
    assert_eq!(session.step(&[]).err(), Some(wrong));
    assert_eq!(session.step_i16(&[]).err(), Some(wrong));
    assert_eq!(session.step_f32(&[]).err(), Some(wrong));
    let (needed, before) = (model.saved_bytes(), session.digest());
    assert_eq!(session.save(&mut [0; 3]).err(), Some(RestoreError::Length { needed, got: 3 }));
    assert_eq!(session.restore(&[0; 3]).err(), Some(RestoreError::Length { needed, got: 3 }));
    let mut saved = vec![0; needed];
    session.save(&mut saved).unwrap();
    for bit in 0..needed * 8 {
        let mut damaged = saved.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(session.restore(&damaged).err(), Some(RestoreError::Checksum));
    }
    let (_, other) = random(&mut Rng(6));
    assert_ne!(blob, other);
    let mut foreign = saved[..needed - 4].to_vec();
    foreign[0] ^= 1;
    let crc = cellstate::model::checksum([&foreign[..]]);
    foreign.extend(crc.to_le_bytes());
    assert_eq!(session.restore(&foreign).err(), Some(RestoreError::OtherModel));
    assert_eq!(session.digest(), before);
}
