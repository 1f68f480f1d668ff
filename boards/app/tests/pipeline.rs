//! From a sensor to decisions: every sample has its place in time, whatever fails, and the counts add up.

use cellstate::{Model, Session, State};
use cellstate_app::clock::Clock;
use cellstate_app::debounce::Debounce;
use cellstate_app::predictor::{Predictor, Rules};
use cellstate_app::sampler::{Sample, Sampler};
use cellstate_app::sensor::{Fault, Sensor};
use heapless::spsc::Queue;
use std::cell::Cell;
use std::rc::Rc;

const RULES: Rules = Rules { bridge: 5, debounce: 3 };

/// Time that stands still unless it is moved.
#[derive(Clone, Default)]
struct Time(Rc<Cell<u32>>);

impl Clock for Time {
    fn micros(&mut self) -> u32 {
        self.0.get()
    }
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as u32
    }

    fn once_in(&mut self, n: u32) -> bool {
        self.next().is_multiple_of(n)
    }
}

/// Six noisy waves, of which one reading in a hundred is not acknowledged.
struct Shaky {
    random: Random,
    t: i32,
}

impl Sensor<6> for Shaky {
    fn read(&mut self) -> Result<[i16; 6], Fault> {
        self.t += 1;
        if self.random.once_in(100) {
            return Err(Fault::NoAcknowledge);
        }
        let noise = (self.random.next() % 512) as i32;
        Ok([3, 5, 7, 11, 13, 17].map(|k| ((self.t * k % 200 - 100) * 40 + noise) as i16))
    }
}

fn blob() -> Vec<u32> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/models/watch/watch.cell");
    let bytes = std::fs::read(path).unwrap();
    bytes.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect()
}

#[test]
fn a_hundred_thousand_samples_with_faults_lose_nothing() {
    const PERIODS: u32 = 100_000;
    const PERIOD: u32 = 40_000;
    let words = blob();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let (mut state, mut replayed) = (State::<1024>::new(), State::<1024>::new());
    let mut predictor = Predictor::new(Session::new(&model, &mut state).unwrap(), RULES).unwrap();
    let mut replay = Session::new(&model, &mut replayed).unwrap();
    let mut queue = Queue::<Sample<6>, 8>::new();
    let (mut producer, mut consumer) = queue.split();
    let mut time = Time::default();
    // Close to the end of the clock's range, so that it wraps around.
    time.0.set(u32::MAX - 1_000_000);
    let mut sampler = Sampler::new(Shaky { random: Random(1), t: 0 }, PERIOD, time.micros());
    let mut random = Random(2);
    let mut last: Option<[i16; 6]> = None;
    let mut busy = 0;
    let (mut taken, mut expected, mut decisions) = (0u32, 0u32, 0u32);
    while sampler.counts().read + sampler.counts().failed + sampler.counts().missed + sampler.counts().dropped < PERIODS
    {
        // Now and then something else keeps the processor for several periods.
        let late = if random.once_in(100) { random.next() % 8 * PERIOD } else { 0 };
        let wait = sampler.until_next(time.micros());
        time.0.set(time.0.get().wrapping_add(wait).wrapping_add(late));
        assert!(sampler.poll(time.micros(), &mut producer));
        assert!(!sampler.poll(time.micros(), &mut producer), "one period has one sample");
        // The queue is emptied most of the time; when nobody does it fills up, and samples are dropped.
        busy = if busy > 0 { busy - 1 } else { random.next() % 12 * u32::from(random.once_in(500)) };
        while busy == 0 && !random.once_in(12) {
            let Some(sample) = consumer.dequeue() else { break };
            // One sample in a hundred comes twice.
            for _ in 0..=u32::from(random.once_in(100)) {
                taken += 1;
                let decision = predictor.take(sample, &mut time);
                let fresh = sample.index.wrapping_sub(expected) <= u32::MAX / 2;
                if let (Ok(reading), true) = (sample.reading, fresh) {
                    // What the rules say, once more and plainly.
                    let gap = sample.index.wrapping_sub(expected);
                    match last {
                        Some(last) if gap <= RULES.bridge => {
                            for _ in 0..gap {
                                replay.step_i16(&last).unwrap();
                            }
                        }
                        Some(_) => replay.reset(),
                        None => {}
                    }
                    replay.step_i16(&reading).unwrap();
                    (last, expected) = (Some(reading), sample.index + 1);
                    let decision = decision.unwrap();
                    assert_eq!(decision.index, sample.index);
                    assert_eq!(usize::from(decision.class), replay.output().argmax());
                    assert_eq!(decision.latency, time.micros().wrapping_sub(sample.due));
                    decisions += 1;
                } else {
                    assert_eq!(decision, None);
                }
            }
        }
    }
    assert_eq!(predictor.session().digest(), replay.digest(), "the state is that of the accepted samples");
    let left = std::iter::from_fn(|| consumer.dequeue()).count() as u32;
    let (sampled, predicted) = (sampler.counts(), predictor.counts());
    println!("{sampled:?}\n{predicted:?}");
    assert_eq!(predicted.accepted + predicted.faults + predicted.stale, taken);
    let duplicates = taken + left - (sampled.read + sampled.failed);
    assert!(predicted.stale <= duplicates && predicted.stale > 100);
    assert_eq!(decisions, predicted.accepted);
    for (count, least) in [
        (sampled.failed, 800),
        (sampled.missed, 2000),
        (sampled.dropped, 20),
        (predicted.bridged, 2000),
        (predicted.resets, 20),
    ] {
        assert!(count >= least, "{count} of {least}");
    }
}

#[test]
fn the_sampler_keeps_its_rate() {
    let mut queue = Queue::<Sample<6>, 4>::new();
    let (mut producer, mut consumer) = queue.split();
    let mut sampler = Sampler::new(Shaky { random: Random(9), t: 0 }, 100, 1000);
    let mut indices = Vec::new();
    // Early, in time, late within the period, three periods late, and in time again.
    for (now, left) in [(1000, 0), (1050, 50), (1100, 0), (1290, 0), (1300, 0), (1650, 0), (1700, 0)] {
        assert_eq!(sampler.until_next(now), left);
        sampler.poll(now, &mut producer);
        indices.extend(std::iter::from_fn(|| consumer.dequeue()).map(|s| (s.index, s.due)));
    }
    assert_eq!(indices, [(0, 1000), (1, 1100), (2, 1200), (3, 1300), (6, 1600), (7, 1700)]);
    assert_eq!(sampler.counts().missed, 2);
}

#[test]
fn decisions_do_not_flicker() {
    let mut debounce = Debounce::new(3);
    let changed: Vec<bool> = [4, 4, 4, 4, 2, 4, 2, 2, 2, 4].map(|class| debounce.step(class)).to_vec();
    assert_eq!(changed, [false, false, true, false, false, false, false, false, true, false]);
    assert_eq!(debounce.decided(), Some(2));
    debounce.reset();
    assert_eq!(debounce.decided(), None);
    assert!(Debounce::new(0).step(0) && Debounce::new(1).step(7));
}

#[test]
fn a_model_of_other_inputs_is_refused() {
    let words = blob();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let mut state = State::<1024>::new();
    assert!(Predictor::<3>::new(Session::new(&model, &mut state).unwrap(), RULES).is_none());
}
