//! A device whose model is replaced in the field: a store in the EEPROM on the two-wire bus, and behind the serial port a session of
//! the model that the store boots, or of the program's own.

use board::{MACHINE, Painted, counter, fail, port};
use cellstate::{Model, Session, State};
use cellstate_app::device::{Device, Memory};
use cellstate_app::server::{Ended, serve};
use cellstate_qemu::eeprom::Eeprom24x512;
use cellstate_qemu::mps2::timers::Timers;
use cellstate_store::{Buffer, Bytewise, Layout, ModelStore, PublicKey, Shape, Updater};
use embedded_hal::i2c::I2c;

/// What updates must be signed with, unless the program is built without.
const KEY: Option<PublicKey> = PublicKey::of_build(option_env!("CELLSTATE_KEY"));
/// Bytes that are erased at once: four pages of the EEPROM.
const ERASE: usize = 512;

/// What a device needs of RAM: models of up to `BLOB` bytes, whose states have up to `STATE`, and their copies up to `SAVED`.
pub struct Room<const BLOB: usize, const STATE: usize, const SAVED: usize> {
    model: Buffer<BLOB>,
    state: State<STATE>,
    /// An update, while it is tested.
    tested: Buffer<BLOB>,
    memory: Memory<SAVED>,
}

impl<const BLOB: usize, const STATE: usize, const SAVED: usize> Room<BLOB, STATE, SAVED> {
    pub const fn new() -> Self {
        Self { model: Buffer::new(), state: State::new(), tested: Buffer::new(), memory: Memory::new() }
    }
}

/// Serves, with an EEPROM on this bus that has two slots of so many bytes. `own` is the program's model, for samples of so many
/// features.
pub fn run<const BLOB: usize, const STATE: usize, const SAVED: usize>(
    bus: impl I2c,
    slot: u32,
    own: &[u8],
    inputs: usize,
    room: &mut Room<BLOB, STATE, SAVED>,
    stack: &Painted,
) -> ! {
    let Room { model: buffer, state, tested, memory } = room;
    let flash = Bytewise::<_, ERASE>(Eeprom24x512::new(bus, Timers::start(&MACHINE)));
    let Ok(layout) = Layout::new(0, slot, ERASE as u32) else { fail("slots that are not whole blocks") };
    let Ok(store) = ModelStore::new(flash, layout, KEY, Shape::inputs(inputs)) else {
        fail("an EEPROM that is too small")
    };
    let mut updater = Updater::<_, _, STATE>::new(store, tested);
    let mut port = port();
    loop {
        let booted = updater.store().boot(buffer, state).ok().and_then(|boot| buffer.bytes(boot.length));
        let Ok(model) = Model::parse(booted.unwrap_or(own)) else { fail("the program's model does not load") };
        let Ok(session) = Session::new(&model, state) else { fail("the state is too small") };
        let mut device = Device::new(session, memory, counter(), || stack.high_water(), &mut updater);
        let Ok(Ended::Restart) = serve(&mut port, &mut device) else { fail("the serial port closed") };
    }
}
