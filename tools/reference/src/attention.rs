//! Attention of a query over a ring of memories.
//!
//! Bahdanau et al. 2015 (additive scores), Luong et al. 2015 (dot products), Vaswani et al. 2017 (scaled, several heads), Su
//! et al. 2021 (rotary positions), Ainslie et al. 2023 (heads that share keys).

use crate::cell::{Trace, softmax};
use crate::layer::Dense;
use crate::matrix::dot;
use std::collections::VecDeque;

/// How well a memory answers a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Score {
    /// `scale q k`.
    Dot {
        /// 1, or one over the root of the width of a head.
        scale: f64,
    },
    /// `sum of v tanh(q + k)`.
    Additive {
        /// One weight a value of a key.
        v: Vec<f64>,
    },
}

/// Attention over the latest memories: `o(sum of softmax(score(q(x), k(m))) v(m))`.
///
/// A node's first source is the query. The second is the memory, or the keys where a third has the values.
#[derive(Clone, Debug, PartialEq)]
pub struct Attention {
    /// What the query goes through; nothing if none. All of them are linear.
    pub q: Option<Dense>,
    /// What keys go through.
    pub k: Option<Dense>,
    /// What values go through.
    pub v: Option<Dense>,
    /// What the context, head after head, goes through.
    pub o: Option<Dense>,
    /// Heads of the query.
    pub heads: usize,
    /// Heads of keys and values: `heads`, or a divisor of it.
    pub kv_heads: usize,
    /// Width of one head's key.
    pub key: usize,
    /// Width of one head's value.
    pub value: usize,
    /// The most memories; a further one takes the place of the oldest.
    pub slots: usize,
    /// Whether a step sees no later memories of its window. A stream has none.
    pub causal: bool,
    /// How well a memory answers.
    pub score: Score,
    /// Angles by which the pairs `(i, i + key / 2)` of query and key turn from one memory to the next; none, or `key / 2`.
    pub rotary: Vec<f64>,
    /// What is added to scores by age, the newest first, head by head, `slots` each; empty for nothing.
    pub ages: Vec<f64>,
    /// Width of the query's source.
    pub query: usize,
    /// Width of the values' source, if keys and values have one each.
    pub apart: Option<usize>,
}

/// The ring.
#[derive(Clone, Debug, Default)]
pub struct Ring {
    /// Keys and values, oldest first.
    entries: VecDeque<[Vec<f64>; 2]>,
    /// Memories so far.
    seen: u64,
}

impl Attention {
    /// One head without matrices: memories are keys and values as they stand, as wide as the query.
    pub fn raw(width: usize, slots: usize, score: Score) -> Self {
        Self {
            q: None,
            k: None,
            v: None,
            o: None,
            heads: 1,
            kv_heads: 1,
            key: width,
            value: width,
            slots,
            causal: true,
            score,
            rotary: Vec::new(),
            ages: Vec::new(),
            query: width,
            apart: None,
        }
    }

    /// Heads of a query, and of keys and values, behind matrices of their own; scores are dot products times `scale`.
    pub fn projected([q, k, v, o]: [Dense; 4], [heads, kv_heads]: [usize; 2], slots: usize, scale: f64) -> Self {
        let raw = Self::raw(q.w.cols, slots, Score::Dot { scale });
        let (key, value) = (q.w.rows / heads, v.w.rows / kv_heads);
        Self { q: Some(q), k: Some(k), v: Some(v), o: Some(o), heads, kv_heads, key, value, ..raw }
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.o.as_ref().map_or(self.heads * self.value, |o| o.w.rows)
    }

    /// Takes in a memory: the key's source, then the value's if that is another. Gives the key and the value.
    pub fn remember(&self, ring: &mut Ring, memory: &[f64]) -> [Vec<f64>; 2] {
        let (keys, values) = match self.apart {
            Some(values) => memory.split_at(memory.len() - values),
            None => (memory, memory),
        };
        let mut key = through(self.k.as_ref(), keys);
        let value = through(self.v.as_ref(), values);
        self.turn(&mut key, ring.seen);
        ring.seen += 1;
        if ring.entries.len() == self.slots {
            ring.entries.pop_front();
        }
        ring.entries.push_back([key.clone(), value.clone()]);
        [key, value]
    }

    /// What the memories answer: zeros before the first.
    pub fn ask(&self, ring: &Ring, x: &[f64]) -> Trace {
        let mut query = through(self.q.as_ref(), x);
        self.turn(&mut query, ring.seen.saturating_sub(1));
        let mut context = vec![0.0; self.heads * self.value];
        let mut weights = Vec::new();
        for (head, (q, context)) in query.chunks_exact(self.key).zip(context.chunks_exact_mut(self.value)).enumerate() {
            let shared = head * self.kv_heads / self.heads;
            let newest = ring.entries.len();
            let score = |(j, [key, _]): (usize, &[Vec<f64>; 2])| {
                let age = self.ages.get(head * self.slots + newest - 1 - j).copied().unwrap_or(0.0);
                self.score(q, &key[shared * self.key..][..self.key]) + age
            };
            let scores: Vec<f64> = ring.entries.iter().enumerate().map(score).collect();
            let mine = if scores.is_empty() { Vec::new() } else { softmax(&scores) };
            for (w, [_, value]) in mine.iter().zip(&ring.entries) {
                let value = &value[shared * self.value..][..self.value];
                context.iter_mut().zip(value).for_each(|(c, v)| *c += w * v);
            }
            weights.extend(mine);
        }
        let output = through(self.o.as_ref(), &context);
        Trace { input: x.to_vec(), output, query, context, weights, ..Trace::default() }
    }

    fn score(&self, q: &[f64], k: &[f64]) -> f64 {
        match &self.score {
            Score::Dot { scale } => scale * dot(q, k),
            Score::Additive { v } => q.iter().zip(k).zip(v).map(|((q, k), v)| v * libm::tanh(q + k)).sum(),
        }
    }

    /// Turns the pairs of every head to a position.
    fn turn(&self, vector: &mut [f64], position: u64) {
        let half = self.rotary.len();
        if half == 0 {
            return;
        }
        for head in vector.chunks_exact_mut(2 * half) {
            for (i, angle) in self.rotary.iter().enumerate() {
                let (sin, cos) = libm::sincos(angle * position as f64);
                let (a, b) = (head[i], head[i + half]);
                (head[i], head[i + half]) = (a * cos - b * sin, b * cos + a * sin);
            }
        }
    }
}

fn through(dense: Option<&Dense>, x: &[f64]) -> Vec<f64> {
    let Some(d) = dense else { return x.to_vec() };
    d.b.iter().enumerate().map(|(r, b)| dot(d.w.row(r), x) + b).collect()
}
