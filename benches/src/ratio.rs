//! Steps per second of both engines, measured in turns in one process, and their ratio.

use anyhow::{Result, bail};
use cellstate::model::header::Weights;
use cellstate_benches::{Pair, SIZES, STEPS};
use clap::Parser;
use std::time::{Duration, Instant};

/// Turns of each engine; the median of them counts.
const ROUNDS: usize = 401;
/// How long a turn takes, about: less than a scheduler's slice, so that other work falls into few of them.
const TURN: Duration = Duration::from_micros(400);
/// What `--check` asks of w8 sequences.
const CHECKED: ((usize, usize), f64) = ((28, 128), 3.0);

/// Steps per second of cellstate and of tract on this host.
#[derive(Parser)]
struct Arguments {
    /// Fail if w8 sequences of 28 inputs and 128 units take more than a third of tract's time
    #[arg(long)]
    check: bool,
}

/// What is measured: one engine in one form.
type Run<'a> = Box<dyn FnMut() -> Result<()> + 'a>;

/// Seconds of one call of each, the median over all rounds.
fn medians(runs: &mut [Run]) -> Result<Vec<f64>> {
    let mut counts = Vec::new();
    for run in runs.iter_mut() {
        let (start, mut count) = (Instant::now(), 0u32);
        while start.elapsed() < TURN {
            run()?;
            count += 1;
        }
        counts.push(count);
    }
    let mut times = vec![Vec::new(); runs.len()];
    for _ in 0..ROUNDS {
        for ((run, &count), times) in runs.iter_mut().zip(&counts).zip(&mut times) {
            let start = Instant::now();
            for _ in 0..count {
                run()?;
            }
            times.push(start.elapsed().as_secs_f64() / f64::from(count));
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    Ok(times.iter().map(|t| t[ROUNDS / 2]).collect())
}

fn main() -> Result<()> {
    let check = Arguments::parse().check;
    let mut checked = f64::NAN;
    println!("Thousands of steps per second; in brackets cellstate over tract. Medians of {ROUNDS} rounds in turns.\n");
    println!("{:9} {:8} {:>9} {:>17} {:>17} {:>17}", "layer", "form", "tract", "w8", "w16", "w4");
    for size in SIZES {
        for sequence in [false, true] {
            let Pair { mut integers, mut floats } = Pair::new(size)?;
            let mut runs: Vec<Run> = Vec::new();
            runs.push(Box::new(|| if sequence { floats.sequence().map(drop) } else { floats.step() }));
            for (_, mine) in &mut integers {
                runs.push(Box::new(|| {
                    if sequence {
                        mine.sequence();
                    } else {
                        mine.step();
                    }
                    Ok(())
                }));
            }
            let times = medians(&mut runs)?;
            drop(runs);
            let steps = if sequence { STEPS as f64 } else { 1.0 };
            let form = if sequence { "sequence" } else { "step" };
            print!("{:9} {form:8} {:9.1}", format!("{}x{}", size.0, size.1), steps / times[0] / 1e3);
            for ((weights, _), time) in integers.iter().zip(&times[1..]) {
                let ratio = times[0] / time;
                print!(" {:9.1} ({ratio:5.2})", steps / time / 1e3);
                if sequence && size == CHECKED.0 && *weights == Weights::W8 {
                    checked = ratio;
                }
            }
            println!();
        }
    }
    if check && (checked.is_nan() || checked < CHECKED.1) {
        bail!("w8 sequences at {:?} are {checked:.2} times as fast as tract's, less than {}", CHECKED.0, CHECKED.1);
    }
    Ok(())
}
