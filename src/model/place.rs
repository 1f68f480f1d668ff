//! Where a node's numbers stand in the blob and its buffers in the state: worked out once, when a model is loaded.

use super::header::{Header, MAX_LAYERS, Node, packed_words, padded};

/// A node's parts of the blob's words and of the state's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Width of the input.
    pub inputs: usize,
    /// The first word of the records, behind the input map.
    pub records: usize,
    /// Words of the records.
    pub record_words: usize,
    /// Words behind the records.
    pub extra_words: usize,
    /// The first word of state: the counter of outputs, then what the node carries, then its outputs.
    pub state: usize,
    /// Words that it carries from step to step.
    pub memory_words: usize,
    /// Words of one output.
    pub slot_words: usize,
    /// Outputs that there is room for. A recurrent layer reads its former output while it writes the next.
    pub slots: usize,
    /// Whether outputs are kept in 32 bits.
    pub wide: bool,
}

impl Place {
    /// Words of the state.
    pub const fn state_words(&self) -> usize {
        let slots = self.slots.saturating_mul(self.slot_words);
        slots.saturating_add(self.memory_words).saturating_add(1)
    }
}

/// All nodes' places and what they add up to, in words; more than there are addresses is as many as there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) each: heapless::Vec<Place, MAX_LAYERS>,
    pub(super) records: usize,
    pub(super) state: usize,
}

impl Places {
    pub(super) fn new(header: &Header) -> Self {
        let mut all = Self { each: heapless::Vec::new(), records: 0, state: header.sample_words() };
        for (k, node) in header.nodes.iter().enumerate() {
            let place = place(header, k, node, all.records, all.state);
            let records = place.record_words.saturating_add(place.extra_words);
            all.records = all.records.saturating_add(records);
            all.state = all.state.saturating_add(place.state_words());
            // There is room for as many as there are nodes.
            let _ = all.each.push(place);
        }
        all
    }
}

fn place(header: &Header, k: usize, node: &Node, records: usize, state: usize) -> Place {
    let (inputs, width) = (header.width(node.from), node.layer.width());
    let shape = node.layer.shape(inputs);
    let wide = header.is_wide(k);
    Place {
        inputs,
        records,
        record_words: shape.record_words(node.layer.weights()),
        extra_words: shape.extra,
        state,
        memory_words: shape.memory,
        slot_words: if wide { padded(width) } else { packed_words(width) },
        slots: usize::from(node.steps) + usize::from(node.layer.is_recurrent()),
        wide,
    }
}
