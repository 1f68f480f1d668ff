//! Which part of a step each executed instruction belongs to, from the firmware's symbols and debug information.

use super::cycles::Pairs;
use addr2line::Context;
use anyhow::{Context as _, Result, ensure};
use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
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

/// A firmware's functions.
pub(crate) struct Program<'a> {
    functions: Vec<(Range<u32>, String)>,
    debug: Context<EndianSlice<'a, LittleEndian>>,
    step: u32,
}

impl<'a> Program<'a> {
    /// Reads an ELF.
    pub(crate) fn new(file: &object::File<'a>) -> Result<Self> {
        let section = |id: gimli::SectionId| -> Result<EndianSlice<'a, LittleEndian>> {
            let data = match file.section_by_name(id.name()) {
                Some(section) => section.data().context("a debug section that does not read")?,
                None => &[],
            };
            Ok(EndianSlice::new(data, LittleEndian))
        };
        let debug = Context::from_dwarf(gimli::Dwarf::load(section)?)?;
        let text = file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0);
        let mut functions: Vec<_> = text
            .map(|s| {
                let start = s.address() as u32 & !1;
                let name = s.name().unwrap_or_default();
                (start..start + s.size() as u32, format!("{:#}", rustc_demangle::demangle(name)))
            })
            .collect();
        functions.sort_by_key(|(range, _)| range.start);
        let step = functions.iter().find(|(_, name)| name == STEP).context("no symbol of the traced step")?.0.start;
        Ok(Self { functions, debug, step })
    }

    /// The function that holds an address.
    fn function(&self, pc: u32) -> Option<&(Range<u32>, String)> {
        let k = self.functions.partition_point(|(range, _)| range.start <= pc);
        self.functions.get(k.checked_sub(1)?).filter(|(range, _)| range.contains(&pc))
    }

    /// The names of the functions around an address, those inlined there included.
    fn names(&self, pc: u32) -> Vec<String> {
        let mut names: Vec<String> = self.function(pc).map(|(_, name)| name.clone()).into_iter().collect();
        if let Ok(mut frames) = self.debug.find_frames(pc.into()).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let raw = frame.function.and_then(|f| f.raw_name().ok().map(std::borrow::Cow::into_owned));
                names.extend(raw.map(|n| format!("{:#}", rustc_demangle::demangle(&n))));
            }
        }
        names
    }

    /// Where an executed address counts.
    pub(crate) fn split(&self, executed: &Pairs) -> Split {
        let mut split = Split::default();
        for (&(_, pc), &count) in executed {
            let names = self.names(pc);
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
                self.caller = self.program.function(self.previous).map(|(range, _)| range.clone());
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
