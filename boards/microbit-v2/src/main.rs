//! Motion to decisions on a BBC micro:bit v2: wiring only.

#![no_std]
#![no_main]

use cellstate::State;
use cellstate_app::app::{Settings, run};
use cellstate_app::clock::{Clock, Sleep};
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Lively, Revived};
use cellstate_app::sensors::lsm303agr::Accelerometer;
use core::cell::RefCell;
use core::pin::pin;
use core::task::{Context, Waker};
use defmt_rtt as _;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::{bind_interrupts, peripherals, twim};
use embassy_time::{Delay, Instant, Timer};
use embedded_hal_bus::i2c::RefCellDevice;
use panic_probe as _;
use static_cell::ConstStaticCell;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

/// The rate that the model was trained on, and what is done about gaps and flicker.
const SETTINGS: Settings =
    Settings { period: 40_000, rules: Rules { bridge: 5, debounce: 13 }, labels: &model::LABELS };

bind_interrupts!(struct Interrupts {
    TWISPI0 => twim::InterruptHandler<peripherals::TWISPI0>;
});

/// Embassy's clock: the 32 kHz timer RTC1, which runs while the processor sleeps.
struct Time;

impl Clock for Time {
    fn micros(&mut self) -> u32 {
        Instant::now().as_micros() as u32
    }
}

impl Sleep for Time {
    fn sleep(&mut self, micros: u32) {
        let mut alarm = pin!(Timer::after_micros(micros.into()));
        // No task has to be woken: the alarm's interrupt ends the processor's wait, also when it comes just before.
        while alarm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            cortex_m::asm::wfe();
        }
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_nrf::init(Default::default());
    // The display's upper left corner: its row high, and its column low while it is lit.
    let _row = Output::new(p.P0_21, Level::High, OutputDrive::Standard);
    let led = Output::new(p.P0_28, Level::High, OutputDrive::Standard);
    // The bus of the sensors on board.
    let mut buffer = [0; 16];
    let i2c = twim::Twim::new(p.TWISPI0, Interrupts, p.P0_16, p.P0_08, twim::Config::default(), &mut buffer);
    let bus = RefCell::new(i2c);
    // At rest three 12-bit values may repeat, but not for two seconds.
    let sensor = Revived::new(|| Ok(Lively::new(Accelerometer::new(RefCellDevice::new(&bus), &mut Delay)?, 50)));
    let mut time = Time;
    let Err(why) = run(SETTINGS, &model::BLOB.0, STATE.take(), sensor, led, &mut time, |r| defmt::info!("{}", r));
    defmt::panic!("cannot begin: {}", why);
}
