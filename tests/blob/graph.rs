//! Sources, widths and steps.

use super::*;
use cellstate::model::more::Formats;

fn node(layer: Layer) -> Node {
    Node::streaming(0, layer)
}

fn more(more: More) -> Node {
    node(Layer::More(more))
}

#[test]
fn a_source_must_stand_before_its_node() {
    assert_eq!(node_refused(node(LSTM), 0, LSTM_WORDS), None);
    for from in [1, 2, 48, 49, 200, 252] {
        assert_eq!(node_refused(Node { from, ..node(LSTM) }, 0, LSTM_WORDS), GRAPH, "{from}");
    }
    for second in [1, 49, 252] {
        assert_eq!(node_refused(more(More::Concat { width: 2, second }), 0, 0), GRAPH, "{second}");
    }
}

#[test]
fn a_stream_must_be_there() {
    for from in [253, 254, 255] {
        assert_eq!(node_refused(Node { from, ..node(LSTM) }, 0, LSTM_WORDS), GRAPH, "{from}");
    }
}

/// A sample of another stream is attention's memory alone: others would find of it what an earlier step left.
#[test]
fn a_sample_of_another_stream_is_no_second_source() {
    let streams: heapless::Vec<u16, 4> = [1, 1].into_iter().collect();
    let join = |from, second| {
        let join = More::Join { width: 1, second, product: false, shift: 1, scale: 1.0 };
        let nodes = [Node::streaming(from, Layer::More(join))].into_iter().collect();
        let header = Header { inputs: 2, streams: streams.clone(), nodes, ..header(&[DENSE]) };
        refused(&header, &[&FEATURE.to_words().repeat(2)[..], &[0; 2]].concat())
    };
    assert_eq!(join(0, 0), None);
    assert_eq!(join(255, 255), None);
    assert_eq!(join(0, 255), GRAPH);
    assert_eq!(join(255, 0), GRAPH);
}

#[test]
fn steps_must_follow_from_the_source() {
    assert_eq!(node_refused(Node { steps: 2, ..node(LSTM) }, 0, LSTM_WORDS), GRAPH);
    assert_eq!(node_refused(Node { steps: 0, ..node(LSTM) }, 0, LSTM_WORDS), GRAPH);
    assert_eq!(node_refused(Node { steps: 5, ..node(LSTM) }, 5, LSTM_WORDS), None);
    assert_eq!(node_refused(Node { steps: 4, ..node(LSTM) }, 5, LSTM_WORDS), GRAPH);
    assert_eq!(node_refused(Node { last: true, ..node(LSTM) }, 5, LSTM_WORDS), None);
    assert_eq!(node_refused(Node { last: true, steps: 5, ..node(LSTM) }, 5, LSTM_WORDS), GRAPH);
}

#[test]
fn both_sources_must_have_as_many_steps() {
    let ends = Node { last: true, ..node(DENSE) };
    let join = More::Join { width: 1, second: 1, product: false, shift: 1, scale: 1.0 };
    let all = |first| {
        let nodes = [first, Node { steps: 5, ..more(join) }].into_iter().collect();
        let header = Header { window: 5, heads: [1].into_iter().collect(), nodes, ..header(&[DENSE]) };
        refused(&header, &words(FEATURE, &[0; DENSE_WORDS + 2]))
    };
    assert_eq!(all(Node { steps: 5, ..node(DENSE) }), None);
    assert_eq!(all(ends), Some(LoadError::Graph { layer: 1 }));
}

/// Backward walks are a window's, and a hidden state's.
#[test]
fn only_hidden_states_walk_backwards_over_a_window() {
    assert_eq!(node_refused(Node { backward: true, ..node(LSTM) }, 0, LSTM_WORDS), GRAPH);
    assert_eq!(node_refused(Node { backward: true, steps: 5, ..node(LSTM) }, 5, LSTM_WORDS), None);
    assert_eq!(node_refused(Node { backward: true, last: true, ..node(LSTM) }, 5, LSTM_WORDS), None);
    assert_eq!(node_refused(Node { backward: true, steps: 5, ..node(DENSE) }, 5, DENSE_WORDS), GRAPH);
}

#[test]
fn widths_must_follow_from_the_sources() {
    let norm = |width| more(More::Norm { width, shift: 0, scale: 1.0, epsilon: 0, rms: false });
    assert_eq!(node_refused(norm(1), 0, 2), None);
    assert_eq!(node_refused(norm(2), 0, 4), GRAPH);
    let join = |width| more(More::Join { width, second: 0, product: false, shift: 1, scale: 1.0 });
    assert_eq!(node_refused(join(1), 0, 2), None);
    assert_eq!(node_refused(join(2), 0, 2), GRAPH);
    assert_eq!(node_refused(more(More::Concat { width: 3, second: 0 }), 0, 0), GRAPH);
    let position = |width, rows| more(More::Position { width, rows, shift: 1, scale: 1.0 });
    assert_eq!(node_refused(position(1, 2), 0, 5), None);
    assert_eq!(node_refused(position(2, 2), 0, 5), GRAPH);
    assert_eq!(node_refused(position(1, 0), 0, 1), GRAPH);
}

