//! Estimated cycles of an executed step on Cortex-M4 and Cortex-M3, from the cores' published timings.
//!
//! The table is "Processor instruction set summary" (3-1) and the text "Load/store timings" of Arm's Technical Reference
//! Manuals, for Cortex-M4 100166 (r0p1) and for Cortex-M3 DDI 0337I, both for memory without wait states:
//!
//! | instructions | cycles |
//! | --- | --- |
//! | data processing, multiplies, DSP | 1; on the M3 `MLA` and `MLS` 2, `SMULL` 3 to 5, here 4, `SMLAL` 4 to 7, here 5 |
//! | `SDIV`, `UDIV` | 2 to 12, here 7 |
//! | `LDR` of any width | 2; 1 right after another whose result is not this one's address |
//! | `STR` of any width | 1; with a register offset 2, or 1 right after an `LDR` |
//! | `LDRD`, `STRD`, `LDM`, `STM`, `PUSH`, `POP` | 1 and one a register |
//! | a branch that is taken, by any instruction | 1 to 3 more for the refill, here 2; `TBB` and `TBH` 2 and those |
//!
//! An instruction that a condition skips counts as if it were executed, and `IT` as one cycle, though it may be folded away.
//! Not modelled are wait states and what a flash accelerator hides of them, contention of literal loads with the fetch, and
//! the cycle a load may wait for an address that the instruction before it computed. A figure here is an estimate, to compare
//! two programs by; the error to a board without wait states is a few per cent, and a board at full clock adds its flash.

use anyhow::{Context as _, Result, bail};
use cellstate_convert::board::cores::Core;
use object::{Object, ObjectSection, SectionKind};
use std::collections::HashMap;
use yaxpeax_arch::{Decoder, LengthedInstruction, U8Reader};
use yaxpeax_arm::armv7::{InstDecoder, Instruction, Opcode, Operand};

/// Cycles that refill the pipeline after a branch.
const REFILL: u64 = 2;

/// A core whose timings are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timing {
    CortexM3,
    CortexM4,
}

impl Timing {
    /// That of a core, where it is published and simple.
    pub(crate) fn of(core: &Core) -> Option<Self> {
        match core.name {
            "cortex-m3" => Some(Timing::CortexM3),
            "cortex-m4" => Some(Timing::CortexM4),
            _ => None,
        }
    }
}

/// How often one executed address followed another.
pub(crate) type Pairs = HashMap<(u32, u32), u64>;

/// A decoded instruction.
#[derive(Clone, Copy)]
struct Decoded {
    instruction: Instruction,
    /// The address of what follows it in memory.
    next: u32,
}

impl Timing {
    /// The cycles of what was executed. The first pair's first is the caller, whose refill stands for that of the return.
    pub(crate) fn cycles(self, file: &object::File, executed: &Pairs) -> Result<u64> {
        let code: Vec<(u32, &[u8])> = file
            .sections()
            .filter(|s| s.kind() == SectionKind::Text)
            .map(|s| Ok((s.address() as u32, s.data()?)))
            .collect::<Result<_>>()?;
        let mut decoded = HashMap::new();
        for &(before, at) in executed.keys() {
            for pc in [before, at] {
                if let std::collections::hash_map::Entry::Vacant(entry) = decoded.entry(pc) {
                    entry.insert(decode(&code, pc)?);
                }
            }
        }
        let mut cycles = 0;
        for (&(before, at), &count) in executed {
            let (Some(before), Some(now)) = (decoded.get(&before), decoded.get(&at)) else { continue };
            let refill = if before.next == at { 0 } else { REFILL };
            cycles += count * (self.cost(now, before) + refill);
        }
        Ok(cycles)
    }

    /// An instruction after another, without a refill.
    fn cost(self, now: &Decoded, before: &Decoded) -> u64 {
        let Decoded { instruction, .. } = now;
        let opcode = instruction.opcode;
        match opcode {
            Opcode::PUSH | Opcode::POP | Opcode::LDM(..) | Opcode::STM(..) => 1 + registers(instruction),
            Opcode::LDRD | Opcode::STRD => 3,
            Opcode::TBB | Opcode::TBH => 2,
            Opcode::SDIV | Opcode::UDIV => 7,
            Opcode::MLA | Opcode::MLS if self == Self::CortexM3 => 2,
            Opcode::SMULL | Opcode::UMULL if self == Self::CortexM3 => 4,
            Opcode::SMLAL | Opcode::UMLAL if self == Self::CortexM3 => 5,
            _ if is_load(opcode) => {
                let pipelined = loaded(before).is_some_and(|r| !address(instruction).contains(&r));
                if pipelined { 1 } else { 2 }
            }
            _ if is_store(opcode) => {
                let pipelined = loaded(before).is_some_and(|r| !address(instruction).contains(&r));
                if address(instruction).len() < 2 || pipelined { 1 } else { 2 }
            }
            _ => 1,
        }
    }
}

/// The instruction at an address; one that the table does not have is an error.
fn decode(code: &[(u32, &[u8])], pc: u32) -> Result<Decoded> {
    let bytes = code.iter().find_map(|&(start, bytes)| bytes.get(pc.checked_sub(start)? as usize..));
    let bytes = bytes.with_context(|| format!("no code at {pc:#x}, which was executed"))?;
    let instruction = InstDecoder::default_thumb()
        .decode(&mut U8Reader::new(bytes))
        .map_err(|e| anyhow::anyhow!("the instruction at {pc:#x} does not decode: {e}"))?;
    if matches!(
        instruction.opcode,
        Opcode::Invalid
            | Opcode::LDC(..)
            | Opcode::LDCL(..)
            | Opcode::STC(..)
            | Opcode::STCL(..)
            | Opcode::MCRR(..)
            | Opcode::MRRC(..)
            | Opcode::MCR(..)
            | Opcode::MRC(..)
            | Opcode::CDP(..)
    ) {
        bail!("{instruction} at {pc:#x} has no entry in the table of timings");
    }
    Ok(Decoded { instruction, next: pc + instruction.len().to_const() })
}

