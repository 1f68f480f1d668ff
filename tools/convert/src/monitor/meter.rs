//! Rates and ranges.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over how long a rate is taken.
const SPAN: Duration = Duration::from_secs(2);
/// How often a count is noted.
const EVERY: Duration = Duration::from_millis(100);

/// How fast a count grows, over the last two seconds.
#[derive(Clone, Debug, Default)]
pub struct Rate(VecDeque<(Instant, u64)>);

impl Rate {
    /// Notes the count at this time; gives how much it grows in a second.
    pub fn observe(&mut self, now: Instant, count: u64) -> f64 {
        if self.0.back().is_none_or(|(last, _)| now.saturating_duration_since(*last) >= EVERY) {
            self.0.push_back((now, count));
        }
        while self.0.len() > 2 && now.saturating_duration_since(self.0[1].0) >= SPAN {
            self.0.pop_front();
        }
        let Some((since, before)) = self.0.front() else { return 0.0 };
        let seconds = now.saturating_duration_since(*since).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(*before) as f64 / seconds } else { 0.0 }
    }
}

/// The least, the mean and the most of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    count: u64,
    sum: u64,
    least: u32,
    most: u32,
}

impl Span {
    /// Takes one more value.
    pub fn observe(&mut self, value: u32) {
        self.least = if self.count == 0 { value } else { self.least.min(value) };
        self.most = self.most.max(value);
        self.sum += u64::from(value);
        self.count += 1;
    }

    /// The least, the mean and the most; none of no values.
    pub fn get(&self) -> Option<[f64; 3]> {
        let mean = self.sum as f64 / self.count as f64;
        (self.count > 0).then_some([self.least.into(), mean, self.most.into()])
    }
}
