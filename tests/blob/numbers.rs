//! The input map, scales and shifts, and the bounds of each row.

use super::*;
use cellstate::kernel::layout::pack;
use cellstate::model::more::Formats;

fn feature_refused(feature: Feature) -> Option<LoadError> {
    refused(&header(&[DENSE]), &words(feature, &[0; DENSE_WORDS]))
}

const INPUT: Option<LoadError> = Some(LoadError::InputMap { feature: 0 });

#[test]
fn a_features_multiplier_must_have_16_bits() {
    assert_eq!(feature_refused(Feature { multiplier: -32767, ..FEATURE }), None);
    for multiplier in [32768, -32768, i32::MAX, i32::MIN] {
        assert_eq!(feature_refused(Feature { multiplier, ..FEATURE }), INPUT, "{multiplier}");
    }
}

#[test]
fn a_features_bias_must_leave_room_for_the_product() {
    assert_eq!(feature_refused(Feature { bias: 1 << 30, ..FEATURE }), None);
    for bias in [(1 << 30) + 1, -(1 << 30) - 1, i32::MIN] {
        assert_eq!(feature_refused(Feature { bias, ..FEATURE }), INPUT, "{bias}");
    }
}

#[test]
fn a_features_shift_must_be_one() {
    assert_eq!(feature_refused(Feature { shift: 30, ..FEATURE }), None);
    for shift in [31, 32, u32::MAX] {
        assert_eq!(feature_refused(Feature { shift, ..FEATURE }), INPUT, "{shift}");
    }
}

#[test]
fn a_features_centre_and_gain_must_be_finite() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        assert_eq!(feature_refused(Feature { centre: wrong, ..FEATURE }), INPUT);
        assert_eq!(feature_refused(Feature { gain: wrong, ..FEATURE }), INPUT);
    }
}

#[test]
fn the_cell_states_format_must_be_in_range() {
    for (frac, error) in [(17, SCALE), (18, None), (30, None), (31, SCALE), (255, SCALE)] {
        assert_eq!(layer_refused(lstm(frac, 0), &[0; LSTM_WORDS]), error, "{frac}");
    }
}

#[test]
fn the_shift_of_a_pre_activation_must_be_in_range() {
    for (shift, error) in [(15, None), (16, SCALE), (255, SCALE)] {
        assert_eq!(layer_refused(lstm(24, shift), &[0; LSTM_WORDS]), error, "{shift}");
        assert_eq!(layer_refused(dense(Activation::Tanh, shift, 1.0), &[0; DENSE_WORDS]), error, "{shift}");
    }
}

#[test]
fn an_activation_without_a_shift_must_have_none() {
    for activation in [Activation::Linear, Activation::Relu, Activation::Softmax] {
        assert_eq!(layer_refused(dense(activation, 0, 1.0), &[0; DENSE_WORDS]), None);
        assert_eq!(layer_refused(dense(activation, 1, 1.0), &[0; DENSE_WORDS]), SCALE);
    }
}

#[test]
fn a_scale_must_be_finite_and_positive() {
    for wrong in [0.0, -0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert_eq!(layer_refused(dense(Activation::Linear, 0, wrong), &[0; DENSE_WORDS]), SCALE, "{wrong}");
    }
}

#[test]
fn an_outputs_shift_must_be_one() {
    for (shift, error) in [(31, None), (32, SCALE)] {
        let silu = dense(Activation::Silu { shift }, 0, 1.0);
        assert_eq!(layer_refused(silu, &[0; DENSE_WORDS]), error, "{shift}");
        let gelu = dense(Activation::Gelu { tanh: true, shift }, 0, 1.0);
        assert_eq!(layer_refused(gelu, &[0; DENSE_WORDS]), error, "{shift}");
        let norm = More::Norm { width: 1, shift, scale: 1.0, epsilon: 0, rms: false };
        assert_eq!(more_refused(norm, &[0; 2]), error, "{shift}");
    }
    let join = |product, shift| more_refused(More::Join { width: 1, second: 0, product, shift, scale: 1.0 }, &[0; 2]);
    assert_eq!([(false, 1), (false, 31), (true, 1), (true, 47)].map(|(p, s)| join(p, s)), [None; 4]);
    assert_eq!([(false, 0), (false, 32), (true, 0), (true, 48)].map(|(p, s)| join(p, s)), [SCALE; 4]);
    let position = |shift| more_refused(More::Position { width: 1, rows: 1, shift, scale: 1.0 }, &[0; 3]);
    assert_eq!([1, 31].map(position), [None; 2]);
    assert_eq!([0, 32].map(position), [SCALE; 2]);
}

fn variant(peephole: Option<u8>, records: &[i32]) -> Option<LoadError> {
    let (units, formats, cell_frac, z_shift) = (1, Formats::of(Weights::W8), 24, 0);
    let (initial, hard, projection, scale) = (false, false, 0, 1.0);
    let layer = More::LstmVariant { units, formats, cell_frac, z_shift, initial, hard, peephole, projection, scale };
    more_refused(layer, records)
}

#[test]
fn a_peepholes_format_must_be_in_range() {
    for (frac, error) in [(0, None), (15, None), (16, SCALE), (255, SCALE)] {
        assert_eq!(variant(Some(frac), &[0; 23]), error, "{frac}");
    }
}

