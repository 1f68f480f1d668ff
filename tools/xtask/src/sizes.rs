//! `cargo xtask sizes`: what each part of the field firmware takes of flash, with every layer and with LSTM and Dense alone.
//!
//! Each instruction counts for the innermost function around it that belongs to a part, inlined ones included; what libraries have to
//! themselves is a part of its own. Constants count by their symbol.

use crate::inlined::{Functions, demangled};
use crate::{fielded, firmware};
use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table, presets::UTF8_BORDERS_ONLY};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

/// A part, and what the names of its functions and constants begin with.
type Part = (&'static str, &'static [&'static str]);

/// In the order of the table. A name belongs to the first part that has its beginning.
const PARTS: [Part; 10] = [
    ("loader: blob, header, shapes", &["cellstate::model"]),
    ("kernels", &["cellstate::kernel"]),
    ("layers, activations", &["cellstate::layer", "cellstate::numeric"]),
    ("session: steps, state, self-test", &["cellstate::"]),
    ("hash: SHA-512", &["ed25519_compact::sha512"]),
    ("signature check: Ed25519", &["ed25519_compact"]),
    ("store: slots, journal, manifests", &["cellstate_store"]),
    ("protocol: frames, device service", &["cellstate_app", "cobs"]),
    ("drivers, start-up: bus, EEPROM, port, timers", DRIVERS),
    (SHARED, &["postcard", "serde", "heapless", "crc", "bytemuck", "fixed"]),
];
/// The board's own crates and programs, and what starts them.
const DRIVERS: &[&str] = &[
    "cellstate_qemu",
    "board",
    "qemu_mps2",
    "eeprom24x",
    "cortex_m",
    "semihosting",
    "static_cell",
    "Reset",
    "main",
    "DefaultHandler",
    "HardFault",
    "DefaultPreInit",
    "__INTERRUPTS",
    "__EXCEPTIONS",
    "__RESET_VECTOR",
];
/// The program's own model, by the end of its name.
const MODEL: (&str, &str) = ("the program's own model", "model::BLOB");
/// Counts only where no other part is around it.
const SHARED: &str = "postcard, serde and others, shared";
/// What has no such name.
const CORE: &str = "core library, the compiler's routines";
const UNNAMED: &str = "constants without a name, padding";

/// Builds, weighs and prints.
pub(crate) fn run() -> Result<()> {
    let mut weighed = Vec::new();
    for arguments in [&[][..], &["--no-default-features"][..]] {
        let elf = fielded::build("field", arguments)?;
        let parts = weigh(&elf)?;
        let (flash, ram) = firmware::flash_and_ram(&elf)?;
        let sum: u64 = parts.values().map(Bytes::sum).sum();
        ensure!(sum == flash, "the parts have {sum} bytes, the ELF {flash}");
        weighed.push((parts, ram));
    }
    let mut table = Table::new();
    table.load_preset(UTF8_BORDERS_ONLY);
    table.set_header(["part", "code", "constants", "flash", "code", "constants", "flash"]);
    let names = PARTS.iter().map(|(name, _)| *name).chain([MODEL.0, CORE, UNNAMED]);
    for name in names {
        let of = |(parts, _): &(Parts, u64)| parts.get(name).copied().unwrap_or_default();
        table.add_row(row(name, weighed.iter().map(of)));
    }
    let all = weighed.iter().map(|(parts, _)| parts.values().fold(Bytes::default(), Bytes::and));
    table.add_row(row("all", all));
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    println!("{table}");
    let [ram, less] = [0, 1].map(|k| weighed.get(k).map_or(0, |(_, ram)| *ram));
    println!("bytes; at the left with every layer, at the right with LSTM and Dense; static RAM {ram} and {less}");
    Ok(())
}

fn row(name: &str, bytes: impl Iterator<Item = Bytes>) -> Vec<String> {
    let cells = bytes.flat_map(|bytes| [bytes.code, bytes.constants, bytes.sum()]);
    [name.to_owned()].into_iter().chain(cells.map(|n| n.to_string())).collect()
}

/// Of a part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bytes {
    code: u64,
    constants: u64,
}

impl Bytes {
    fn sum(&self) -> u64 {
        self.code + self.constants
    }

    fn and(self, other: &Self) -> Self {
        Self { code: self.code + other.code, constants: self.constants + other.constants }
    }
}

/// Parts by their names.
type Parts = BTreeMap<&'static str, Bytes>;

/// Every byte of flash, by part.
fn weigh(elf: &Path) -> Result<Parts> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes).context("not an ELF")?;
    let functions = Functions::new(&file)?;
    let mut parts = Parts::new();
    for section in firmware::in_flash(&file) {
        let all = section.address()..section.address() + section.size();
        if section.kind() == SectionKind::Text {
            // Instructions begin at multiples of 2.
            for at in all.step_by(2) {
                let names = functions.names(at as u32);
                let part = if names.is_empty() { UNNAMED } else { part(&names) };
                parts.entry(part).or_default().code += 2;
            }
        } else {
            let named = constants(&file, &all);
            let unnamed = section.size() - named.iter().map(|(_, size)| size).sum::<u64>();
            parts.entry(UNNAMED).or_default().constants += unnamed;
            for (name, size) in named {
                parts.entry(part(&[name])).or_default().constants += size;
            }
        }
    }
    Ok(parts)
}

