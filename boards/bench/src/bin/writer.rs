//! Writes with a model of text: the pack's first entry is the number of symbols and the blob, its second the seed and the prompt,
//! two bytes a symbol. Each symbol that the model chooses is a line with its number; greedy where the seed is 0, else at a
//! temperature of one half.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

#[path = "../pack.rs"]
mod pack;

use cellstate::{Choice, Model, Sampler, Session, State};
use cellstate_app::trial;
use cellstate_qemu::{ConstStaticCell, fail};
use semihosting::{println, process};

/// A ring of memories takes some.
static STATE: ConstStaticCell<State<32768>> = ConstStaticCell::new(State::new());

#[cellstate_qemu::entry]
fn main() -> ! {
    let mut entries = trial::trials(pack::pack());
    let (Some((count, blob)), Some((seed, prompt))) = (entries.next(), entries.next()) else { fail("no prompt") };
    let Ok(model) = Model::parse(blob) else { fail("the blob was refused") };
    let Some(state) = STATE.try_take() else { fail("main runs once") };
    let Ok(mut session) = Session::new(&model, state) else { fail("too little state") };
    let choice = if seed == 0 { Choice::Greedy } else { Choice::Sample { temperature: 1 << 15, top: 0 } };
    let mut sampler = Sampler::new(seed.into(), choice);
    let prompt = prompt.as_chunks().0.iter().map(|&symbol| u16::from_le_bytes(symbol));
    match session.generate(0, prompt, &mut sampler) {
        Ok(text) => text.take(count as usize).for_each(|symbol| println!("{symbol}")),
        Err(_) => fail("a sample is not one value"),
    }
    process::exit(0)
}
