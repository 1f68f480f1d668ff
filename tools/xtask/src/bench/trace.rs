//! Which part of a step each executed instruction belongs to, from the firmware's symbols and debug information.

use super::cycles::Pairs;
use crate::inlined::Functions;
use anyhow::{Context as _, Result, ensure};
use std::ops::Range;

/// The function whose execution is one step.
const STEP: &str = "traced_step";

/// Instructions of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// The kernels: dot products, their set-up, requantization.
    pub(crate) mac: u64,
    /// Sigmoid and tanh.
    pub(crate) activation: u64,
    /// Everything else: cell update, input, walking through the layers.
    pub(crate) rest: u64,
}

impl Split {
    pub(crate) fn total(self) -> u64 {
        self.mac + self.activation + self.rest
    }
}

/// A firmware's functions, and the one that is a step.
pub(crate) struct Program<'a> {
    functions: Functions<'a>,
    step: u32,
}

impl<'a> Program<'a> {
    /// Reads an ELF.
    pub(crate) fn new(file: &object::File<'a>) -> Result<Self> {
        let functions = Functions::new(file)?;
        let step = functions.named(STEP).context("no symbol of the traced step")?.start;
        Ok(Self { functions, step })
    }

    /// Where an executed address counts.
    pub(crate) fn split(&self, executed: &Pairs) -> Split {
        let mut split = Split::default();
        for (&(_, pc), &count) in executed {
            let names = self.functions.names(pc);
            // The kernels' loop over units calls the layer, whose update is not a kernel.
            let within = |part: &str| names.iter().any(|n| n.contains(part) && !n.contains("kernel::units"));
            let slot = if within("cellstate::numeric::activation") {
                &mut split.activation
            } else if within("cellstate::kernel") {
                &mut split.mac
            } else {
                &mut split.rest
            };
            *slot += count;
        }
        split
    }
}

/// Counts what is executed between the call of a step and its return.
pub(crate) struct Recorder<'p, 'a> {
    program: &'p Program<'a>,
    previous: u32,
    /// Where the caller of the step under way lies.
    caller: Option<Range<u32>>,
    current: Pairs,
    /// One a step: how often each address was executed after which.
    pub(crate) steps: Vec<Pairs>,
}

impl<'p, 'a> Recorder<'p, 'a> {
    pub(crate) fn new(program: &'p Program<'a>) -> Self {
        Self { program, previous: 0, caller: None, current: Pairs::new(), steps: Vec::new() }
    }

    /// One executed instruction. The emulator names an instruction again when its time slice ended before it; no
    /// instruction here branches to itself.
    pub(crate) fn visit(&mut self, pc: u32) {
        if pc == self.previous {
            return;
        }
        match &self.caller {
            Some(caller) if caller.contains(&pc) => {
                self.steps.push(std::mem::take(&mut self.current));
                self.caller = None;
            }
            Some(_) => *self.current.entry((self.previous, pc)).or_default() += 1,
            None if pc == self.program.step => {
                self.caller = self.program.functions.at(self.previous).map(|(range, _)| range.clone());
                self.current.insert((self.previous, pc), 1);
            }
            None => {}
        }
        self.previous = pc;
    }

    /// The step with the most instructions.
    pub(crate) fn longest(self) -> Result<Pairs> {
        ensure!(!self.steps.is_empty(), "the trace has no step");
        Ok(self.steps.into_iter().max_by_key(|s| s.values().sum::<u64>()).unwrap_or_default())
    }
}