/// Names and sizes of what has a symbol in these bytes. Where two overlap, the second has what is left.
fn constants(file: &object::File, all: &Range<u64>) -> Vec<(String, u64)> {
    let inside = file.symbols().filter(|s| s.size() > 0 && all.contains(&s.address()));
    let mut symbols: Vec<_> = inside
        .filter_map(|s| Some((s.address(), s.size(), s.name().ok()?)))
        // The compiler's own names say nothing of whose they are.
        .filter(|(_, _, name)| !name.starts_with(".L"))
        .collect();
    symbols.sort_unstable();
    let mut end = all.start;
    let mut sizes = Vec::new();
    for (address, size, name) in symbols {
        let (from, to) = (address.max(end), (address + size).min(all.end));
        if from < to {
            sizes.push((demangled(name), to - from));
            end = to;
        }
    }
    sizes
}

/// Whose an instruction or a constant is, by the names around it from the innermost.
fn part(names: &[impl AsRef<str>]) -> &'static str {
    if names.iter().any(|name| name.as_ref().ends_with(MODEL.1)) {
        return MODEL.0;
    }
    let found = |shared: bool| {
        names.iter().find_map(|name| {
            let name = beginning(name.as_ref());
            let parts = PARTS.iter().filter(|(part, _)| (*part == SHARED) == shared);
            parts.clone().find(|(_, begin)| begin.iter().any(|b| name.starts_with(b))).map(|(part, _)| *part)
        })
    };
    found(false).or_else(|| found(true)).unwrap_or(CORE)
}

/// A function's name from its crate on: `<&mut T as Trait>::f` begins with what `T` begins with.
fn beginning(name: &str) -> &str {
    name.trim_start_matches(['<', '&', '*', '(', '[']).trim_start_matches("mut ").trim_start_matches("const ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_the_innermost_parts() {
        let of = |names: &[&str]| part(names);
        let [loader, .., hash, signature, store, protocol, drivers, shared] = PARTS.map(|(name, _)| name);
        assert_eq!(of(&["core::slice::get", "cellstate_store::slot::read", "cellstate_app::server::serve"]), store);
        assert_eq!(of(&["<cellstate::model::header::Header as serde::Deserialize>::deserialize", "main"]), loader);
        assert_eq!(of(&["postcard::de::varint", "cellstate_app::link::decode"]), protocol);
        assert_eq!(of(&["serde_core::de::SeqAccess::next_element"]), shared);
        assert_eq!(of(&["compiler_builtins::mem::memcpy"]), CORE);
        assert_eq!(of(&["<&mut cellstate_qemu::mps2::uart::Uart as embedded_io::Read>::read"]), drivers);
        assert_eq!(of(&["ed25519_compact::sha512::Hash::update", "ed25519_compact::ed25519::verify"]), hash);
        assert_eq!(of(&["ed25519_compact::ed25519::verify", "cellstate_store::manifest::verify"]), signature);
        assert_eq!(of(&["qemu_mps2_an386_field::model::BLOB"]), MODEL.0);
    }
}
