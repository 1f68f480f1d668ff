//! A format for each matrix, so that the blob fits in the flash that there is.
//!
//! All begin with 16 bits. While the blob is too large, the matrix whose next format costs the outputs the fewest dB for a
//! byte saved goes there: 8 bits, 4 bits in groups of columns, 4 bits. Then what is left of the budget goes back where it gains
//! the most. Outputs are what counts here: the last layer does nothing to hidden states.

use crate::measure::Recording;
use crate::quantize::Unquantizable;
use crate::quantize::levers::{How, Plan, grouped, matrices, uniform};
use crate::search::{Bench, parallel};
use cellstate::model::header::Weights;
use cellstate::model::more::Formats;
use cellstate_reference::Network;

/// Why there is no blob within a budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OverBudget {
    /// Even with all weights in 4 bits the blob is larger.
    #[error(
        "the smallest blob, with all weights in 4 bits, has {smallest} bytes, {} more than the budget of {budget}",
        smallest - budget
    )]
    TooLarge {
        /// Bytes of the smallest blob.
        smallest: usize,
        /// Bytes that it may have.
        budget: usize,
    },
    /// A layer does not fit at all.
    #[error("layer \"{}\": {}", .0.layer, .0.cause)]
    Unquantizable(Unquantizable),
}

impl From<Unquantizable> for OverBudget {
    fn from(e: Unquantizable) -> Self {
        Self::Unquantizable(e)
    }
}

/// Columns of a group of 4-bit weights.
const GROUP: usize = 32;

/// What more bytes must gain in dB.
const WORTH: f64 = 0.05;

/// The formats that a layer may have next, with fewer bits: of one matrix or both, or without groups.
fn smaller(network: &Network, k: usize, now: Formats) -> Vec<Formats> {
    let mut next = others(network, k, now, |old, new| new.bits() < old.bits());
    next.extend((now.group > 0).then_some(Formats { group: 0, ..now }));
    next
}

/// The same with more bits, or in groups.
fn larger(network: &Network, k: usize, now: Formats) -> Vec<Formats> {
    let mut next = others(network, k, now, |old, new| new.bits() > old.bits());
    next.extend(matrices(network, k).map(|widths| grouped(now, GROUP, widths)).filter(|&f| f != now));
    next
}

/// The formats that differ so in one matrix, or alike in both.
fn others(network: &Network, k: usize, now: Formats, may: impl Fn(Weights, Weights) -> bool) -> Vec<Formats> {
    let of = |old| [Weights::W16, Weights::W8, Weights::W4].into_iter().filter(|&w| may(old, w)).collect::<Vec<_>>();
    let Some(widths) = matrices(network, k) else { return of(now.w).into_iter().map(Formats::of).collect() };
    let mut next: Vec<Formats> = of(now.w).into_iter().map(|w| Formats { w, ..now }).collect();
    next.extend(of(now.u).into_iter().map(|u| Formats { u, ..now }));
    if now.w == now.u {
        next.extend(of(now.w).into_iter().map(|w| Formats { w, u: w, ..now }));
    }
    next.into_iter().map(|f| grouped(f, GROUP, widths)).collect()
}

/// Chooses formats; `provenance` is the text that the blob will have.
///
/// # Errors
/// [`OverBudget`] if the blob with all weights in 4 bits does not fit.
pub fn formats(bench: &Bench, budget: usize, provenance: &str) -> Result<Plan, OverBudget> {
    let bytes = |plan: &[How]| Ok::<_, Unquantizable>(bench.blob(plan, provenance)?.len());
    let smallest = bytes(&uniform(bench.network, Weights::W4))?;
    if smallest > budget {
        return Err(OverBudget::TooLarge { smallest, budget });
    }
    let mut plan = uniform(bench.network, Weights::W16);
    let mut size = bytes(&plan)?;
    let db = |plan: &[How]| bench.quality(plan, Recording::outputs).map_or(0.0, |q| q.db());
    // The plans that differ by a format, with their bytes and dB.
    let tries = |plan: &Plan, formats: &(dyn Fn(usize, Formats) -> Vec<Formats> + Sync), most: usize| {
        let moves: Vec<(usize, Formats)> =
            (0..plan.len()).flat_map(|k| formats(k, plan[k].formats).into_iter().map(move |f| (k, f))).collect();
        let results = parallel(&moves, |&(k, formats)| {
            let mut next = plan.clone();
            next[k].formats = formats;
            let size = bytes(&next).ok().filter(|&size| size <= most)?;
            let db = db(&next);
            Some((next, size, db))
        });
        results.into_iter().flatten().collect::<Vec<_>>()
    };
    while size > budget {
        let now = db(&plan);
        let each = |(next, bytes, db): (Plan, usize, f64)| {
            let saved = size.saturating_sub(bytes);
            // A layer without weights has nothing to save.
            (saved > 0).then(|| (next, bytes, (now - db).max(0.0) / saved as f64))
        };
        let smaller = tries(&plan, &|k, f| smaller(bench.network, k, f), usize::MAX).into_iter().filter_map(each);
        // All formats are the smallest: that fits, as was seen above.
        let Some((next, bytes, _)) = smaller.min_by(|a, b| a.2.total_cmp(&b.2).then(a.1.cmp(&b.1))) else { break };
        (plan, size) = (next, bytes);
    }
    // What is left of the budget goes where it gains the most.
    loop {
        let now = db(&plan);
        let larger = tries(&plan, &|k, f| larger(bench.network, k, f), budget).into_iter();
        let best = larger.filter(|t| t.2 > now + WORTH).max_by(|a, b| a.2.total_cmp(&b.2).then(b.1.cmp(&a.1)));
        let Some((next, ..)) = best else { break };
        plan = next;
    }
    Ok(plan)
}
