//! Calls and pushes of Thumb-2 code.

use super::graph::Body;
use yaxpeax_arch::{Decoder, LengthedInstruction, U8Reader};
use yaxpeax_arm::armv7::{InstDecoder, Opcode, Operand, Reg};

const SP: u8 = 13;

/// Decodes a function but for the data in it, such as tables and addresses.
pub(super) fn body(start: u32, bytes: &[u8], is_code: impl Fn(u32) -> bool) -> Body {
    let mut body = Body::default();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|rest| rest.len() >= 2) {
        let pc = start + at as u32;
        if !is_code(pc) {
            at += 2;
            continue;
        }
        if let Some(target) = long_branch(pc, rest) {
            let (target, links) = target;
            if links { &mut body.calls } else { &mut body.jumps }.insert(target);
            at += 4;
            continue;
        }
        let Ok(instruction) = InstDecoder::default_thumb().decode(&mut U8Reader::new(rest)) else {
            at += 2;
            continue;
        };
        let [first, second, third, _] = instruction.operands;
        match (instruction.opcode, first, second, third) {
            (Opcode::PUSH, Operand::RegList(list), ..) => body.pushed += 4 * u64::from(list.count_ones()),
            (Opcode::SUB, Operand::Reg(to), Operand::Reg(from), Operand::Imm32(n)) if is_sp(to) && is_sp(from) => {
                body.pushed += u64::from(n);
            }
            (Opcode::SUB, Operand::Reg(to), Operand::Imm32(n), _) if is_sp(to) => body.pushed += u64::from(n),
            (Opcode::BLX, Operand::Reg(_), ..) => body.indirect = true,
            (Opcode::BX, Operand::Reg(to), ..) if to.number() != 14 => body.indirect = true,
            (Opcode::B, Operand::BranchThumbOffset(n), ..) => {
                body.jumps.insert((pc + 4).wrapping_add_signed(2 * n));
            }
            _ => {}
        }
        at += instruction.len().to_const().max(2) as usize;
    }
    body
}

fn is_sp(reg: Reg) -> bool {
    reg.number() == SP
}

/// `BL` and the wide `B`, T4: where to, and whether it returns.
fn long_branch(pc: u32, bytes: &[u8]) -> Option<(u32, bool)> {
    let &[a, b, c, d] = bytes.first_chunk::<4>()?;
    let (high, low) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if high >> 11 != 0b11110 || low >> 12 & 0b1001 != 0b1001 {
        return None;
    }
    let bit = |word: u16, k: u32| u32::from(word >> k & 1);
    let sign = bit(high, 10);
    let (i1, i2) = (!(bit(low, 13) ^ sign) & 1, !(bit(low, 11) ^ sign) & 1);
    let offset = i1 << 23 | i2 << 22 | u32::from(high & 0x3FF) << 12 | u32::from(low & 0x7FF) << 1;
    let offset = offset.wrapping_sub(sign << 24);
    Some(((pc + 4).wrapping_add(offset), bit(low, 14) == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_jumps_and_frames_are_seen() {
        let all =
            |pc, halves: &[u16]| body(pc, &halves.iter().flat_map(|h| h.to_le_bytes()).collect::<Vec<_>>(), |_| true);
        // bl backwards, b.w forwards; push {r4, r5, lr} with sub sp, #20; blx r4; bx lr.
        assert!(all(0x146A, &[0xF7FF, 0xF914]).calls.contains(&0x696));
        assert!(all(0x1000, &[0xF000, 0xB810]).jumps.contains(&0x1024));
        assert_eq!(all(0x1000, &[0xB530, 0xB085]).pushed, 32);
        assert!(all(0x1000, &[0x47A0]).indirect);
        assert!(!all(0x1000, &[0x4770]).indirect);
        // The same bytes as data.
        let data = body(0x146A, &[0xFF, 0xF7, 0x14, 0xF9], |_| false);
        assert!(data.calls.is_empty());
    }
}
