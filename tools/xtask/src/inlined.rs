//! Which functions stand around an address of a firmware, those that the compiler inlined there included.

use addr2line::Context;
use anyhow::{Context as _, Result};
use gimli::{EndianSlice, LittleEndian};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::borrow::Cow;
use std::ops::Range;

/// A firmware's functions, by its symbols and its debug information.
pub(crate) struct Functions<'a> {
    functions: Vec<(Range<u32>, String)>,
    debug: Context<EndianSlice<'a, LittleEndian>>,
}

impl<'a> Functions<'a> {
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
                (start..start + s.size() as u32, demangled(s.name().unwrap_or_default()))
            })
            .collect();
        functions.sort_by_key(|(range, _)| range.start);
        Ok(Self { functions, debug })
    }

    /// The function of this name.
    pub(crate) fn named(&self, name: &str) -> Option<&Range<u32>> {
        self.functions.iter().find(|(_, other)| other == name).map(|(range, _)| range)
    }

    /// The function that holds an address.
    pub(crate) fn at(&self, pc: u32) -> Option<&(Range<u32>, String)> {
        let k = self.functions.partition_point(|(range, _)| range.start <= pc);
        self.functions.get(k.checked_sub(1)?).filter(|(range, _)| range.contains(&pc))
    }

    /// The names of the functions around an address, from the innermost that was inlined there out to the one that holds it.
    pub(crate) fn names(&self, pc: u32) -> Vec<String> {
        let mut names = Vec::new();
        if let Ok(mut frames) = self.debug.find_frames(pc.into()).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let raw = frame.function.and_then(|f| f.raw_name().ok().map(Cow::into_owned));
                names.extend(raw.map(|n| demangled(&n)));
            }
        }
        names.extend(self.at(pc).map(|(_, name)| name.clone()));
        names
    }
}

/// A name as it stands in the source.
pub(crate) fn demangled(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}
