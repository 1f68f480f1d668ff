//! The weights of a query that was answered, once more: scores by four, without a place to keep them.

use super::attention::{Attention, BLOCK, counters};
use crate::kernel::{self, COLUMNS, Four, ROWS, Vector};
use crate::model::header::Weights;
use crate::numeric::exp2::exp2_neg;

/// One head's query beside the memories that there are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attended<'a> {
    attention: Attention<'a>,
    query: &'a [Four],
    keys: &'a [i32],
    /// What is added to the scores by age.
    ages: &'a [i32],
    filled: usize,
    /// The slot behind the newest memory.
    next: usize,
}

impl<'a> Attended<'a> {
    /// Of head `head`, from the layer's counters, its ring, and the query in its scratch.
    pub(crate) fn new(attention: Attention<'a>, [count, ring, vector]: [&'a [i32]; 3], head: usize) -> Self {
        let kind = attention.kind;
        let (_, filled, next) = counters(count, kind.slots.into());
        let [key_words, value_words] = kind.ring_words();
        let shared = head * usize::from(kind.kv_heads) / usize::from(kind.heads.max(1));
        let ages = attention.extra[2].get(head * usize::from(kind.slots)..).unwrap_or_default();
        Self {
            attention,
            query: vector.as_chunks().0.chunks((usize::from(kind.key) / COLUMNS).max(1)).nth(head).unwrap_or_default(),
            keys: ring.get(shared * (key_words + value_words)..).and_then(|r| r.get(..key_words)).unwrap_or_default(),
            ages,
            filled,
            next,
        }
    }

    /// Each memory's age, and its weight in units of `2^-15`, rounded half up; slot by slot.
    pub(crate) fn weights(self) -> impl Iterator<Item = (usize, u16)> + 'a {
        let top = self.scores().map(|s| s.1).max().unwrap_or(0);
        let exponential = move |score: i32| exp2_neg(top.saturating_sub(score)) as u32;
        // At most 508 times 32767; the likeliest memory's weight is 32767.
        let sum = self.scores().fold(0, |sum, (_, score)| sum + exponential(score)).max(1);
        self.scores().map(move |(age, score)| (age, (((exponential(score) << 15) + sum / 2) / sum) as u16))
    }

    /// Each memory's age and score, slot by slot.
    fn scores(self) -> impl Iterator<Item = (usize, i32)> + 'a {
        let words = self.query.len() * BLOCK;
        let fours = self.keys.chunks_exact(words.max(1)).flat_map(move |blocks| self.four(blocks));
        fours.take(self.filled).enumerate().map(move |(slot, score)| {
            let age = if slot < self.next { self.next - 1 - slot } else { self.next + self.filled - 1 - slot };
            (age, score.saturating_add(self.ages.get(age).copied().unwrap_or(0)))
        })
    }

    /// Scores of four keys, Q16.16.
    fn four(&self, blocks: &[i32]) -> [i32; ROWS] {
        let Some(head) = self.attention.extra[0].first_chunk::<{ 2 * ROWS }>() else { return [0; ROWS] };
        let z = if self.attention.kind.additive {
            self.attention.additive(self.query, blocks, head)
        } else {
            let vector = Vector::new(Weights::W16, self.query);
            kernel::products(head, blocks, 1, &vector).next().unwrap_or_default()
        };
        z.map(|z| z << (self.attention.kind.z_shift & 31))
    }
}
