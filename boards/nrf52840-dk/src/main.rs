//! Motion to decisions on a Nordic nRF52840-DK, on embassy's executor: wiring only.

#![no_std]
#![no_main]

use cellstate::{Model, Session, State};
use cellstate_app::app::{Application, Refused, Settings};
use cellstate_app::clock::Clock;
use cellstate_app::predictor::Rules;
use cellstate_app::sensor::{Lively, Revived};
use cellstate_app::sensors::mpu6050::Motion;
use core::cell::RefCell;
use core::convert::Infallible;
use defmt_rtt as _;
use embassy_executor::Spawner;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::{Peripherals, bind_interrupts, peripherals, twim};
use embassy_time::{Instant, Timer};
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

#[embassy_executor::main]
async fn main(_spawner: Spawner) {
    let Err(why) = application(embassy_nrf::init(Default::default())).await;
    defmt::error!("cannot begin: {}", why);
}

async fn application(p: Peripherals) -> Result<Infallible, Refused> {
    // LED1 is lit when its pin is low.
    let led = Output::new(p.P0_13, Level::High, OutputDrive::Standard);
    // The Arduino header's SDA and SCL.
    let mut buffer = [0; 16];
    let i2c = twim::Twim::new(p.TWISPI0, Interrupts, p.P0_26, p.P0_27, twim::Config::default(), &mut buffer);
    let bus = RefCell::new(i2c);
    // Ten equal readings of six noisy values are no readings.
    let sensor = Revived::new(|| Ok(Lively::new(Motion::new(RefCellDevice::new(&bus))?, 10)));

    let model = Model::parse(&model::BLOB.0).map_err(|_| Refused::Model)?;
    let session = Session::new(&model, STATE.take()).map_err(|_| Refused::State)?;
    let mut application = Application::new(SETTINGS, session, sensor, led, Time.micros())?;
    loop {
        let left = application.turn(&mut Time, |report| defmt::info!("{}", report));
        Timer::after_micros(left.into()).await;
    }
}
