//! Cores at their clocks, and boards with their memory.

use super::recorded;

/// A core at a clock, and how many cycles an instruction takes where they were not recorded.
#[derive(Clone, Copy, Debug)]
pub struct Clocked {
    /// What it is called in the table.
    pub name: &'static str,
    /// Whose counts apply, as in `docs/performance.json`.
    pub core: &'static str,
    /// Megahertz.
    pub mhz: f64,
    /// Cycles an instruction, assumed.
    pub factor: f64,
}

const fn clocked(name: &'static str, core: &'static str, mhz: f64, factor: f64) -> Clocked {
    Clocked { name, core, mhz, factor }
}

/// The cores of the table.
///
/// The factors: of M3 and M4 what `cargo xtask bench` estimates, 1.58 to 1.72 and 1.50 to 1.67 by the model's size; on M0 and
/// M0+ two cycles a load, which are half of the inner loop; the others' are assumed, for their timings are not published. All
/// are for memory without wait states.
pub const CLOCKED: [Clocked; 9] = [
    clocked("Cortex-M0 at 16 MHz", "cortex-m0", 16.0, 1.6),
    clocked("Cortex-M0 at 48 MHz", "cortex-m0", 48.0, 1.6),
    clocked("Cortex-M0+ at 133 MHz, RP2040", "cortex-m0", 133.0, 1.6),
    clocked("Cortex-M3 at 72 MHz", "cortex-m3", 72.0, 1.65),
    clocked("Cortex-M4 at 64 MHz, nRF52840", "cortex-m4", 64.0, 1.6),
    clocked("Cortex-M4 at 168 MHz, STM32F405", "cortex-m4", 168.0, 1.6),
    clocked("Cortex-M7 at 480 MHz", "cortex-m7", 480.0, 1.0),
    clocked("Cortex-M33 at 150 MHz, RP2350", "cortex-m33", 150.0, 1.4),
    clocked("RV32IMC at 160 MHz, ESP32-C3", "rv32imac", 160.0, 1.4),
];

impl Clocked {
    /// Cycles an instruction in a step of `instructions`, and whether they come from recorded cycles: those of the recorded
    /// step that is next in length.
    pub fn cycles_per_instruction(&self, instructions: f64, weights: &str) -> (f64, bool) {
        let near = recorded::of(self.core, Some(weights))
            .filter_map(|r| Some((r.instructions as f64, r.cycles? as f64)))
            .min_by(|(a, _), (b, _)| (a / instructions).ln().abs().total_cmp(&(b / instructions).ln().abs()));
        near.map_or((self.factor, false), |(instructions, cycles)| (cycles / instructions, true))
    }
}

/// A board: what its chip has.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    /// Its name.
    pub name: &'static str,
    /// Whose code size applies.
    pub core: &'static str,
    /// Kilobytes of flash.
    pub flash_kb: u64,
    /// Kilobytes of RAM.
    pub ram_kb: u64,
}

const fn board(name: &'static str, core: &'static str, flash_kb: u64, ram_kb: u64) -> Board {
    Board { name, core, flash_kb, ram_kb }
}

/// The boards of the table; a kilobyte is 1024 bytes.
pub const BOARDS: [Board; 7] = [
    board("micro:bit v2", "cortex-m4", 512, 128),
    board("nRF52840-DK", "cortex-m4", 1024, 256),
    board("Raspberry Pi Pico", "cortex-m0", 2048, 264),
    board("Raspberry Pi Pico 2", "cortex-m33", 4096, 520),
    board("STM32F405", "cortex-m4", 1024, 192),
    board("ESP32-C3", "rv32imac", 4096, 400),
    board("qemu-mps2-an386", "cortex-m4", 4096, 4096),
];
