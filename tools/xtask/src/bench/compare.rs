//! The same bits on every core: a million random steps over random shapes, on the emulated core and on the host.

use super::{build, on_host};
use anyhow::{Result, ensure};
use cellstate_convert::board::cores::{CORES, Core, MICROBIT};
use cellstate_convert::board::emulate::{self, Look};
use cellstate_convert::board::pack::pack;
use cellstate_convert::random::{Rng, random};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Random networks, the same as in `tests/kernels.rs`, and steps of each.
const NETWORKS: u64 = 500;
const STEPS: u32 = 2000;
/// How long all networks may take on one core.
const LIMIT: Duration = Duration::from_secs(900);

/// What runs the networks: a core, with its own kernels or with the portable ones.
#[derive(Clone, Copy)]
struct Run {
    core: Core,
    portable: bool,
}

/// Compares every core; the real Cortex-M0 board runs what fits its flash.
pub(crate) fn all() -> Result<()> {
    let mut trials = Vec::new();
    for seed in 1..=NETWORKS {
        let (_, blob) = random(&mut Rng(seed));
        trials.push((on_host(&blob, STEPS)?, blob));
    }
    let mut runs: Vec<Run> = CORES.iter().map(|&core| Run { core, portable: false }).collect();
    runs.push(Run { core: MICROBIT, portable: false });
    runs.push(Run { core: CORES[2], portable: true });
    let elves = runs.iter().map(|run| Ok(build(run.core, run.portable)?.elf)).collect::<Result<Vec<_>>>()?;
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || -> Result<()> {
            loop {
                let k = next.fetch_add(1, Ordering::Relaxed);
                let (Some(run), Some(elf)) = (runs.get(k), elves.get(k)) else { return Ok(()) };
                let mut left = run.core.pack_bytes;
                let fits: Vec<_> = trials
                    .iter()
                    .take_while(|(_, blob)| {
                        let size = blob.len() + 16;
                        left = left.saturating_sub(size);
                        left > size
                    })
                    .collect();
                let pack = pack(fits.iter().map(|(_, blob)| (STEPS, &blob[..])));
                let ran = emulate::run(&run.core, elf, &pack, LIMIT, Look::No)?;
                let kernels = if run.portable { "portable" } else { "own" };
                let name = format!("{}, {kernels} kernels", run.core.name);
                ensure!(ran.len() == fits.len(), "{name}: {} of {} networks ran", ran.len(), fits.len());
                for (k, (trial, (expected, _))) in ran.iter().zip(fits).enumerate() {
                    ensure!(trial.checksum == *expected, "{name}: network {} differs from the host", k + 1);
                }
                let steps = ran.len() as u64 * u64::from(STEPS);
                println!("bit-exact: {name}: {steps} random steps of {} networks", ran.len());
            }
        };
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads.into_iter().try_for_each(|t| t.join().map_err(|_| anyhow::anyhow!("a worker panicked"))?)
    })
}
