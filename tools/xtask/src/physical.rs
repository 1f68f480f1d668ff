//! The boards that can be bought: built for their targets and weighed, not run.

use crate::firmware::{Firmware, Variant, flash_and_ram};
use anyhow::{Result, ensure};

/// A crate's folder, which is also its program's name; its target, and what else the compiler is told, as in the folder's
/// `.cargo/config.toml`.
pub(crate) const BOARDS: [(&str, &str, &str); 6] = [
    ("nrf52840-dk", "thumbv7em-none-eabihf", ""),
    ("microbit-v2", "thumbv7em-none-eabihf", ""),
    ("stm32f4-discovery", "thumbv7em-none-eabihf", ""),
    ("pico-rp2040", "thumbv6m-none-eabi", ""),
    ("pico2-rp2350", "thumbv8m.main-none-eabihf", "-Ctarget-cpu=cortex-m33"),
    ("esp32c3-devkit", "riscv32imc-unknown-none-elf", ""),
];

/// What the application, its model and the board's own code may take of the flash together, the ESP32's boot loader aside.
const FLASH_BUDGET: u64 = 60_000;

/// Builds each board with warnings denied, and compares its size with the budget.
pub(crate) fn build() -> Result<()> {
    println!("{:20} {:>8} {:>11}", "board", "flash", "static RAM");
    let mut heavy = Vec::new();
    for (folder, target, flags) in BOARDS {
        let elf = Firmware { folder, target, flags, variant: Variant::Usual }.build(folder)?;
        let (flash, ram) = flash_and_ram(&elf)?;
        println!("{folder:20} {flash:>8} {ram:>11}");
        if flash > FLASH_BUDGET {
            heavy.push(folder);
        }
    }
    ensure!(heavy.is_empty(), "more than {FLASH_BUDGET} bytes of flash: {}", heavy.join(", "));
    Ok(())
}

/// Clippy for each board, where the toolchain for its target has it.
pub(crate) fn clippy() -> Result<()> {
    BOARDS
        .into_iter()
        .try_for_each(|(folder, target, flags)| Firmware { folder, target, flags, variant: Variant::Usual }.clippy())
}
