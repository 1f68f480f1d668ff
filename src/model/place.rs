//! Where a node's numbers stand in the blob and its buffers in the state: worked out once, when a model is loaded.

use super::header::{Header, MAX_LAYERS};

/// A node's parts of the blob's words and of the state's.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    /// Width of the input.
    pub(crate) inputs: usize,
    /// The first word of the records, behind the input map.
    pub(crate) records: usize,
    /// Words of the records.
    pub(crate) record_words: usize,
    /// Words behind the records.
    pub(crate) extra_words: usize,
    /// The first word of state: the counter of outputs, then what the node carries, then its outputs.
    pub(crate) state: usize,
    /// Words that it carries from step to step.
    pub(crate) memory_words: usize,
    /// Words of one output.
    pub(crate) slot_words: usize,
    /// Outputs that there is room for.
    pub(crate) slots: usize,
    /// Whether outputs are kept in 32 bits.
    pub(crate) wide: bool,
}

impl Place {
    /// One place a node, for a header whose sums were checked.
    pub(super) fn all(header: &Header) -> heapless::Vec<Place, MAX_LAYERS> {
        let (mut records, mut state) = (0, header.sample_words());
        let place = |(k, node): (usize, &super::header::Node)| {
            let inputs = header.width(node.from);
            let place = Place {
                inputs,
                records,
                record_words: node.layer.record_words(inputs),
                extra_words: node.layer.extra_words(inputs),
                state,
                memory_words: node.layer.memory_words(inputs),
                slot_words: header.slot_words(k),
                slots: header.slots(k),
                wide: header.is_wide(k),
            };
            records += place.record_words + place.extra_words;
            state += 1 + place.memory_words + place.slots * place.slot_words;
            place
        };
        header.nodes.iter().enumerate().map(place).collect()
    }
}
