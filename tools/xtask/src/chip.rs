//! A board's EEPROM on the host, with the board's store in it: what a factory writes.

use crate::fielded;
use anyhow::{Context, Result};
use cellstate::State;
use cellstate_store::{Buffer, Bytewise, Eeprom, Layout, ModelStore, Shape};
use std::path::Path;

/// Bytes that are erased at once, as the firmware has them.
const ERASE: usize = 512;
/// Bytes that are enough for the models here.
const BLOB: usize = 16 << 10;

/// Takes updates on the host, into an EEPROM that a board has had: with slots of so many bytes, for samples of one feature.
pub(crate) fn update(image: &Path, slot: u32, updates: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
    let chip = Chip(std::fs::read(image).with_context(|| image.display().to_string())?);
    let flash = Bytewise::<_, ERASE>(chip);
    let layout = Layout::new(0, slot, ERASE as u32)?;
    let mut store = ModelStore::new(flash, layout, Some(fielded::key()?.public()), Shape::inputs(1))?;
    let (mut buffer, mut state) = (Buffer::<BLOB>::new(), State::<{ fielded::STATE }>::new());
    for update in updates {
        store.boot(&mut buffer, &mut state).map_err(|none| anyhow::anyhow!("{}: {none:?}", image.display()))?;
        let refused = |why| anyhow::anyhow!("{}: the update was refused: {why:?}", image.display());
        store.begin(u32::try_from(update.len())?).map_err(refused)?;
        store.write(0, &update).map_err(refused)?;
        store.finish(&mut buffer, &mut state).map_err(refused)?;
    }
    std::fs::write(image, &store.flash().0.0).with_context(|| image.display().to_string())
}

/// The EEPROM's bytes.
struct Chip(Vec<u8>);

impl Eeprom for Chip {
    type Error = ();

    const PAGE: usize = 128;

    fn capacity(&self) -> usize {
        self.0.len()
    }

    fn read(&mut self, address: u32, bytes: &mut [u8]) -> std::result::Result<(), ()> {
        let from = address as usize;
        bytes.copy_from_slice(self.0.get(from..from + bytes.len()).ok_or(())?);
        Ok(())
    }

    fn write_page(&mut self, address: u32, bytes: &[u8]) -> std::result::Result<(), ()> {
        let from = address as usize;
        self.0.get_mut(from..from + bytes.len()).ok_or(())?.copy_from_slice(bytes);
        Ok(())
    }
}
