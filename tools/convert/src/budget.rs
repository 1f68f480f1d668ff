//! A format for each layer, so that the blob fits in the flash that there is.
//!
//! All begin with 16 bits. While the blob is too large, the layer whose next format costs the outputs the fewest dB for a
//! byte saved goes there. Outputs are what counts here: the last layer does nothing to hidden states.

use crate::measure::Recording;
use crate::quantize::Unquantizable;
use crate::quantize::levers::{How, Plan, uniform};
use crate::search::{Bench, parallel};
use cellstate::model::header::Weights;

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
        let smaller = |k: usize| match plan[k].weights {
            Weights::W16 => vec![(k, Weights::W8), (k, Weights::W4)],
            Weights::W8 => vec![(k, Weights::W4)],
            Weights::W4 => Vec::new(),
        };
        let moves: Vec<_> = (0..plan.len()).flat_map(smaller).collect();
        let results = parallel(&moves, |&(k, weights)| {
            let mut next = plan.clone();
            next[k].weights = weights;
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