fn is_load(opcode: Opcode) -> bool {
    use Opcode::{LDR, LDRB, LDRBT, LDRH, LDRHT, LDRSB, LDRSBT, LDRSH, LDRSHT, LDRT};
    matches!(opcode, LDR | LDRB | LDRH | LDRSB | LDRSH | LDRT | LDRBT | LDRHT | LDRSBT | LDRSHT)
}

fn is_store(opcode: Opcode) -> bool {
    matches!(opcode, Opcode::STR | Opcode::STRB | Opcode::STRH | Opcode::STRT | Opcode::STRBT | Opcode::STRHT)
}

/// How many registers a load or store of several has.
fn registers(instruction: &Instruction) -> u64 {
    let lists = instruction.operands.iter().map(|operand| match operand {
        Operand::RegList(list) => list.count_ones(),
        _ => 0,
    });
    u64::from(lists.sum::<u32>().max(1))
}

/// What a single load writes.
fn loaded(before: &Decoded) -> Option<u8> {
    let Instruction { opcode, operands, .. } = before.instruction;
    match operands {
        [Operand::Reg(register), ..] if is_load(opcode) => Some(register.number()),
        _ => None,
    }
}

/// The registers of a load's or a store's address.
fn address(instruction: &Instruction) -> Vec<u8> {
    instruction
        .operands
        .iter()
        .flat_map(|operand| match *operand {
            Operand::RegDeref(base)
            | Operand::RegDerefPostindexOffset(base, ..)
            | Operand::RegDerefPreindexOffset(base, ..) => vec![base.number()],
            Operand::RegDerefPostindexReg(base, offset, ..) | Operand::RegDerefPreindexReg(base, offset, ..) => {
                vec![base.number(), offset.number()]
            }
            Operand::RegDerefPostindexRegShift(base, shift, ..)
            | Operand::RegDerefPreindexRegShift(base, shift, ..) => {
                let offset = match shift.into_shift() {
                    yaxpeax_arm::armv7::RegShiftStyle::RegImm(shift) => shift.shiftee(),
                    yaxpeax_arm::armv7::RegShiftStyle::RegReg(shift) => shift.shiftee(),
                };
                vec![base.number(), offset.number()]
            }
            _ => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the halfwords take on a core, executed one after the other; 0xBF00 is a `NOP`.
    fn cost(core: Timing, before: &[u16], now: &[u16]) -> u64 {
        let bytes = |halfwords: &[u16]| halfwords.iter().flat_map(|h| h.to_le_bytes()).collect::<Vec<u8>>();
        let (before, now) = (bytes(before), bytes(now));
        let code = [(0, &before[..]), (0x100, &now[..])];
        let decoded = |pc| decode(&code, pc).expect("an instruction");
        core.cost(&decoded(0x100), &decoded(0))
    }

    #[test]
    fn costs_are_the_manuals() {
        let nop: &[u16] = &[0xBF00];
        for (before, now, m4, m3) in [
            (nop, &[0x4408][..], 1, 1),       // add r0, r1
            (nop, &[0xFB03, 0x2104], 1, 2),   // mla r1, r3, r4, r2
            (nop, &[0xFBC4, 0x9AC2], 1, 1),   // smlald r9, r10, r4, r2
            (nop, &[0xFA3F, 0xF484], 1, 1),   // uxtb16 r4, r4
            (nop, &[0xFB24, 0x8802], 1, 1),   // smlad r8, r4, r2, r8
            (nop, &[0xFB58, 0x441A], 1, 1),   // smmlar r4, r8, r10, r4
            (nop, &[0x6808], 2, 2),           // ldr r0, [r1]
            (&[0x6808], &[0x6811], 1, 1),     // ldr r0, [r1]; ldr r1, [r2]
            (&[0x6808], &[0x6801], 2, 2),     // ldr r0, [r1]; ldr r1, [r0]
            (nop, &[0x6008], 1, 1),           // str r0, [r1]
            (nop, &[0x5088], 2, 2),           // str r0, [r1, r2]
            (&[0x6818], &[0x508B], 1, 1),     // ldr r0, [r3]; str r3, [r1, r2]
            (nop, &[0xE8F3, 0xAE02], 3, 3),   // ldrd r10, lr, [r3], #8
            (nop, &[0xE92D, 0x4FF0], 10, 10), // push {r4-r11, lr}
            (nop, &[0xE8BD, 0x8FF0], 10, 10), // pop {r4-r11, pc}, and its refill
            (nop, &[0xC8F0], 5, 5),           // ldm r0!, {r4-r7}
            (nop, &[0xD0FE], 1, 1),           // beq, and its refill if taken
            (nop, &[0x4770], 1, 1),           // bx lr, and its refill
        ] {
            assert_eq!(cost(Timing::CortexM4, before, now), m4, "{before:04x?} {now:04x?}");
            assert_eq!(cost(Timing::CortexM3, before, now), m3, "{before:04x?} {now:04x?}");
        }
    }
}
