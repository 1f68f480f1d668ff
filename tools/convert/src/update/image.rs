//! The flash that a device begins with: a journal of one record, and an update in the first slot.

use super::Update;
use cellstate_store::journal::Record;
use cellstate_store::layout::{Layout, LayoutError, Slot};

/// The bytes from where the store begins, to be written to erased flash; as many as it takes to the end of the model. What is behind
/// them may be anything.
///
/// # Errors
/// [`LayoutError`] if flash cannot be laid out so, or the update does not fit a slot.
pub fn image(update: &Update, slot_bytes: u32, erase_bytes: u32) -> Result<Vec<u8>, LayoutError> {
    let layout = Layout::new(0, slot_bytes, erase_bytes)?;
    let bytes = update.bytes();
    if bytes.len() > slot_bytes as usize {
        return Err(LayoutError::SlotTooSmall);
    }
    let record = Record { sequence: 1, floor: update.manifest().version, active: Slot::A, trial: 0 };
    let mut image = record.bytes().to_vec();
    image.resize(layout.slot(Slot::A) as usize, 0xff);
    image.extend(bytes);
    Ok(image)
}
