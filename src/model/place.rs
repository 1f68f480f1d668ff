//! Where a node's numbers stand in the blob and its buffers in the state: worked out once, when a model is loaded.

use super::header::{Header, MAX_LAYERS, Node, packed_words, padded};

/// In which slots a node's outputs stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Step by step from the first slot on: a layer without a hidden state.
    #[default]
    Plain,
    /// In two slots by turns, the first word of what the layer carries being the current one: a recurrent layer in a stream.
    Turns,
    /// Step by step behind the initial state: a recurrent layer over a window.
    #[cfg(feature = "layers")]
    Forward,
    /// The same, but the first of the window's steps is taken last.
    #[cfg(feature = "layers")]
    Backward,
}

/// A node's parts of the blob's words and of the state's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Place {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub width: usize,
    /// The first word of the records.
    pub records: usize,
    /// Words of the records.
    pub record_words: usize,
    /// Words of each kind of records, for layers that have several.
    #[cfg(feature = "layers")]
    pub sections: [u32; super::layer::SECTIONS],
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
    /// In which slots they stand.
    pub order: Order,
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
    /// Words of the state before the first sample: of a windowed model, its counters.
    pub(super) samples: usize,
    /// Words of a sample.
    pub(super) sample_words: usize,
    /// Words of the blob up to the self-test.
    pub(super) records: usize,
    pub(super) state: usize,
}

impl Places {
    pub(super) fn new(header: &Header) -> Self {
        let mut all = Self {
            each: heapless::Vec::new(),
            samples: if header.is_windowed() { 2 } else { 0 },
            sample_words: packed_words(header.inputs.into()),
            records: header.input_words(),
            state: 0,
        };
        all.state = all.samples.saturating_add(header.samples().saturating_mul(all.sample_words));
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
        width,
        records,
        record_words: shape.record_words(),
        #[cfg(feature = "layers")]
        sections: shape.sections.map(|s| s.words() as u32),
        extra_words: shape.extra,
        state,
        memory_words: shape.memory,
        slot_words: if wide { padded(width) } else { packed_words(width) },
        slots: usize::from(node.steps) + usize::from(node.layer.is_recurrent()),
        order: order(node),
        wide,
    }
}

fn order(node: &Node) -> Order {
    if !node.layer.is_recurrent() {
        return Order::Plain;
    }
    #[cfg(feature = "layers")]
    if node.steps > 1 {
        return if node.backward { Order::Backward } else { Order::Forward };
    }
    Order::Turns
}
