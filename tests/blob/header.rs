//! The header's bytes and text, and the sizes that follow from it.

use super::*;

/// A small blob with a change behind its checksum, which is repaired.
fn resealed(change: impl Fn(&mut Vec<u8>)) -> Option<LoadError> {
    let mut blob = forge_bytes(postcard::to_stdvec(&header(&[DENSE])).unwrap(), &words(FEATURE, &[0; DENSE_WORDS]));
    change(&mut blob);
    seal(&mut blob);
    error_of(&blob)
}

/// The error of any bytes as a header.
fn header_bytes(body: Vec<u8>) -> Option<LoadError> {
    error_of(&forge_bytes(body, &words(FEATURE, &[0; DENSE_WORDS])))
}

const HEADER: Option<LoadError> = Some(LoadError::Header);

#[test]
fn a_header_beyond_the_blob_is_refused() {
    assert_eq!(resealed(|_| ()), None);
    for len in [u32::MAX, u32::MAX - 3, 1 << 31, 4096] {
        assert_eq!(resealed(|blob| blob[12..16].copy_from_slice(&len.to_le_bytes())), HEADER, "{len}");
    }
}

#[test]
fn a_header_that_does_not_fill_its_length_is_refused() {
    let body = postcard::to_stdvec(&header(&[DENSE])).unwrap();
    assert_eq!(header_bytes(body.clone()), None);
    assert_eq!(header_bytes([&body[..], &[0]].concat()), HEADER);
    assert_eq!(header_bytes(body[..body.len() - 1].to_vec()), HEADER);
    assert_eq!(header_bytes(Vec::new()), HEADER);
}

/// Bytes in the order of the fields: four texts, inputs, window, mask, tests, heads, streams, nodes.
#[test]
fn a_header_that_does_not_decode_is_refused() {
    let body = postcard::to_stdvec(&header(&[DENSE])).unwrap();
    let patched = |at: usize, value: u8| {
        let mut body = body.clone();
        body[at] = value;
        header_bytes(body)
    };
    assert_eq!(body[..12], [0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 1]);
    assert_eq!(patched(0, 0xff), HEADER, "a text longer than the header");
    assert_eq!(patched(6, 2), HEADER, "a mask of 2");
    assert_eq!(patched(8, 5), HEADER, "five outputs");
    assert_eq!(patched(10, 5), HEADER, "five streams");
    assert_eq!(patched(11, 49), HEADER, "49 layers");
    let layer = body.len() - 9;
    assert_eq!(body[layer - 1..layer + 3], [1, 1, 1, 0], "a step, a dense layer of one output, whose weights are w8");
    assert_eq!(patched(layer, 3), HEADER, "an unknown layer");
    assert_eq!(patched(layer + 2, 3), HEADER, "unknown weights");
    assert_eq!(patched(layer + 3, 8), HEADER, "an unknown activation");
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let mut body = postcard::to_stdvec(&Header { name: "na", ..header(&[DENSE]) }).unwrap();
    assert_eq!(header_bytes(body.clone()), None);
    body[1..3].copy_from_slice(&[0xc3, 0x28]);
    assert_eq!(header_bytes(body), HEADER);
}

#[test]
fn padding_and_unused_bytes_must_be_zero() {
    let padded = |name| postcard::to_stdvec(&Header { name, ..header(&[DENSE]) }).unwrap();
    let body = ["", "a", "ab", "abc"].map(padded).into_iter().find(|b| b.len() % 4 == 1).unwrap();
    let blob = forge_bytes(body.clone(), &words(FEATURE, &[0; DENSE_WORDS]));
    assert_eq!(error_of(&blob), None);
    for at in [6, 7, PREFIX_BYTES + body.len(), PREFIX_BYTES + body.len() + 2] {
        let mut blob = blob.clone();
        blob[at] = 1;
        seal(&mut blob);
        assert_eq!(error_of(&blob), HEADER, "byte {at}");
    }
}

#[test]
fn a_model_without_inputs_layers_or_outputs_is_refused() {
    let zeros = words(FEATURE, &[0; DENSE_WORDS]);
    let empty = Some(LoadError::Empty);
    assert_eq!(refused(&header(&[]), &zeros), empty);
    assert_eq!(refused(&Header { inputs: 0, ..header(&[DENSE]) }, &zeros), empty);
    assert_eq!(refused(&Header { heads: heapless::Vec::new(), ..header(&[DENSE]) }, &zeros), empty);
    assert_eq!(refused(&Header { heads: [1].into_iter().collect(), ..header(&[DENSE]) }, &zeros), empty);
    assert_eq!(refused(&Header { heads: [255].into_iter().collect(), ..header(&[DENSE]) }, &zeros), empty);
}

#[test]
fn a_width_of_zero_is_refused() {
    let none = Layer::Lstm { units: 0, weights: Weights::W8, cell_frac: 24, z_shift: 0, initial: false };
    assert_eq!(layer_refused(none, &[]), Some(LoadError::Empty));
    let none =
        Layer::Dense { outputs: 0, weights: Weights::W8, activation: Activation::Linear, z_shift: 0, scale: 1.0 };
    assert_eq!(layer_refused(none, &[]), Some(LoadError::Empty));
}

