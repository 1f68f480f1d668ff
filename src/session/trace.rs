//! A look into a step that was taken: gates and attention weights, computed again from what the step left in the state.
//!
//! Nothing is kept for it, so a step costs the same whether someone looks or not, and a program that never looks has none of
//! this in its code.

use super::walk::{Parts, Sequence, current, fours};
use super::{Session, others};
use crate::kernel::Four;
use crate::layer::lstm::Lstm;
use crate::model::Order;
use crate::model::layer::Layer;
use fixed::types::I1F15;

/// What a recurrent layer's latest step began with, and what it carries.
pub(super) struct Before<'s> {
    /// The layer's input.
    pub(super) x: &'s [Four],
    /// The hidden state before the step.
    pub(super) h: &'s [Four],
    /// What the layer carries, behind the number of its current output.
    #[cfg(feature = "layers")]
    pub(super) memory: &'s [i32],
    /// The layer's records, and the words behind them.
    pub(super) records: &'s [i32],
}

impl Session<'_> {
    /// The gates of a recurrent layer's latest step, computed again: `visit` is told each unit's number and its gates in
    /// Q0.15. Says whether there were some.
    ///
    /// | layer | gates |
    /// | --- | --- |
    /// | LSTM | input, forget, candidate, output: the order of [`Gate`](crate::model::header::Gate) |
    /// | GRU | reset, update, candidate |
    ///
    /// There are none of other layers, before a layer's first step, after a masked sample, of windowed models, and of LSTMs with
    /// peepholes, whose former cell state is gone. It takes as long as the step did.
    ///
    /// ```
    /// # use cellstate::Session;
    /// /// How much of layer 0's memory the latest step kept: the mean forget gate in Q0.15.
    /// fn kept(session: &Session) -> i32 {
    ///     let (mut sum, mut units) = (0, 0);
    ///     session.gates(0, |_, gates| {
    ///         sum += i32::from(gates[1].to_bits());
    ///         units += 1;
    ///     });
    ///     sum / units.max(1)
    /// }
    /// ```
    pub fn gates(&self, layer: usize, mut visit: impl FnMut(usize, &[I1F15])) -> bool {
        let model = self.model;
        let Some((node, place)) = model.node(layer) else { return false };
        let parts = Parts::new(self.words, place);
        let masked = model.header().is_masked() && !self.ran;
        if parts.yielded == 0 || masked || place.order != Order::Turns || model.header().is_windowed() {
            return false;
        }
        let before = (1 - current(place, parts.memory)) * place.slot_words;
        let before = Before {
            x: fours(Sequence::new(model, self.words, node.from, 1).at(0)),
            h: fours(parts.slots.get(before..).and_then(|h| h.get(..place.slot_words)).unwrap_or_default()),
            #[cfg(feature = "layers")]
            memory: parts.memory.get(1..).unwrap_or_default(),
            records: model.words_from(place.records),
        };
        match &node.layer {
            &Layer::Lstm { units, weights, cell_frac, z_shift, .. } => {
                let lstm = Lstm { records: before.records, weights, cell_frac, z_shift };
                lstm.gates(before.x, before.h, units.into(), |unit, gates| visit(unit, &gates.map(I1F15::from_bits)));
                true
            }
            Layer::More(more) => others::gates(more, place, &before, visit),
            Layer::Dense { .. } => false,
        }
    }

    /// Where the latest query of an attention layer looks: the weights of head `head`, memory by memory with its age, 0 being
    /// the newest, in units of `2^-15`. They add up to `1 << 15` but for their rounding.
    ///
    /// They are computed again by four at a time, which takes as long as the head's scores do, three times over. There are none
    /// unless the latest step made a query: after a memory of another stream the query is gone, and so it is in windowed models.
    #[cfg(feature = "layers")]
    pub fn attention(&self, layer: usize, head: usize) -> Option<impl Iterator<Item = (usize, u16)>> {
        let model = self.model;
        let (node, place) = model.node(layer)?;
        let parts = Parts::new(self.words, place);
        let asked =
            self.ran && self.stream.number() == place.stream() && parts.yielded > 0 && !model.header().is_windowed();
        let Layer::More(crate::model::more::More::Attention(kind)) = &node.layer else { return None };
        if !asked || head >= usize::from(kind.heads) {
            return None;
        }
        Some(others::weights(kind, place, model, parts.memory, head))
    }
}
