//! A timer's interrupt samples a recording at a fixed rate, whatever the core does; behind the queue the core steps, and sleeps
//! while the queue is empty. What the host is told, and the rate: `cellstate_app::recording`.
//!
//! This file is wiring only. The board's first timer is the clock; its second one's interrupt takes the samples.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod on_board;

use board::{ConstStaticCell, MACHINE, Painted, entry, fail};
use cellstate::session::Checksum;
use cellstate_app::app::{Inference, Settings};
use cellstate_app::clock::Clock;
use cellstate_app::interrupt::{Sampling, Tally};
use cellstate_app::lockstep::Holdable;
use cellstate_app::predictor::Decision;
use cellstate_app::recording::{Event, RULES, Recording, Summary};
use cellstate_app::sampler::{Sample, Sampler};
use cellstate_app::server::send;
use cellstate_qemu::mps2::{
    self,
    led::Led,
    timers::{Alarm, Micros},
    uart::Uart,
};
use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use cortex_m::interrupt::{Mutex, free};
use cortex_m_rt::exception;
use heapless::spsc::Queue;
use on_board::model::{INPUTS, LABELS};

static QUEUE: ConstStaticCell<Queue<Sample<INPUTS>, 16>> = ConstStaticCell::new(Queue::new());
/// The interrupt's.
static SAMPLING: Mutex<Cell<Option<Sampling<'static, Recording<'static, INPUTS>, Micros, INPUTS>>>> =
    Mutex::new(Cell::new(None));
/// From the interrupt: what it has counted.
static TALLY: Mutex<Cell<Tally>> = Mutex::new(Cell::new(Tally::new()));
/// From the interrupt: the recording is at its end.
static ENDED: AtomicBool = AtomicBool::new(false);
/// From main: a sample is being computed.
static COMPUTING: AtomicBool = AtomicBool::new(false);

/// The alarm, the only interrupt that is served.
#[exception]
#[allow(unsafe_code, reason = "a handler for any interrupt is declared so")]
unsafe fn DefaultHandler(_: i16) {
    let Some(mut sampling) = free(|cs| SAMPLING.borrow(cs).take()) else { return };
    let mut alarm = Alarm::served(&MACHINE);
    alarm.clear();
    let left = sampling.interrupt(COMPUTING.load(Relaxed));
    if sampling.sampler.sensor().left() == 0 {
        ENDED.store(true, Relaxed);
    } else {
        alarm.set(u64::from(left) * 1000);
    }
    free(|cs| {
        TALLY.borrow(cs).set(sampling.tally);
        SAMPLING.borrow(cs).set(Some(sampling));
    });
}

#[entry]
fn main() -> ! {
    let stack = Painted::all();
    let Some(queue) = QUEUE.try_take() else { fail("main runs once") };
    let mut port = Uart::to_send(&MACHINE);
    let mut clock = Micros::held(&MACHINE);
    clock.hold(false);
    on_board::run(|session| {
        let (producer, mut consumer) = queue.split();
        let recording = Recording::new(mps2::loaded());
        let settings = Settings { period: recording.period(), rules: RULES, labels: &LABELS };
        let Ok(mut inference) = Inference::<_, INPUTS>::new(settings, session, Led(&MACHINE)) else {
            fail("the model takes other samples")
        };
        let (mut checksum, mut waiting) = (Checksum::new(), 0);
        // Told at the end, for the host may not be listening while the samples go on.
        let mut decisions = heapless::Vec::<_, 256>::new();
        let sampler = Sampler::new(recording, settings.period, clock.micros());
        let sampling = Sampling { sampler, queue: producer, clock: clock.clone(), tally: Tally::new() };
        free(|cs| SAMPLING.borrow(cs).set(Some(sampling)));
        Alarm::served(&MACHINE).set(1);
        let tally = || free(|cs| TALLY.borrow(cs).get());
        while !ENDED.load(Relaxed) || consumer.ready() {
            // An interrupt that comes between the look and the sleep ends it, and is served after.
            free(|_| {
                if !consumer.ready() {
                    cortex_m::asm::wfi();
                }
            });
            waiting = waiting.max(consumer.len() as u32);
            let Some(sample) = consumer.dequeue() else { continue };
            COMPUTING.store(true, Relaxed);
            let decision = inference.take(sample, &mut clock, || tally().sampled, |_| ());
            if decision.is_some() {
                checksum.observe(inference.predictor().session());
            }
            COMPUTING.store(false, Relaxed);
            if let Some(Decision { index, class, .. }) = decision.filter(|decision| decision.changed)
                && decisions.push((index, class)).is_err()
            {
                fail("more decisions than are remembered");
            }
        }
        let Tally { sampled, meanwhile } = tally();
        let predicted = inference.predictor().counts();
        let checksum = checksum.finish(inference.predictor().session());
        let stack = stack.high_water();
        for &(index, class) in &decisions {
            let Ok(()) = send(&mut port, &Event::Decided { index, class });
        }
        let Ok(()) =
            send(&mut port, &Event::Ended(Summary { sampled, predicted, meanwhile, waiting, checksum, stack }));
        loop {
            cortex_m::asm::wfi();
        }
    })
}