/// Joined inputs have no unit of their own.
#[test]
fn an_output_without_a_unit_is_refused() {
    let window = More::Window { width: 2, taps: 2, dilation: 1, stride: 1, causal: false };
    assert_eq!(more_refused(window, &[]), Some(LoadError::Empty));
    let window = Layer::More(More::Concat { width: 2, second: 0 });
    assert_eq!(layer_refused(window, &[]), Some(LoadError::Empty));
}

#[test]
fn streams_must_add_up_to_the_inputs() {
    let streams = |widths: &[u16], window, mask| {
        let streams = widths.iter().copied().collect();
        let header = Header { inputs: 3, streams, window, mask, ..header(&[DENSE]) };
        let mask = if mask { 2 } else { 0 };
        let first = widths.first().map_or(0, |&n| usize::from(n).div_ceil(4) * 4);
        refused(&header, &[&FEATURE.to_words().repeat(3)[..], &vec![0; mask + 8 + first]].concat())
    };
    assert_eq!(streams(&[2, 1], 0, false), None);
    assert_eq!(streams(&[2, 2], 0, false), HEADER);
    assert_eq!(streams(&[3, 0], 0, false), HEADER);
    assert_eq!(streams(&[65_535, 4], 0, false), HEADER, "a sum that wraps");
    assert_eq!(streams(&[2, 1], 1, false), HEADER, "a window");
    assert_eq!(streams(&[2, 1], 0, true), HEADER, "a mask");
}

/// A state of more words than 2^29: 65,535 taps, as far apart; or, all saturated, more than there are addresses.
#[test]
fn a_state_beyond_all_addresses_is_refused() {
    let far = |width, taps| More::Window { width, taps, dilation: u16::MAX, stride: 1, causal: false };
    let nodes = [Node::streaming(0, Layer::More(far(u16::MAX, u16::MAX))), Node::streaming(1, DENSE)];
    let header = Header { heads: [1].into_iter().collect(), nodes: nodes.into_iter().collect(), ..header(&[DENSE]) };
    assert_eq!(refused(&header, &words(FEATURE, &[])), HEADER);
    let window = Header { inputs: u16::MAX, window: u16::MAX, ..super::header(&[DENSE]) };
    assert!(refused(&window, &[]).is_some());
}

#[test]
fn words_must_be_as_many_as_the_shapes_ask_for() {
    let length = |needed, found| Some(LoadError::Length { needed, found });
    assert_eq!(layer_refused(DENSE, &[0; DENSE_WORDS]), None);
    assert_eq!(layer_refused(LSTM, &[0; LSTM_WORDS]), None);
    assert_eq!(layer_refused(DENSE, &[0; DENSE_WORDS - 1]), length(17, 16));
    assert_eq!(layer_refused(DENSE, &[0; DENSE_WORDS + 1]), length(17, 18));
    let huge = Layer::Lstm { units: u16::MAX, weights: Weights::W16, cell_frac: 24, z_shift: 0, initial: false };
    assert_eq!(refused(&header(&[huge; 48]), &[]), length(u32::MAX, 0));
}

/// A sample of one feature takes two words, and the checksum one.
#[test]
fn the_self_test_must_be_as_long_as_its_steps() {
    let tested = |tests, inputs| Header { tests, inputs, ..header(&[DENSE]) };
    let with = |extra: usize| words(FEATURE, &vec![0; DENSE_WORDS + extra]);
    let length = |needed, found| Some(LoadError::Length { needed, found });
    assert_eq!(refused(&tested(2, 1), &with(5)), None);
    assert_eq!(refused(&tested(2, 1), &with(4)), length(22, 21));
    assert_eq!(refused(&tested(3, 1), &with(5)), length(24, 22));
    assert_eq!(refused(&tested(0, 1), &with(1)), length(17, 18));
    assert_eq!(refused(&tested(2, 1), &with(0)), length(22, 17));
    let most = tested(u16::MAX, u16::MAX);
    assert!(matches!(refused(&most, &with(5)), Some(LoadError::Length { needed: 0x8000_0000.., .. })));
}

#[test]
fn names_must_be_as_many_as_values_or_none() {
    let zeros = words(FEATURE, &[0; DENSE_WORDS]);
    let names = Some(LoadError::Names);
    assert_eq!(refused(&Header { labels: "a", features: "b", ..header(&[DENSE]) }, &zeros), None);
    assert_eq!(refused(&Header { labels: "a\nb", ..header(&[DENSE]) }, &zeros), names);
    assert_eq!(refused(&Header { features: "a\nb", ..header(&[DENSE]) }, &zeros), names);
    let heads = [0, 0].into_iter().collect();
    assert_eq!(refused(&Header { labels: "a\n", heads, ..header(&[DENSE]) }, &zeros), None);
}

/// They would tell a terminal what to do.
#[test]
fn control_characters_are_refused() {
    let zeros = words(FEATURE, &[0; DENSE_WORDS]);
    for text in ["\u{1b}[2J", "a\rb", "\t", "\0", "\u{7f}", "\u{9b}2J"] {
        let base = header(&[DENSE]);
        for header in [
            Header { name: text, ..base.clone() },
            Header { provenance: text, ..base.clone() },
            Header { labels: text, ..base.clone() },
            Header { features: text, ..base },
        ] {
            assert_eq!(refused(&header, &zeros), Some(LoadError::Names), "{text:?}");
        }
    }
    assert_eq!(refused(&Header { labels: "\u{e4}\u{3042}", provenance: "a\nb", ..header(&[DENSE]) }, &zeros), None);
}
