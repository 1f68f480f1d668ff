//! Calls and pushes of RV32 code, compressed or not.

use super::graph::Body;

const RA: u32 = 1;
const SP: u32 = 2;

/// Decodes a function.
pub(super) fn body(start: u32, bytes: &[u8]) -> Body {
    let mut body = Body::default();
    let mut at = 0;
    // The register that the instruction before set to an address, for calls that are far.
    let mut upper: Option<(u32, u32)> = None;
    while let Some(&[a, b]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()) {
        let pc = start + at as u32;
        let half = u32::from(u16::from_le_bytes([a, b]));
        let before = upper.take();
        if half & 3 != 3 {
            compressed(&mut body, pc, half);
            at += 2;
            continue;
        }
        let word = half
            | bytes.get(at + 2..).and_then(|r| r.first_chunk::<2>()).map_or(0, |&b| u32::from(u16::from_le_bytes(b)))
                << 16;
        let (rd, rs) = (word >> 7 & 31, word >> 15 & 31);
        let immediate = word as i32 >> 20;
        match word & 0x7F {
            0x17 => upper = Some((rd, pc.wrapping_add(word & 0xFFFF_F000))),
            0x6F => {
                let offset = (word >> 21 & 0x3FF) << 1 | (word >> 20 & 1) << 11 | word & 0xF_F000;
                let target = pc.wrapping_add(offset).wrapping_sub((word >> 31) << 20);
                if rd == RA { &mut body.calls } else { &mut body.jumps }.insert(target);
            }
            0x67 => match before.filter(|&(register, _)| register == rs) {
                Some((_, base)) => {
                    let target = base.wrapping_add_signed(immediate);
                    if rd == RA { &mut body.calls } else { &mut body.jumps }.insert(target);
                }
                // A jump by a register is a return, or through a table in the function.
                None => body.indirect |= rd == RA,
            },
            0x13 if rd == SP && rs == SP && (word >> 12).trailing_zeros() >= 3 && immediate < 0 => {
                body.pushed += u64::from(immediate.unsigned_abs());
            }
            _ => {}
        }
        at += 4;
    }
    body
}

fn compressed(body: &mut Body, pc: u32, half: u32) {
    let bit = |from: u32, to: u32| (half >> from & 1) << to;
    match (half & 3, half >> 13) {
        // c.jal and c.j
        (1, 1 | 5) => {
            let offset = bit(8, 10)
                | bit(10, 9)
                | bit(9, 8)
                | bit(6, 7)
                | bit(7, 6)
                | bit(2, 5)
                | bit(11, 4)
                | (half >> 3 & 7) << 1;
            let target = pc.wrapping_add(offset).wrapping_sub(bit(12, 11));
            if half >> 13 == 1 { &mut body.calls } else { &mut body.jumps }.insert(target);
        }
        // c.addi16sp
        (1, 3) if half >> 7 & 31 == SP && half >> 12 & 1 == 1 => {
            let n = bit(3, 8) | bit(4, 7) | bit(5, 6) | bit(2, 5) | bit(6, 4);
            body.pushed += u64::from(512 - n);
        }
        // c.addi
        (1, 0) if half >> 7 & 31 == SP && half >> 12 & 1 == 1 => body.pushed += u64::from(32 - (half >> 2 & 31)),
        // c.jalr
        (2, 4) if half >> 12 & 1 == 1 && (half >> 2).trailing_zeros() >= 5 && half >> 7 & 31 != 0 => {
            body.indirect = true;
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_jumps_and_frames_are_seen() {
        // By the manual: jal ra, -4; j +8; auipc ra, 1 with jalr ra, -16(ra); ret; jalr (a5); addi sp, sp, -64.
        assert!(body(0x1000, &0xFFDF_F0EFu32.to_le_bytes()).calls.contains(&0xFFC));
        assert!(body(0x1000, &0x0080_006Fu32.to_le_bytes()).jumps.contains(&0x1008));
        let far = [0x0000_1097u32, 0xFF00_80E7].map(u32::to_le_bytes).concat();
        assert!(body(0x1000, &far).calls.contains(&0x1FF0));
        let plain = body(0x1000, &0x0000_8067u32.to_le_bytes());
        assert!(plain.calls.is_empty() && plain.jumps.is_empty() && !plain.indirect);
        assert!(body(0x1000, &0x0007_80E7u32.to_le_bytes()).indirect);
        assert_eq!(body(0x1000, &0xFC01_0113u32.to_le_bytes()).pushed, 64);
        // c.addi16sp -64, c.addi sp, -16, c.jal -2, c.j +4, c.jalr a5, c.jr ra.
        assert_eq!(body(0x1000, &0x7139u16.to_le_bytes()).pushed, 64);
        assert_eq!(body(0x1000, &0x1141u16.to_le_bytes()).pushed, 16);
        assert!(body(0x1000, &0x3FFDu16.to_le_bytes()).calls.contains(&0xFFE));
        assert!(body(0x1000, &0xA011u16.to_le_bytes()).jumps.contains(&0x1004));
        assert!(body(0x1000, &0x9782u16.to_le_bytes()).indirect);
        assert!(!body(0x1000, &0x8082u16.to_le_bytes()).indirect);
    }
}
