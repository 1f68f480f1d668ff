//! Motion to decisions on an ESP32-C3-DevKitM-1: wiring only.

#![no_std]
#![no_main]

use cellstate::State;
use cellstate_app::app::{Settings, run};
use cellstate_app::clock::{Clock, Sleep};
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Lively, Revived};
use cellstate_app::sensors::mpu6050::Motion;
use core::cell::RefCell;
use core::pin::pin;
use core::task::{Context, Waker};
use embedded_hal_bus::i2c::RefCellDevice;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::i2c::master::{Config, I2c};
use esp_hal::interrupt::wait_for_interrupt;
use esp_hal::time::{Instant, Rate};
use esp_hal::timer::OneShotTimer;
use esp_hal::timer::systimer::SystemTimer;
use esp_hal::{Async, main};
use esp_println::println;
use static_cell::ConstStaticCell;

esp_bootloader_esp_idf::esp_app_desc!();

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

/// The rate that the model was trained on, and what is done about gaps and flicker.
const SETTINGS: Settings =
    Settings { period: 40_000, rules: Rules { bridge: 5, debounce: 13 }, labels: &model::LABELS };

/// The system timer, which runs while the processor waits, and one of its alarms to wake it.
struct Time {
    alarm: OneShotTimer<'static, Async>,
}

impl Clock for Time {
    fn micros(&mut self) -> u32 {
        Instant::now().duration_since_epoch().as_micros() as u32
    }
}

impl Sleep for Time {
    fn sleep(&mut self, micros: u32) {
        // An alarm that fires before the processor waits would not end that wait; so short a sleep is not worth one.
        if micros < 200 {
            return;
        }
        let mut alarm = pin!(self.alarm.delay_micros_async(micros));
        while alarm.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending() {
            wait_for_interrupt();
        }
    }
}

#[main]
fn main() -> ! {
    let p = esp_hal::init(esp_hal::Config::default());
    // The LED on board is one of the kind that takes a protocol: this one is yours, with its resistor.
    let led = Output::new(p.GPIO7, Level::Low, OutputConfig::default());
    let config = Config::default().with_frequency(Rate::from_khz(400));
    let Ok(i2c) = I2c::new(p.I2C0, config) else { panic!("the bus cannot run so fast") };
    let bus = RefCell::new(i2c.with_sda(p.GPIO5).with_scl(p.GPIO6));
    // Ten equal readings of six noisy values are no readings.
    let sensor = Revived::new(|| Ok(Lively::new(Motion::new(RefCellDevice::new(&bus))?, 10)));
    let mut time = Time { alarm: OneShotTimer::new(SystemTimer::new(p.SYSTIMER).alarm0).into_async() };
    let Err(why) = run(SETTINGS, &model::BLOB.0, STATE.take(), sensor, led, &mut time, |r| println!("{r:?}"));
    println!("cannot begin: {why:?}");
    loop {
        wait_for_interrupt();
    }
}

/// Says where, not why: the texts of all panics would take a fifth of the flash.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    if let Some(location) = info.location() {
        println!("panic at {}:{}", location.file(), location.line());
    }
    loop {
        wait_for_interrupt();
    }
}
