//! What the counter advances in each layer of a step.

use crate::server::Counter;
use cellstate::model::header::MAX_LAYERS;

/// Ticks of each layer in one step.
#[derive(Debug)]
pub struct Ticks<'a, C> {
    counter: &'a mut C,
    begun: u32,
    layers: &'a mut [u32; MAX_LAYERS],
}

impl<'a, C: Counter> Ticks<'a, C> {
    /// Of a step that begins: zeros in `layers`.
    pub fn new(counter: &'a mut C, layers: &'a mut [u32; MAX_LAYERS]) -> Self {
        layers.fill(0);
        Self { counter, begun: 0, layers }
    }
}

impl<C: Counter> cellstate::Profile for Ticks<'_, C> {
    #[inline]
    fn begin(&mut self, _: usize) {
        self.begun = self.counter.now();
    }

    #[inline]
    fn end(&mut self, layer: usize) {
        let now = self.counter.now();
        if let Some(ticks) = self.layers.get_mut(layer) {
            *ticks = ticks.wrapping_add(self.counter.between(self.begun, now));
        }
    }
}
