//! Attention: its shapes, and what it sums up.

use super::*;
use cellstate::model::more::{Attention, MAX_HEAD, MAX_SLOTS};

/// One head of four values over four memories of the sample, which has one value, without matrices.
const PLAIN: Attention = Attention {
    width: 4,
    memory: 0,
    split: 0,
    heads: 1,
    kv_heads: 1,
    key: 4,
    value: 4,
    slots: 4,
    causal: false,
    additive: false,
    projections: 0,
    weights: Weights::W8,
    z_shift: 0,
    rotary: false,
    ages: false,
    scale: 1.0,
};

/// With as many words as it asks for, the first of them given.
fn attention(a: Attention, first: &[i32]) -> Option<LoadError> {
    let layer = Layer::More(More::Attention(a));
    let shape = layer.shape(1, 1);
    let mut words = first.to_vec();
    words.resize(shape.record_words() + shape.extra, 0);
    layer_refused(layer, &words)
}

#[test]
fn heads_must_be_a_multiple_of_those_of_the_keys() {
    let heads = |heads, kv_heads| {
        attention(Attention { heads, kv_heads, projections: 7, width: u16::from(heads) * 4, ..PLAIN }, &[])
    };
    assert_eq!(attention(PLAIN, &[]), None);
    assert_eq!(heads(4, 2), None);
    assert_eq!(heads(4, 3), GRAPH);
    assert_eq!(heads(2, 4), GRAPH);
    assert_eq!(heads(1, 0), GRAPH);
    assert_eq!(attention(Attention { heads: 0, projections: 15, ..PLAIN }, &[]), GRAPH);
}

#[test]
fn keys_and_values_must_be_whole_blocks_and_narrow() {
    assert_eq!(attention(Attention { key: MAX_HEAD, value: MAX_HEAD, ..PLAIN }, &[]), None);
    for wrong in [0, 2, 6, MAX_HEAD + 4, u16::MAX] {
        assert_eq!(attention(Attention { key: wrong, ..PLAIN }, &[]), GRAPH, "{wrong}");
        assert_eq!(attention(Attention { value: wrong, ..PLAIN }, &[]), GRAPH, "{wrong}");
    }
    // What more words would take than there are addresses on a microcontroller.
    let huge = Attention { heads: 255, kv_heads: 255, key: u16::MAX, value: u16::MAX, slots: u16::MAX, ..PLAIN };
    assert_eq!(attention(huge, &[]), GRAPH);
}

#[test]
fn memories_must_be_few() {
    assert_eq!(attention(Attention { slots: MAX_SLOTS, ..PLAIN }, &[]), None);
    assert_eq!(attention(Attention { slots: 0, ..PLAIN }, &[]), GRAPH);
    assert_eq!(attention(Attention { slots: MAX_SLOTS + 1, ..PLAIN }, &[]), GRAPH);
}

#[test]
fn what_has_no_matrix_must_be_one_heads() {
    let two = Attention { heads: 2, kv_heads: 2, projections: 7, width: 8, ..PLAIN };
    assert_eq!(attention(two, &[]), None);
    for missing in [1, 2, 4] {
        assert_eq!(attention(Attention { projections: 7 & !missing, ..two }, &[]), GRAPH, "{missing}");
    }
    assert_eq!(attention(Attention { width: 5, ..PLAIN }, &[]), GRAPH, "an output wider than the context");
    assert_eq!(attention(Attention { width: 7, ..two }, &[]), GRAPH, "a part of several heads");
    assert_eq!(attention(Attention { projections: 16, ..PLAIN }, &[]), GRAPH, "a fifth matrix");
}

#[test]
fn a_memory_must_be_split_at_a_whole_block_within_it() {
    let split = |split, inputs: u16| {
        let layer = Layer::More(More::Attention(Attention { split, key: 8, value: 8, width: 8, ..PLAIN }));
        let header = Header { inputs, ..header(&[layer]) };
        let shape = layer.shape(inputs.into(), inputs.into());
        refused(&header, &[&FEATURE.to_words().repeat(inputs.into())[..], &vec![0; shape.extra]].concat())
    };
    assert_eq!(split(4, 8), None);
    for wrong in [2, 8, 12, u16::MAX] {
        assert_eq!(split(wrong, 8), GRAPH, "{wrong}");
    }
}

/// Four zeros and four multipliers, then what is added by age.
#[test]
fn a_score_must_stay_within_half_the_range() {
    let mut head = [0; 8];
    head[4..].fill(32767 << 16);
    assert_eq!(attention(PLAIN, &head), None);
    let wide = |z_shift, key| attention(Attention { z_shift, key, ..PLAIN }, &head);
    assert_eq!(wide(7, 4), None);
    assert_eq!(wide(8, 4), SCALE);
    assert_eq!(wide(1, 256), None);
    assert_eq!(wide(2, 256), SCALE);
    for (at, wrong) in [(0, 1), (3, -1), (4, -1), (5, 1), (6, i32::MIN)] {
        let mut head = head;
        head[at] = wrong;
        assert_eq!(attention(PLAIN, &head), SCALE, "{wrong} at {at}");
    }
}

#[test]
fn what_is_added_by_age_must_stay_within_half_the_range() {
    let ages = |age| attention(Attention { ages: true, ..PLAIN }, &[&[0; 8][..], &[0, 0, 0, age]].concat());
    assert_eq!(ages(i32::MAX / 2), None);
    assert_eq!(ages(i32::MAX / 2 + 1), SCALE);
    assert_eq!(ages(i32::MIN), SCALE);
}
