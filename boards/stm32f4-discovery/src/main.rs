//! Motion to decisions on an STM32F407G-DISC1: wiring only.

#![no_std]
#![no_main]

use cellstate::State;
use cellstate_app::app::{Settings, run};
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Lively, Revived};
use cellstate_app::sensors::mpu6050::Motion;
use cellstate_app::systick::Alarm;
use core::cell::RefCell;
use cortex_m_rt::{entry, exception};
use defmt_rtt as _;
use embedded_hal_bus::i2c::RefCellDevice;
use panic_probe as _;
use static_cell::ConstStaticCell;
use stm32f4xx_hal::i2c::I2c;
use stm32f4xx_hal::pac;
use stm32f4xx_hal::prelude::*;
use stm32f4xx_hal::rcc::Config;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

/// The rate that the model was trained on, and what is done about gaps and flicker.
const SETTINGS: Settings =
    Settings { period: 40_000, rules: Rules { bridge: 5, debounce: 13 }, labels: &model::LABELS };

const MHZ: u32 = 84;

#[exception]
fn SysTick() {}

#[entry]
fn main() -> ! {
    let (Some(p), Some(core)) = (pac::Peripherals::take(), cortex_m::Peripherals::take()) else {
        defmt::panic!("main runs once");
    };
    // Lets the probe read the log while the processor sleeps.
    p.DBGMCU.cr().modify(|_, w| w.dbg_sleep().set_bit());
    let mut rcc = p.RCC.freeze(Config::hsi().sysclk(MHZ.MHz()));
    let (gpiob, gpiod) = (p.GPIOB.split(&mut rcc), p.GPIOD.split(&mut rcc));
    let led = gpiod.pd12.into_push_pull_output();
    // PB8 is SCL, PB7 is SDA; the audio codec on board is on PB6 and PB9.
    let i2c = I2c::new(p.I2C1, (gpiob.pb8, gpiob.pb7), 400.kHz(), &mut rcc);
    let bus = RefCell::new(i2c);
    // Ten equal readings of six noisy values are no readings.
    let sensor = Revived::new(|| Ok(Lively::new(Motion::new(RefCellDevice::new(&bus))?, 10)));
    let mut timer = p.TIM2.counter_us(&mut rcc);
    // All 32 bits but the last, which the HAL cannot count to.
    let Ok(()) = timer.start(u32::MAX.micros()) else { defmt::panic!("the timer does not start") };
    // TIM2 has 32 bits, and runs while the processor sleeps.
    let mut time = Alarm::new(|| timer.now().ticks(), core.SYST, MHZ);
    let Err(why) = run(SETTINGS, &model::BLOB.0, STATE.take(), sensor, led, &mut time, |r| defmt::info!("{}", r));
    defmt::panic!("cannot begin: {}", why);
}
