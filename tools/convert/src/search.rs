//! The rounding that serves each layer best, by the error of the integer model on the calibration data.
//!
//! From the first layer to the last every lever is tried on the whole model, and the best is kept. The model is stepped, not
//! estimated: an error that comes back through the hidden state counts as it will on the device.

use crate::emit::blob::blob;
use crate::emit::vectors::Vectors;
use crate::measure::{Quality, Recording};
use crate::quantize::calibrate::Calibration;
use crate::quantize::levers::{How, Levers, Plan};
use crate::quantize::trained;
use crate::quantize::{Unquantizable, quantize};
use cellstate::Model;
use cellstate::model::header::Weights;
use cellstate_reference::Network;

/// What a lever must gain in dB over a simpler one.
const WORTH: f64 = 0.05;

/// What was done with a layer, and what was tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The layer's name.
    pub layer: String,
    /// What was kept.
    pub how: How,
    /// Whether its weights were trained as integers, which are kept as they are.
    pub trained: bool,
    /// All that was tried with this format, simplest first, each with the dB that it came to: of the hidden states of this
    /// layer and all behind it, or of the outputs if none of those is recurrent.
    pub tried: Vec<(Levers, f64)>,
}

impl Choice {
    /// What was kept came to so many dB.
    pub fn db(&self) -> f64 {
        self.tried.iter().find(|(l, _)| *l == self.how.levers).map_or(0.0, |t| t.1)
    }
}

/// What a plan is tried on.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The lowered network.
    pub network: &'a Network,
    /// What it did.
    pub calibration: &'a Calibration<'a>,
    /// The same, step by step.
    pub recording: &'a Recording,
    /// What it is tested on, in the end.
    pub vectors: Vectors<'a>,
}

impl Bench<'_> {
    /// The blob of a plan, with its test vectors.
    ///
    /// # Errors
    /// As of [`quantize`].
    pub fn blob(&self, plan: &[How], provenance: &str) -> Result<Vec<u8>, Unquantizable> {
        Ok(self.vectors.add(self.bare(plan, provenance)?))
    }

    fn bare(&self, plan: &[How], provenance: &str) -> Result<Vec<u8>, Unquantizable> {
        Ok(blob(self.network, &quantize(self.network, self.calibration, plan)?, provenance))
    }

    /// What `measure` says of a plan's model; none if there is no such model, or it cannot be run.
    pub fn quality(
        &self,
        plan: &[How],
        measure: impl Fn(&Recording, &Model) -> Result<Quality, String>,
    ) -> Option<Quality> {
        let bytes = self.bare(plan, "").ok()?;
        let words: Vec<u32> = bytes.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
        let model = Model::parse(bytemuck::cast_slice(&words)).ok()?;
        measure(self.recording, &model).ok()
    }

    /// Whether a layer has weights that levers move: rows whose vectors were seen.
    fn has_levers(&self, k: usize) -> bool {
        self.calibration.layers[k].joint.width() > 0
    }

    /// Chooses the levers of each layer, from the formats of `plan`.
    pub fn levers(&self, plan: &mut Plan) -> Vec<Choice> {
        (0..plan.len()).filter(|&k| self.has_levers(k)).map(|k| self.choose(plan, k)).collect()
    }

    fn choose(&self, plan: &mut Plan, k: usize) -> Choice {
        let formats = plan[k].formats;
        let trained = trained::layer(&self.network.nodes[k].layer, formats);
        let weighted = !self.calibration.layers[k].rows.is_empty();
        let fits = |l: &Levers| {
            let moves = (!l.ranges || [formats.w, formats.u] != [Weights::W16; 2]) && (!l.weighted || weighted);
            if trained { *l == Levers::default() } else { moves }
        };
        let tries: Vec<Levers> = Levers::ALL.into_iter().filter(fits).collect();
        let with = |levers: Levers| {
            let mut plan = plan.clone();
            plan[k].levers = levers;
            self.quality(&plan, |recording, model| recording.from(model, k))
        };
        let results = parallel(&tries, |&levers| with(levers));
        let tried: Vec<_> = tries.into_iter().zip(results).filter_map(|(l, q)| Some((l, q?.db()))).collect();
        let mut best = (Levers::default(), f64::NEG_INFINITY);
        for &(levers, db) in &tried {
            if db > best.1 + WORTH {
                best = (levers, db);
            }
        }
        plan[k].levers = best.0;
        Choice { layer: self.network.nodes[k].name.clone(), how: plan[k], trained, tried }
    }
}

/// Bytes of stack that a thread may have: without optimization a `State` is on the stack, twice, before it is on the heap.
const STACK: usize = 8 << 20;

/// The results of `f`, in the order of the items; each is computed alone, so threads change nothing of it.
///
/// # Panics
/// Where there are no more threads to be had, and with `f`.
pub fn parallel<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let thread = || std::thread::Builder::new().stack_size(STACK);
    std::thread::scope(|scope| {
        let spawned: std::io::Result<Vec<_>> =
            items.iter().map(|item| thread().spawn_scoped(scope, || f(item))).collect();
        let threads = spawned.expect("a thread can be had");
        threads.into_iter().map(|t| t.join().unwrap_or_else(|e| std::panic::resume_unwind(e))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::STATE_BYTES;
    use std::hint::black_box;

    /// As many bytes as a build without optimization has of states there.
    #[test]
    #[expect(clippy::large_stack_arrays, reason = "what is tested")]
    fn threads_have_a_stack_for_states() {
        let last = |&k: &usize| black_box([k as u8; 4 * STATE_BYTES])[black_box(4 * STATE_BYTES - 1)];
        assert_eq!(parallel(&[1, 2, 3], last), [1, 2, 3]);
    }
}
