//! Where a node's numbers stand in the blob and its buffers in the state: worked out once, when a model is loaded.

#[cfg(feature = "layers")]
use super::header::stream_of;
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
    /// Width of the second source, if there is one.
    #[cfg(feature = "layers")]
    pub second: usize,
    /// The stream on whose samples it runs.
    #[cfg(feature = "layers")]
    pub stream: u8,
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

    /// Width of the second source; 0 if there is none.
    #[inline(always)]
    pub const fn second(&self) -> usize {
        #[cfg(feature = "layers")]
        return self.second;
        #[cfg(not(feature = "layers"))]
        0
    }

    /// The stream on whose samples the node runs.
    #[inline(always)]
    pub const fn stream(&self) -> usize {
        #[cfg(feature = "layers")]
        return self.stream as usize;
        #[cfg(not(feature = "layers"))]
        0
    }
}

/// All nodes' places and what they add up to, in words; more than there are addresses is as many as there are.
#[derive(Clone, Debug, Default)]
pub(super) struct Places {
    pub(super) each: heapless::Vec<Place, MAX_LAYERS>,
    /// Words of the state before the first sample: of a windowed model, its counters.
    pub(super) samples: usize,
    /// Words of a sample of the first stream; those of others stand behind.
    pub(super) sample_words: usize,
    /// Words of the blob up to the self-test.
    pub(super) records: usize,
    pub(super) state: usize,
}

impl Places {
    /// The stream on whose samples a source has new values.
    #[cfg(feature = "layers")]
    pub(super) fn stream(&self, source: u8) -> usize {
        let place = |k: usize| self.each.get(k).map_or(0, Place::stream);
        stream_of(source).unwrap_or_else(|| usize::from(source).checked_sub(1).map_or(0, place))
    }

    pub(super) fn new(header: &Header) -> Self {
        let mut all = Self {
            each: heapless::Vec::new(),
            samples: if header.is_windowed() { 2 } else { 0 },
            sample_words: packed_words(header.stream_width(0)),
            records: header.input_words(),
            state: 0,
        };
        all.state = all.samples.saturating_add(header.samples().saturating_mul(all.sample_words));
        for &features in header.streams.iter().skip(1) {
            all.state = all.state.saturating_add(packed_words(features.into()));
        }
        for (k, node) in header.nodes.iter().enumerate() {
            let place = place(header, &all, k, node);
            let records = place.record_words.saturating_add(place.extra_words);
            all.records = all.records.saturating_add(records);
            all.state = all.state.saturating_add(place.state_words());
            // There is room for as many as there are nodes.
            let _ = all.each.push(place);
        }
        all
    }
}

fn place(header: &Header, all: &Places, k: usize, node: &Node) -> Place {
    let (inputs, width) = (header.width(node.from), node.layer.width());
    let second = node.layer.second().map_or(0, |second| header.width(second));
    let shape = node.layer.shape(inputs, second);
    let wide = header.is_wide(k);
    Place {
        inputs,
        #[cfg(feature = "layers")]
        second,
        #[cfg(feature = "layers")]
        stream: all.stream(node.from) as u8,
        width,
        records: all.records,
        record_words: shape.record_words(),
        #[cfg(feature = "layers")]
        sections: shape.sections.map(|s| s.words() as u32),
        extra_words: shape.extra,
        state: all.state,
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
