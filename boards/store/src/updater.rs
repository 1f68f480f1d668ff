//! A store behind the link.

use crate::{Loader, ModelStore, UpdateError, Updates};
use cellstate::State;
use embedded_storage::nor_flash::NorFlash;

/// A [`ModelStore`] with where it tests an update: a loader, and a state of `N` bytes. The model that runs has its own.
#[derive(Debug)]
pub struct Updater<F, L, const N: usize> {
    store: ModelStore<F>,
    loader: L,
    state: State<N>,
}

impl<F: NorFlash, L: Loader<F>, const N: usize> Updater<F, L, N> {
    /// Of a store that was [booted](ModelStore::boot).
    pub const fn new(store: ModelStore<F>, loader: L) -> Self {
        Self { store, loader, state: State::new() }
    }

    /// The store.
    pub fn store(&mut self) -> &mut ModelStore<F> {
        &mut self.store
    }

    /// The store again.
    pub fn into_store(self) -> ModelStore<F> {
        self.store
    }
}

impl<F: NorFlash, L: Loader<F>, const N: usize> Updates for Updater<F, L, N> {
    fn begin(&mut self, bytes: u32) -> Result<(), UpdateError> {
        self.store.begin(bytes)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), UpdateError> {
        self.store.write(offset, bytes)
    }

    fn received(&self) -> u32 {
        self.store.received()
    }

    fn finish(&mut self) -> Result<u32, UpdateError> {
        self.store.finish(&mut self.loader, &mut self.state)
    }
}
