//! The boards' first LED.

use super::Machine;
use core::convert::Infallible;
use embedded_hal::digital::{ErrorType, OutputPin, StatefulOutputPin};

/// Of LED0 and LED1, a bit each.
const LED0: usize = 0;
const FIRST: u32 = 1;

/// The first.
#[derive(Debug)]
pub struct Led(pub &'static Machine);

impl ErrorType for Led {
    type Error = Infallible;
}

impl OutputPin for Led {
    fn set_low(&mut self) -> Result<(), Infallible> {
        let Machine { leds, .. } = self.0;
        leds.write(LED0, leds.read(LED0) & !FIRST);
        Ok(())
    }

    fn set_high(&mut self) -> Result<(), Infallible> {
        let Machine { leds, .. } = self.0;
        leds.write(LED0, leds.read(LED0) | FIRST);
        Ok(())
    }
}

impl StatefulOutputPin for Led {
    fn is_set_high(&mut self) -> Result<bool, Infallible> {
        Ok(self.0.leds.read(LED0) & FIRST != 0)
    }

    fn is_set_low(&mut self) -> Result<bool, Infallible> {
        self.is_set_high().map(|high| !high)
    }
}
