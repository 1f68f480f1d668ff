//! The model on board, which `build.rs` found, and its state.

use board::{ConstStaticCell, fail};
use cellstate::{Model, Session, State};

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
pub mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

/// Counts as static RAM.
static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

/// Runs a program with a session, once.
pub fn run(program: impl FnOnce(Session)) -> ! {
    let Some(state) = STATE.try_take() else { fail("main runs once") };
    let Ok(model) = Model::parse(&model::BLOB.0) else { fail("the model on board does not load") };
    let Ok(session) = Session::new(&model, state) else { fail("the state is too small") };
    program(session);
    fail("the serial port closed")
}