#[test]
fn a_window_must_have_taps_dilation_and_stride() {
    let window = |width, taps, dilation, stride| {
        let layers = [Layer::More(More::Window { width, taps, dilation, stride, causal: false }), DENSE];
        refused(&header(&layers), &words(FEATURE, &[0; DENSE_WORDS]))
    };
    assert_eq!(window(2, 2, 1, 1), None);
    for [width, taps, dilation, stride] in [[3, 2, 1, 1], [2, 2, 0, 1], [2, 2, 1, 0], [1, 0, 1, 1]] {
        assert_eq!(window(width, taps, dilation, stride), GRAPH);
    }
}

/// An index beyond the table is the last row: see `tests/lookups.rs`.
#[test]
fn a_table_must_have_rows_that_an_index_can_name() {
    let table = |rows, weights| more(More::Embedding { rows, width: 4, weights, scale: 1.0 });
    assert_eq!(node_refused(table(1, Weights::W8), 0, 1), None);
    assert_eq!(node_refused(table(1 << 15, Weights::W8), 0, 1 << 15), None);
    assert_eq!(node_refused(table(0, Weights::W8), 0, 0), GRAPH);
    assert_eq!(node_refused(table((1 << 15) + 1, Weights::W8), 0, (1 << 15) + 1), GRAPH);
    assert_eq!(node_refused(table(1, Weights::W4), 0, 1), GRAPH);
    let pair = Header { inputs: 2, nodes: [table(1, Weights::W8)].into_iter().collect(), ..header(&[DENSE]) };
    assert_eq!(refused(&pair, &[&FEATURE.to_words().repeat(2)[..], &[0]].concat()), GRAPH, "an index has one value");
}

fn rnn(activation: Activation) -> More {
    let (units, formats) = (1, Formats::of(Weights::W8));
    More::Rnn { units, formats, activation, z_shift: 0, scale: 1.0, initial: false }
}

#[test]
fn a_hidden_state_is_no_softmax() {
    assert_eq!(more_refused(rnn(Activation::Relu), &[0; 20]), None);
    assert_eq!(more_refused(rnn(Activation::Softmax), &[0; 20]), GRAPH);
}

#[test]
fn a_softmax_must_be_an_output_that_no_layer_takes() {
    let softmax = dense(Activation::Softmax, 0, 1.0);
    let error = Some(LoadError::Softmax { layer: 0 });
    assert_eq!(layer_refused(softmax, &[0; DENSE_WORDS]), None);
    let two = words(FEATURE, &[0; 2 * DENSE_WORDS]);
    assert_eq!(refused(&header(&[softmax, DENSE]), &two), error);
    let both = [0, 1].into_iter().collect();
    assert_eq!(refused(&Header { heads: both, ..header(&[softmax, DENSE]) }, &two), error);
}

fn variant(formats: Formats, projection: u16) -> Node {
    let (units, cell_frac, peephole) = (1, 24, None);
    let (z_shift, initial, hard, scale) = (0, false, true, 1.0);
    more(More::LstmVariant { units, formats, cell_frac, z_shift, initial, hard, peephole, projection, scale })
}

#[test]
fn a_projection_must_not_widen() {
    assert_eq!(node_refused(variant(Formats::of(Weights::W8), 0), 0, 20), None);
    assert_eq!(node_refused(variant(Formats::of(Weights::W8), 1), 0, 32), None);
    assert_eq!(node_refused(variant(Formats::of(Weights::W8), 2), 0, 32), GRAPH);
}

/// Matrices apart: four biases, four multipliers and a block each.
#[test]
fn groups_must_be_whole_blocks_and_few() {
    let apart = |w, u, group| variant(Formats { w, u, group }, 0);
    assert_eq!(node_refused(apart(Weights::W8, Weights::W4, 0), 0, 12 + 10), None);
    assert_eq!(node_refused(apart(Weights::W4, Weights::W4, 4), 0, 10 + 10), None);
    for group in [1, 2, 6, 65_535] {
        assert_eq!(node_refused(apart(Weights::W4, Weights::W4, group), 0, 10 + 10), GRAPH, "{group}");
    }
    let wide = |inputs: u16| {
        let nodes = [apart(Weights::W4, Weights::W4, 4)].into_iter().collect();
        refused(&Header { inputs, nodes, ..header(&[DENSE]) }, &FEATURE.to_words().repeat(inputs.into()))
    };
    assert_eq!(wide(28), Some(LoadError::Length { needed: 28 * 5 + 4 + 7 * 6 + 10, found: 140 }));
    assert_eq!(wide(29), GRAPH, "nine parts");
}
