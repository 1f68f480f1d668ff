//! Motion to decisions on a Raspberry Pi Pico: wiring only.

#![no_std]
#![no_main]

use cellstate::State;
use cellstate_app::app::{Settings, run};
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Lively, Revived};
use cellstate_app::sensors::mpu6050::Motion;
use cellstate_app::systick::Alarm;
use core::cell::RefCell;
use cortex_m_rt::exception;
use defmt_rtt as _;
use embedded_hal_bus::i2c::RefCellDevice;
use panic_probe as _;
use rp2040_hal::clocks::init_clocks_and_plls;
use rp2040_hal::fugit::RateExtU32;
use rp2040_hal::gpio::Pins;
use rp2040_hal::{Clock as _, I2C, Sio, Timer, Watchdog, entry, pac};
use static_cell::ConstStaticCell;

#[allow(unsafe_code, reason = "the boot ROM reads this section")]
#[unsafe(link_section = ".boot2")]
#[used]
static BOOT2: [u8; 256] = rp2040_boot2::BOOT_LOADER_W25Q080;

#[allow(dead_code, reason = "firmware need not use every constant of a model")]
mod model {
    include!(env!("CELLSTATE_MODEL_RS"));
}

static STATE: ConstStaticCell<State<{ model::STATE_BYTES }>> = ConstStaticCell::new(State::new());

/// The rate that the model was trained on, and what is done about gaps and flicker.
const SETTINGS: Settings =
    Settings { period: 40_000, rules: Rules { bridge: 5, debounce: 13 }, labels: &model::LABELS };

#[exception]
fn SysTick() {}

#[entry]
fn main() -> ! {
    let (Some(mut p), Some(core)) = (pac::Peripherals::take(), cortex_m::Peripherals::take()) else {
        defmt::panic!("main runs once");
    };
    let mut watchdog = Watchdog::new(p.WATCHDOG);
    let clocks = init_clocks_and_plls(12_000_000, p.XOSC, p.CLOCKS, p.PLL_SYS, p.PLL_USB, &mut p.RESETS, &mut watchdog);
    let Ok(clocks) = clocks else { defmt::panic!("the clocks do not start") };
    let sio = Sio::new(p.SIO);
    let pins = Pins::new(p.IO_BANK0, p.PADS_BANK0, sio.gpio_bank0, &mut p.RESETS);
    let led = pins.gpio25.into_push_pull_output();
    // GP4 is SDA, GP5 is SCL.
    let (sda, scl) = (pins.gpio4.reconfigure(), pins.gpio5.reconfigure());
    let i2c = I2C::i2c0(p.I2C0, sda, scl, 400u32.kHz(), &mut p.RESETS, &clocks.system_clock);
    let bus = RefCell::new(i2c);
    // Ten equal readings of six noisy values are no readings.
    let sensor = Revived::new(|| Ok(Lively::new(Motion::new(RefCellDevice::new(&bus))?, 10)));
    let mhz = clocks.system_clock.freq().to_MHz();
    let timer = Timer::new(p.TIMER, &mut p.RESETS, &clocks);
    let mut time = Alarm::new(|| timer.get_counter_low(), core.SYST, mhz);
    let Err(why) = run(SETTINGS, &model::BLOB.0, STATE.take(), sensor, led, &mut time, |r| defmt::info!("{}", r));
    defmt::panic!("cannot begin: {}", why);
}
