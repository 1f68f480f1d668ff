//! Attention as the numeric contract has it, naively.

use super::walk::{Rows, Vector, clamp15, clamp32, halves, round, tan};
use cellstate::model::more::Attention;
use cellstate::numeric::exp2::exp2_neg;
use cellstate::numeric::turn::{cosine, sine};

/// Keys and values, oldest first.
#[derive(Clone, Default)]
pub(crate) struct Ring {
    entries: Vec<(Vector, Vector)>,
    seen: u32,
}

/// A part through its matrix, or as it is with zeros behind.
fn through(a: &Attention, rows: &Rows, part: u8, x: &[i128], width: usize) -> Vector {
    let set = (0..part).filter(|&p| a.projects(p)).count();
    let value =
        |r: usize| if a.projects(part) { clamp15(rows.row(set, r, &[x])) } else { x.get(r).copied().unwrap_or(0) };
    (0..width).map(value).collect()
}

/// Turns each head's pairs.
fn turn(vector: &mut [i128], angles: &[i32], position: u32) {
    for head in vector.chunks_exact_mut((2 * angles.len()).max(1)).filter(|_| !angles.is_empty()) {
        for (i, &angle) in angles.iter().enumerate() {
            let angle = position.wrapping_mul(angle as u32);
            let (sin, cos) = (i128::from(sine(angle)), i128::from(cosine(angle)));
            let (x, y) = (head[i], head[i + angles.len()]);
            head[i] = clamp15(round(x * cos - y * sin, 15));
            head[i + angles.len()] = clamp15(round(y * cos + x * sin, 15));
        }
    }
}

impl Ring {
    pub(crate) fn remember(&mut self, a: &Attention, rows: &Rows, extra: &[i32], m: &[i128]) {
        let (keys, values) = if a.split == 0 { (m, m) } else { m.split_at(a.split.into()) };
        let heads = usize::from(a.kv_heads);
        let mut key = through(a, rows, 1, keys, heads * usize::from(a.key));
        turn(&mut key, &extra[8..][..a.extra_words()[1]], self.seen);
        self.seen = self.seen.wrapping_add(1);
        self.entries.push((key, through(a, rows, 2, values, heads * usize::from(a.value))));
        self.entries.drain(..self.entries.len().saturating_sub(a.slots.into()));
    }

    pub(crate) fn ask(&self, a: &Attention, rows: &Rows, extra: &[i32], x: &[i128]) -> Vector {
        let [head_words, angles, ages, _] = a.extra_words();
        let (key, value, slots) = (usize::from(a.key), usize::from(a.value), usize::from(a.slots));
        let mut query = through(a, rows, 0, x, usize::from(a.heads) * key);
        turn(&mut query, &extra[head_words..][..angles], self.seen.wrapping_sub(1));
        let by_age = &extra[head_words + angles..][..ages];
        let v = halves(&extra[head_words + angles + ages..]);
        let mut context = Vec::new();
        for (head, q) in query.chunks_exact(key).enumerate() {
            let shared = head * usize::from(a.kv_heads) / usize::from(a.heads);
            let score = |(j, (k, _)): (usize, &(Vector, Vector))| {
                let k = &k[shared * key..][..key];
                let sum: i128 = if a.additive {
                    q.iter().zip(k).zip(&v).map(|((q, k), v)| tan((q + k) << 5) * v).sum()
                } else {
                    q.iter().zip(k).map(|(q, k)| q * k).sum()
                };
                // Four rows of a block share a bias and have a multiplier each; the slot decides which.
                let slot = (self.seen as usize - self.entries.len() + j) % slots;
                let z = round(round(sum, 8) * i128::from(extra[4 + slot % 4]), 32) << a.z_shift;
                clamp32(z + by_age.get(head * slots + self.entries.len() - 1 - j).map_or(0, |&age| age.into()))
            };
            let scores: Vec<i128> = self.entries.iter().enumerate().map(score).collect();
            let top = scores.iter().max().copied().unwrap_or(0);
            let p: Vec<i128> = scores.iter().map(|s| exp2_neg(clamp32(top - s) as i32).into()).collect();
            let sum: i128 = p.iter().sum();
            context.extend((shared * value..(shared + 1) * value).map(|i| {
                let mean: i128 = p.iter().zip(&self.entries).map(|(p, (_, v))| p * v[i]).sum();
                let quarters = round(round(mean, 8) << 30, 32);
                if sum == 0 { 0 } else { clamp15(round(quarters * ((1 << 46) / sum), 36)) }
            }));
        }
        through(a, rows, 3, &context, a.width.into())
    }
}
