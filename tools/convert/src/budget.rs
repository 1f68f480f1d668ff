//! A format for each matrix, so that the blob fits in the flash that there is.
//!
//! All begin with 16 bits. While the blob is too large, the matrix whose next format costs the outputs the fewest dB for a
//! byte saved goes there: 8 bits, 4 bits in groups of columns, 4 bits. Outputs are what counts here: the last layer does nothing to hidden states.

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

/// The formats that a layer may have next: one matrix smaller, or both, or without groups.
fn smaller(network: &Network, k: usize, now: Formats) -> impl Iterator<Item = Formats> {
    let below = |w: Weights| match w {
        Weights::W16 => &[Weights::W8, Weights::W4][..],
        Weights::W8 => &[Weights::W4][..],
        Weights::W4 => &[][..],
    };
    let mut next = Vec::new();
    if let Some(widths) = matrices(network, k) {
        next.extend(below(now.w).iter().map(|&w| Formats { w, ..now }));
        next.extend(below(now.u).iter().map(|&u| Formats { u, ..now }));
        if now.w == now.u {
            next.extend(below(now.w).iter().map(|&w| Formats { w, u: w, ..now }));
        }
        next = next.into_iter().map(|f| grouped(f, GROUP, widths)).collect();
        next.extend((now.group > 0).then_some(Formats { group: 0, ..now }));
    } else {
        next.extend(below(now.w).iter().map(|&w| Formats::of(w)));
    }
    next.into_iter()
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
    while size > budget {
        let now = db(&plan);
        let moves: Vec<(usize, Formats)> =
            (0..plan.len()).flat_map(|k| smaller(bench.network, k, plan[k].formats).map(move |f| (k, f))).collect();
        let results = parallel(&moves, |&(k, formats)| {
            let mut next = plan.clone();
            next[k].formats = formats;
            let saved = size.saturating_sub(bytes(&next).ok()?);
            // A layer without weights has nothing to save.
            (saved > 0).then(|| (next.clone(), saved, (now - db(&next)).max(0.0) / saved as f64))
        });
        let best = results.into_iter().flatten().min_by(|a, b| a.2.total_cmp(&b.2).then(b.1.cmp(&a.1)));
        // All formats are the smallest: that fits, as was seen above.
        let Some((next, saved, _)) = best else { break };
        plan = next;
        size -= saved;
    }
    Ok(plan)
}
