//! Models that are replaced in the field, whatever happens to the power meanwhile.
//!
//! Two slots of flash hold a model each. One is in use; an update goes to the other, and takes over by one record in a journal
//! once all of it is verified: its signature, its digest, its version, and its self-test on this very core. `docs/updates.md` has
//! the bytes, and what a power cut at each of them leaves.
//!
//! * [`update`]: an update as it comes in, in pieces, and why it is refused; what the link and the store agree on.
//! * [`manifest`]: what stands before a blob and is signed; the one home of the format, for devices and the host tool.
//! * [`key`]: the key that updates must be signed with, given when the program is built.
//! * [`layout`]: where the slots and the journal are. [`journal`]: which slot is in use, in records that are whole or not there.
//! * [`loader`]: how a stored blob comes to be a slice: where it lies in flash, or in a buffer.
//! * [`store`]: [`ModelStore`], all of it together. `incoming` writes the pieces; [`updater`] is the store behind the link.
//! * [`eeprom`]: bytewise memory as flash.
//!
//! ```no_run
//! use cellstate::{Model, Session, State};
//! use cellstate_store::{Buffer, Layout, ModelStore, PublicKey, Shape};
//! # use embedded_storage::nor_flash::NorFlash;
//!
//! const KEY: Option<PublicKey> = PublicKey::of_build(option_env!("CELLSTATE_KEY"));
//!
//! fn run<F: NorFlash>(flash: F) -> Option<usize> {
//!     let layout = Layout::of::<F>(0, 16 * 1024).ok()?;
//!     let mut store = ModelStore::new(flash, layout, KEY, Shape::inputs(6)).ok()?;
//!     let (mut buffer, mut state) = (Buffer::<8192>::new(), State::<512>::new());
//!     // The newest model that is whole, signed and passes its self-test; or else the program's own.
//!     let boot = store.boot(&mut buffer, &mut state).ok()?;
//!     let model = Model::parse(buffer.bytes(boot.length)?).ok()?;
//!     let mut session = Session::new(&model, &mut state).ok()?;
//!     let class = session.step_i16(&[0; 6]).ok()?.argmax();
//!     store.confirm().ok()?; // where models are on trial: it does what it should
//!     Some(class)
//! }
//! ```

#![no_std]
#![forbid(unsafe_code)]

pub mod eeprom;
mod incoming;
pub mod journal;
pub mod key;
pub mod layout;
pub mod loader;
pub mod manifest;
pub mod store;
pub mod update;
pub mod updater;

pub use eeprom::{Bytewise, Eeprom};
pub use key::{PublicKey, SecretKey};
pub use layout::{Layout, LayoutError};
pub use loader::{Buffer, InPlace, Loader, Mapped};
pub use manifest::Manifest;
pub use store::{Boot, Fallback, ModelStore, NoModel, Shape};
pub use update::{UpdateError, Updates};
pub use updater::Updater;
