//! A firmware's functions, the frame of each, and whom each calls.

use super::{riscv, thumb};
use anyhow::{Context, Result, bail, ensure};
use object::{Architecture, Object, ObjectSection, ObjectSymbol, SymbolKind};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What the instructions of a function say.
#[derive(Debug, Default)]
pub(super) struct Body {
    /// Bytes that its instructions take of the stack, all added up.
    pub(super) pushed: u64,
    /// Addresses that it calls.
    pub(super) calls: BTreeSet<u32>,
    /// Addresses that it jumps to; those of other functions are calls too.
    pub(super) jumps: BTreeSet<u32>,
    /// Whether it calls what a register holds.
    pub(super) indirect: bool,
}

struct Function {
    name: String,
    frame: u64,
    calls: BTreeSet<u32>,
}

/// A firmware by the addresses of its functions.
pub(super) struct Program {
    functions: BTreeMap<u32, Function>,
}

/// The most that a function takes of the stack, those that it calls included.
#[derive(Clone, Debug, Default)]
pub(super) struct Deepest {
    pub(super) bytes: u64,
    /// From the function down.
    pub(super) path: Vec<String>,
}

/// The only functions that are called by pointers: a layer's weights choose one.
const KERNELS: &str = "cellstate::kernel::";
/// Who may do so.
const CALLERS: [&str; 3] = ["cellstate::", "cellstate_app::", "qemu_"];

impl Program {
    /// Reads an ELF that has the compiler's stack sizes.
    pub(super) fn read(file: &object::File) -> Result<Self> {
        let is_arm = file.architecture() == Architecture::Arm;
        let frames = stack_sizes(file)?;
        let code: Vec<(u32, &[u8])> = file
            .sections()
            .filter(|s| s.kind() == object::SectionKind::Text)
            .map(|s| Ok((s.address() as u32, s.data()?)))
            .collect::<Result<_>>()?;
        // Where the assembler says that data begins in the code, and code again.
        let marks: BTreeMap<u32, bool> = file
            .symbols()
            .filter_map(|s| match s.name().ok()?.get(..2)? {
                "$t" | "$x" => Some((s.address() as u32, true)),
                "$d" => Some((s.address() as u32, false)),
                _ => None,
            })
            .collect();
        let is_code = |at: u32| marks.range(..=at).next_back().is_none_or(|(_, code)| *code);
        let mut bodies = BTreeMap::new();
        for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Text && s.size() > 0) {
            let start = symbol.address() as u32 & !1;
            let bytes = code.iter().find_map(|&(at, bytes)| {
                let offset = start.checked_sub(at)? as usize;
                bytes.get(offset..offset + symbol.size() as usize)
            });
            let bytes = bytes.context("a function without code")?;
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
            let mut body = if is_arm { thumb::body(start, bytes, is_code) } else { riscv::body(start, bytes) };
            // The M0 has no other way to jump far than by a call.
            body.calls.retain(|call| *call == start || !(start..start + symbol.size() as u32).contains(call));
            bodies.insert(start, (name, body));
        }
        let starts: BTreeSet<u32> = bodies.keys().copied().collect();
        let kernels: BTreeSet<u32> =
            bodies.iter().filter(|(_, (name, _))| name.starts_with(KERNELS)).map(|(at, _)| *at).collect();
        ensure!(!kernels.is_empty(), "the ELF has no kernels");
        let mut functions = BTreeMap::new();
        for (at, (name, body)) in bodies {
            let mut calls = body.calls;
            if let Some(lost) = calls.iter().find(|call| !starts.contains(call)) {
                bail!("{name} calls {lost:#x}, which is no function");
            }
            calls.extend(body.jumps.into_iter().filter(|jump| *jump != at && starts.contains(jump)));
            if body.indirect {
                ensure!(
                    name == "main" || CALLERS.iter().any(|caller| name.contains(caller)) || is_far(&name),
                    "{name} calls by a pointer"
                );
                calls.extend(&kernels);
            }
            // Assembly has no entry, and what it pushes is all that it takes.
            let frame = frames.get(&at).copied().unwrap_or(body.pushed);
            functions.insert(at, Function { name, frame, calls });
        }
        Ok(Self { functions })
    }

    fn find(&self, name: &str) -> Result<impl Iterator<Item = u32>> {
        let found =
            |f: &Function| f.name == name || f.name.strip_prefix(name).is_some_and(|rest| rest.starts_with("::<"));
        let found: Vec<u32> = self.functions.iter().filter(|(_, f)| found(f)).map(|(at, _)| *at).collect();
        ensure!(!found.is_empty(), "no function is called {name}: it was inlined");
        Ok(found.into_iter())
    }

    /// The deepest path from a function, or from all forms of it. A path that comes back is an error.
    pub(super) fn deepest(&self, name: &str) -> Result<Deepest> {
        let (mut known, mut path) = (HashMap::new(), Vec::new());
        let mut deepest = Deepest::default();
        for at in self.find(name)? {
            let found = self.below(at, &mut known, &mut path)?;
            if found.bytes >= deepest.bytes {
                deepest = found;
            }
        }
        Ok(deepest)
    }

    fn below(&self, at: u32, known: &mut HashMap<u32, Deepest>, path: &mut Vec<u32>) -> Result<Deepest> {
        if let Some(deepest) = known.get(&at) {
            return Ok(deepest.clone());
        }
        let function = self.functions.get(&at).context("a call to no function")?;
        if path.contains(&at) {
            let names: Vec<&str> = path.iter().filter_map(|at| self.functions.get(at)).map(|f| &*f.name).collect();
            bail!("{} calls itself: {}", function.name, names.join(" > "));
        }
        path.push(at);
        let mut deepest = Deepest::default();
        for &call in &function.calls {
            let found = self.below(call, known, path)?;
            if found.bytes >= deepest.bytes {
                deepest = found;
            }
        }
        path.pop();
        deepest.bytes += function.frame;
        deepest.path.insert(0, function.name.clone());
        known.insert(at, deepest.clone());
        Ok(deepest)
    }

    /// The names of all that a function can reach.
    pub(super) fn reached(&self, name: &str) -> Result<impl Iterator<Item = &str>> {
        let mut left: Vec<u32> = self.find(name)?.collect();
        let mut seen = BTreeSet::new();
        while let Some(at) = left.pop() {
            if seen.insert(at) {
                left.extend(self.functions.get(&at).iter().flat_map(|f| &f.calls));
            }
        }
        Ok(seen.into_iter().filter_map(|at| self.functions.get(&at)).map(|f| &*f.name))
    }
}

/// What the linker and the start-up code have for calls that are far.
fn is_far(name: &str) -> bool {
    ["Reset", "_start", "__Thumb", "HardFault"].iter().any(|known| name.starts_with(known)) || name.contains("thunk")
}

/// The compiler's frames by the addresses of their functions: an address and a LEB128 each.
fn stack_sizes(file: &object::File) -> Result<HashMap<u32, u64>> {
    let mut sizes = HashMap::new();
    let sections = file.sections().filter(|s| s.name() == Ok(".stack_sizes"));
    for section in sections {
        let mut data = section.data()?;
        while let Some((address, rest)) = data.split_first_chunk::<4>() {
            let mut reader = gimli::EndianSlice::new(rest, gimli::LittleEndian);
            let size = gimli::Reader::read_uleb128(&mut reader)?;
            sizes.insert(u32::from_le_bytes(*address) & !1, size);
            data = reader.slice();
        }
    }
    ensure!(!sizes.is_empty(), "the ELF has no stack sizes");
    Ok(sizes)
}