/// Behind the records: peepholes, gains, multipliers of joins and positions. Biases of a norm may be anything.
#[test]
fn multipliers_behind_the_records_must_have_16_bits() {
    let norm = More::Norm { width: 1, shift: 0, scale: 1.0, epsilon: 0, rms: false };
    let join = More::Join { width: 1, second: 0, product: true, shift: 1, scale: 1.0 };
    let position = More::Position { width: 1, rows: 1, shift: 1, scale: 1.0 };
    for (m, error) in [(-32767, None), (32767, None), (32768, SCALE), (-32768, SCALE), (i32::MIN, SCALE)] {
        assert_eq!(more_refused(norm, &[m, i32::MIN]), error, "{m}");
        assert_eq!(more_refused(join, &[0, m]), error, "{m}");
        assert_eq!(more_refused(position, &[m, i32::MIN, -1]), error, "{m}");
        assert_eq!(variant(Some(8), &[&[0; 22][..], &[m]].concat()), error, "{m}");
    }
}

#[test]
fn a_rows_multiplier_must_be_a_positive_upper_half() {
    for (multiplier, error) in [
        (0x7fff_0000, None),
        (-1, ACCUMULATOR),
        (1 << 15, ACCUMULATOR),
        (i32::MIN, ACCUMULATOR),
        (0x7fff_0001, ACCUMULATOR),
    ] {
        let mut records = [0; DENSE_WORDS];
        records[4] = multiplier;
        // Packed zeros of w8 are -128 and 0.
        assert_eq!(layer_refused(DENSE, &records), error, "{multiplier:#x}");
    }
}

/// Bias, multiplier, weights of the first of four rows; a block of one column is 4 words.
#[test]
fn a_pre_activation_must_not_overflow() {
    let block = |weights, w| pack(weights, &[[w, 0, 0, 0], [0; 4], [0; 4], [0; 4]]);
    let mut full = vec![i32::MAX, 0, 0, 0, 32767 << 16, 0, 0, 0];
    full.extend(&block(Weights::W8, 127)[..4]);
    assert_eq!(layer_refused(DENSE, &full), ACCUMULATOR);
    full[0] = 0;
    assert_eq!(layer_refused(DENSE, &full), None);
    full[0] = i32::MIN;
    assert_eq!(layer_refused(DENSE, &full), ACCUMULATOR);
    // A shift to the left leaves so much less.
    let mut small = vec![100_000, 0, 0, 0, 0, 0, 0, 0];
    small.extend(&block(Weights::W8, 0)[..4]);
    assert_eq!(layer_refused(dense(Activation::Tanh, 14, 1.0), &small), None);
    assert_eq!(layer_refused(dense(Activation::Tanh, 15, 1.0), &small), ACCUMULATOR);
}

/// 513 columns of -128 reach 2^31, 512 of -8 reach 2^27, and 16-bit weights lose 8 bits in the end.
#[test]
fn an_accumulator_must_not_overflow() {
    for (weights, lowest, most) in [(Weights::W8, -128, 508), (Weights::W4, -8, 508), (Weights::W16, -32768, 508)] {
        let layer = Layer::Dense { outputs: 1, weights, activation: Activation::Linear, z_shift: 0, scale: 1.0 };
        let wide = |columns: u16| {
            let header = Header { inputs: columns, ..header(&[layer]) };
            let mut words = FEATURE.to_words().repeat(columns.into());
            words.extend([0, 0, 0, 0, 1 << 16, 0, 0, 0]);
            let block = pack(weights, &[[0; 4], [0; 4], [0; 4], [lowest; 4]]);
            words.extend((0..columns / 4).flat_map(|_| &block[..weights.block_words()]));
            refused(&header, &words)
        };
        assert_eq!(wide(most), None, "{weights:?}");
        assert_eq!(wide(most + 4), ACCUMULATOR, "{weights:?}");
    }
}

/// Their rows are added.
#[test]
fn matrices_apart_must_not_overflow_together() {
    let formats = Formats { w: Weights::W8, u: Weights::W4, group: 0 };
    let rnn = More::Rnn { units: 1, formats, activation: Activation::Relu, z_shift: 0, scale: 1.0, initial: false };
    let mut records = vec![0; 12 + 10];
    records[0] = i32::MAX - 2; // two parts are rounded
    assert_eq!(more_refused(rnn, &records), None);
    records[12] = 1;
    assert_eq!(more_refused(rnn, &records), ACCUMULATOR);
}

/// Records: reset and update gates, then the candidates' W and their U, each of which may take half.
#[test]
fn both_parts_of_a_grus_candidate_must_not_overflow_together() {
    let formats = Formats::of(Weights::W8);
    let gru = More::Gru { units: 1, formats, z_shift: 0, initial: false, hard: false, reset_after: true };
    let bias = |at: usize, bias: i32| {
        let mut records = vec![0; 2 * 20 + 2 * 12];
        records[at] = bias;
        more_refused(gru, &records)
    };
    assert_eq!([0, 20].map(|at| bias(at, i32::MAX - 2)), [None; 2]);
    for (at, record) in [(40, 2), (52, 3)] {
        assert_eq!(bias(at, i32::MAX / 2 - 1), None);
        assert_eq!(bias(at, i32::MAX / 2 + 1), Some(LoadError::Accumulator { layer: 0, record }));
    }
}
