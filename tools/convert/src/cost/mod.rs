//! What a model costs on a device, before it is there: bytes exactly, instructions and time as estimates.
//!
//! * [`recorded`]: what was counted on emulated cores;
//! * [`fit`] and [`steps`]: instructions of a step of any model from those counts;
//! * [`boards`]: cores with their clocks, and boards with their memory.

pub mod boards;
pub mod fit;
pub mod recorded;
pub mod steps;

use crate::quantize::levers;
use boards::{BOARDS, Board, CLOCKED};
use cellstate::Model;
use cellstate::model::layer::Layer;

/// The tables beside the code: sigmoid and tanh 4 KiB, CRC-32 1 KiB.
const TABLE_BYTES: u64 = 5 * 1024;
/// What a step of the feature `layers` takes of the stack besides: attention was seen to take at most 992 bytes more than an LSTM,
/// a GRU 704 (`cargo xtask bench --layers attention`, on M0, M3, M4, M33 and rv32imac).
const LAYERS_STACK: u64 = 1024;

/// A model's cost on one core at one clock.
#[derive(Clone, Debug)]
pub struct Speed {
    /// The core and its clock.
    pub name: &'static str,
    /// Estimated instructions of the longest step.
    pub instructions: u64,
    /// Cycles an instruction.
    pub factor: f64,
    /// Whether the factor comes from recorded cycles, not from an assumption.
    pub from_cycles: bool,
    /// Estimated milliseconds of that step.
    pub milliseconds: f64,
}

/// Whether a model fits a board.
#[derive(Clone, Debug)]
pub struct Fit {
    /// The board.
    pub board: Board,
    /// Flash of the model and of the largest code that it needs.
    pub flash: u64,
    /// RAM of the state and the stack of a step.
    pub ram: u64,
}

impl Fit {
    /// Whether both fit.
    pub fn fits(&self) -> bool {
        self.flash <= self.board.flash_kb * 1024 && self.ram <= self.board.ram_kb * 1024
    }
}

/// All of a model's cost.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Bytes of the blob.
    pub blob: u64,
    /// Bytes of the state.
    pub state: u64,
    /// Bytes of a saved state.
    pub saved: u64,
    /// The smallest and the largest code with its tables, over all cores.
    pub code: (u64, u64),
    /// Core by core.
    pub speeds: Vec<Speed>,
    /// Board by board.
    pub fits: Vec<Fit>,
    /// Whether every layer's kind was counted somewhere.
    pub recorded: bool,
}

/// Whether the model wants the feature `layers`.
fn needs_layers(model: &Model) -> bool {
    model.nodes().any(|(node, _)| matches!(node.layer, Layer::More(_)))
}

/// The smallest and the largest code for a model on a core, with its tables: without the feature `layers` and with it.
fn code(model: &Model, core: &str) -> (u64, u64) {
    let most = |text: fn(&recorded::Recorded) -> u64| {
        recorded::of(core, None).map(text).max().unwrap_or_default() + TABLE_BYTES
    };
    let all = most(|r| r.layers_text_bytes);
    (if needs_layers(model) { all } else { most(|r| r.text_bytes) }, all)
}

/// The cost of a model whose blob has `blob` bytes.
pub fn cost(model: &Model, blob: usize) -> Cost {
    let (blob, state) = (blob as u64, model.state_bytes() as u64);
    // The format that most of the weights have decides about the cycles.
    let largest = model.nodes().max_by_key(|(_, place)| place.record_words);
    let weights = largest.and_then(|(node, _)| levers::formats(&node.layer)).map_or("w8", |f| f.w.name());
    let speed = |c: &boards::Clocked| {
        let instructions = steps::instructions(model, c.core)?;
        let (factor, from_cycles) = c.cycles_per_instruction(instructions, weights);
        let milliseconds = instructions * factor / (c.mhz * 1000.0);
        Some(Speed { name: c.name, instructions: instructions.round() as u64, factor, from_cycles, milliseconds })
    };
    let fit = |&board: &Board| {
        let stack = recorded::of(board.core, None).map(|r| r.stack_bytes).max().unwrap_or_default();
        let more = if needs_layers(model) { LAYERS_STACK } else { 0 };
        Fit { board, flash: blob + code(model, board.core).1, ram: state + stack + more }
    };
    let codes = CLOCKED.iter().map(|c| code(model, c.core));
    Cost {
        blob,
        state,
        saved: model.saved_bytes() as u64,
        code: codes.fold((u64::MAX, 0), |a, c| (a.0.min(c.0), a.1.max(c.1))),
        speeds: CLOCKED.iter().filter_map(speed).collect(),
        fits: BOARDS.iter().map(fit).collect(),
        recorded: steps::is_counted(model),
    }
}
