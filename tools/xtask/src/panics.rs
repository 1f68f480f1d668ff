//! Whether a firmware can panic, as far as the linker sees.

use crate::inlined::{Functions, demangled};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind};
use std::collections::BTreeSet;
use std::path::Path;

/// Where the core library panics.
const PANICS: &str = "core::panicking";

/// Symbols of the panic machinery that the firmware carries.
pub(crate) fn symbols(elf: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes).context("not an ELF")?;
    let names: Vec<String> = file.symbols().filter_map(|s| Some(demangled(s.name().ok()?))).collect();
    ensure!(names.iter().any(|n| n.contains("serve") || n == "main"), "the ELF has no symbols to look at");
    Ok(names.into_iter().filter(|n| n.contains(PANICS)).collect())
}

/// Functions of Thumb-2 firmware that call the panic machinery, but for those of this crate.
pub(crate) fn outside(elf: &Path, crate_name: &str) -> Result<Vec<String>> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes).context("not an ELF")?;
    let functions = Functions::new(&file)?;
    let calls = calls(&file)?;
    ensure!(!calls.is_empty(), "the ELF has no calls to look at");
    // What the core library itself has around a panic panics, too.
    let mut panicking = BTreeSet::new();
    loop {
        let before = panicking.len();
        for &(at, target) in &calls {
            let name = |at| functions.at(at).map(|(_, name)| name.as_str());
            if panicking.contains(&target) || name(target).is_some_and(|name| name.contains(PANICS)) {
                panicking.insert(target);
                let caller = functions.at(at).filter(|(_, name)| name.starts_with("core::"));
                panicking.extend(caller.map(|(range, _)| range.start));
            }
        }
        if panicking.len() == before {
            break;
        }
    }
    let inside = format!("{crate_name}::");
    let sites = calls.iter().filter(|(_, target)| panicking.contains(target)).map(|&(at, _)| at);
    let sites = sites.filter(|&at| functions.at(at).is_none_or(|(range, _)| !panicking.contains(&range.start)));
    let callers = sites.map(|at| functions.names(at)).filter(|names| !names.iter().any(|n| n.contains(&inside)));
    let callers: BTreeSet<String> = callers.map(|names| names.join(" in ")).collect();
    Ok(callers.into_iter().collect())
}

/// Every call and far jump: from where, and to where.
fn calls(file: &object::File) -> Result<Vec<(u32, u32)>> {
    let mut calls = Vec::new();
    for section in file.sections().filter(|s| s.kind() == SectionKind::Text) {
        let (halves, _) = section.data()?.as_chunks::<2>();
        let halves: Vec<u16> = halves.iter().map(|&half| u16::from_le_bytes(half)).collect();
        for (k, pair) in halves.windows(2).enumerate() {
            let at = section.address() as u32 + 2 * k as u32;
            calls.extend(target(at, [pair[0], pair[1]]).map(|target| (at, target)));
        }
    }
    Ok(calls)
}

/// Where BL or B.W goes: the Arm Architecture Reference Manual's encodings T1 of BL and T4 of B.
fn target(at: u32, [first, second]: [u16; 2]) -> Option<u32> {
    if first & 0xf800 != 0xf000 || second & 0x9000 != 0x9000 {
        return None;
    }
    let bit = |half: u16, k: u32| u32::from(half >> k & 1);
    let sign = bit(first, 10);
    let [i1, i2] = [bit(second, 13), bit(second, 11)].map(|j| 1 ^ j ^ sign);
    let offset = sign << 24 | i1 << 23 | i2 << 22 | u32::from(first & 0x3ff) << 12 | u32::from(second & 0x7ff) << 1;
    // Of 25 bits, with a sign.
    let offset = (offset << 7).cast_signed() >> 7;
    Some(at.wrapping_add(4).wrapping_add_signed(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As an assembler has them.
    #[test]
    fn calls_go_where_they_go() {
        // bl +0, bl -4 from 0x100, b.w +0x1000, and two that are neither.
        assert_eq!(target(0x100, [0xf000, 0xf800]), Some(0x104));
        assert_eq!(target(0x100, [0xf7ff, 0xfffe]), Some(0x100));
        assert_eq!(target(0x100, [0xf001, 0xb800]), Some(0x1104));
        assert_eq!(target(0x100, [0x4770, 0xf800]), None);
        assert_eq!(target(0x100, [0xf000, 0x8800]), None);
    }
}
