//! The cores, and how each is built for and emulated.

use super::cycles::Timing;

/// One core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Core {
    /// As it stands in the results.
    pub(crate) name: &'static str,
    pub(crate) target: &'static str,
    /// What the compiler is told beside the target.
    pub(crate) flags: &'static str,
    pub(crate) emulator: &'static str,
    pub(crate) machine: &'static str,
    /// Where `boards/bench` looks for its trials on this machine.
    pub(crate) trials: u32,
    /// How a tick of the firmware's counter becomes instructions.
    pub(crate) counter: Counter,
    /// From what its cycles are estimated, where that is published and simple.
    pub(crate) timing: Option<Timing>,
}

/// What the firmware counts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// SysTick, with so many nanoseconds a tick; an instruction takes 128.
    SysTick(u64),
    /// Instructions retired.
    Instructions,
}

/// All of them. Cortex-M0 code runs on the emulated Cortex-M3 board, whose instruction set includes it: no emulated M0
/// board has the flash for the larger models. `cargo xtask test` runs it on an emulated M0 as well.
pub(crate) const CORES: [Core; 6] = [
    Core {
        name: "cortex-m0",
        target: "thumbv6m-none-eabi",
        flags: "",
        emulator: "qemu-system-arm",
        machine: "mps2-an385",
        trials: 0x0001_0000,
        counter: Counter::SysTick(40),
        timing: None,
    },
    Core {
        name: "cortex-m3",
        target: "thumbv7m-none-eabi",
        flags: "",
        emulator: "qemu-system-arm",
        machine: "mps2-an385",
        trials: 0x0001_0000,
        counter: Counter::SysTick(40),
        timing: Some(Timing::CortexM3),
    },
    Core {
        name: "cortex-m4",
        target: "thumbv7em-none-eabihf",
        flags: "",
        emulator: "qemu-system-arm",
        machine: "mps2-an386",
        trials: 0x0001_0000,
        counter: Counter::SysTick(40),
        timing: Some(Timing::CortexM4),
    },
    Core {
        name: "cortex-m7",
        target: "thumbv7em-none-eabihf",
        flags: "",
        emulator: "qemu-system-arm",
        machine: "mps2-an500",
        trials: 0x0001_0000,
        counter: Counter::SysTick(40),
        timing: None,
    },
    Core {
        name: "cortex-m33",
        target: "thumbv8m.main-none-eabihf",
        flags: "-Ctarget-cpu=cortex-m33",
        emulator: "qemu-system-arm",
        machine: "mps2-an505",
        trials: 0x8000_0000,
        counter: Counter::SysTick(50),
        timing: None,
    },
    Core {
        name: "rv32imac",
        target: "riscv32imac-unknown-none-elf",
        flags: "",
        emulator: "qemu-system-riscv32",
        machine: "virt",
        trials: 0x8040_0000,
        counter: Counter::Instructions,
        timing: None,
    },
];

/// An emulated Cortex-M0 with 256 KB of flash and 16 KB of RAM.
pub(crate) const MICROBIT: Core = Core { name: "microbit", machine: "microbit", ..CORES[0] };
