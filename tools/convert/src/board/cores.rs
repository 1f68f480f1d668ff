//! The cores, how each is built for and emulated, and the boards that have them.

use cellstate_app::trial::STATE_BYTES;
use std::path::PathBuf;

/// An emulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emulator {
    /// Its program.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
}

/// For all Arm cores.
pub const ARM: Emulator = Emulator { program: "qemu-system-arm", package: "qemu-system-arm" };
/// For RISC-V.
pub const RISCV: Emulator = Emulator { program: "qemu-system-riscv32", package: "qemu-system-misc" };

/// One core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Core {
    /// As it stands in the results.
    pub name: &'static str,
    /// The compiler's target.
    pub target: &'static str,
    /// What the compiler is told beside the target.
    pub flags: &'static str,
    /// What stands for it.
    pub emulator: Emulator,
    /// The emulated machine.
    pub machine: &'static str,
    /// Where `boards/bench` looks for its pack on this machine.
    pub pack: u32,
    /// The largest pack that there is memory for.
    pub pack_bytes: usize,
    /// How a tick of the firmware's counter becomes instructions.
    pub counter: Counter,
}

/// What the firmware counts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// `SysTick`, with so many picoseconds a tick; an instruction takes 128 nanoseconds.
    SysTick(u64),
    /// Instructions retired.
    Instructions,
}

impl Counter {
    /// Instructions from ticks.
    pub fn instructions(self, ticks: u64) -> u64 {
        match self {
            Counter::SysTick(picoseconds) => (ticks * picoseconds + 64_000) / 128_000,
            Counter::Instructions => ticks,
        }
    }
}

/// Where `cargo xtask` builds firmware, from the repository's root.
pub const BUILDS: &str = "target/boards";
/// The program of `boards/bench` that runs a pack.
pub const PROGRAM: &str = "bench-firmware";

/// The emulated boards with a crate of their own, each the folder's and its program's name. What it serves over its serial port is the
/// protocol of the link.
pub const SERVED: [&str; 5] =
    ["qemu-mps2-an386", "qemu-mps2-an385", "qemu-mps2-an505", "qemu-microbit", "qemu-rv32-virt"];

impl Core {
    /// Where the program of a board of [`SERVED`] is once it was built, from the repository's root.
    pub fn serving(&self, board: &str) -> PathBuf {
        [BUILDS, self.target, "release", board].iter().collect()
    }

    /// Bytes of state that [`PROGRAM`] has: `boards/bench` says so. Code for the smallest cores must fit 16 KB of RAM.
    pub fn state_bytes(&self) -> usize {
        if self.is_small() { STATE_BYTES } else { 8 * STATE_BYTES }
    }

    /// Whether a machine for this target may have 16 KB of RAM: no room for models of many layers.
    pub fn is_small(&self) -> bool {
        self.target.starts_with("thumbv6m")
    }

    /// Where [`PROGRAM`] is once it was built for this core, from the repository's root.
    pub fn firmware(&self) -> PathBuf {
        [BUILDS, self.target, "release", PROGRAM].iter().collect()
    }

    /// The emulator, told of the machine, without a screen, with the firmware's console and exit; what is asked of it beside that
    /// follows. `counted`: its time advances with each instruction, and skips what the firmware sleeps.
    pub fn emulator(&self, counted: bool) -> Vec<String> {
        let mut words: Vec<String> = [self.emulator.program, "-M", self.machine].map(String::from).into();
        words.extend(["-display", "none", "-monitor", "none"].map(String::from));
        words.extend(["-semihosting-config", "enable=on,target=native"].map(String::from));
        let riscv = self.counter == Counter::Instructions;
        if riscv {
            words.extend(["-bios", "none"].map(String::from));
        }
        // Counting instructions slows the emulator down, so only where they are looked at.
        if counted {
            // RISC-V counts without a timer, without which the emulator warns of sleep that it cannot skip.
            words.extend(["-icount", if riscv { "shift=0" } else { "shift=7,sleep=off" }].map(String::from));
        }
        words
    }
}

/// Code has the first 64 KiB of the 4 MiB that a pack shares with it on most MPS2 boards.
const MPS2: Core = Core {
    name: "",
    target: "",
    flags: "",
    emulator: ARM,
    machine: "",
    pack: 0x0001_0000,
    pack_bytes: (4 << 20) - 0x0001_0000,
    counter: Counter::SysTick(40_000),
};

/// All of them. Cortex-M0 code runs on the emulated Cortex-M3 board, whose instruction set includes it: no emulated M0
/// board has the flash for the larger models. `cargo xtask test` runs it on an emulated M0 as well.
pub const CORES: [Core; 6] = [
    Core { name: "cortex-m0", target: "thumbv6m-none-eabi", machine: "mps2-an385", ..MPS2 },
    Core { name: "cortex-m3", target: "thumbv7m-none-eabi", machine: "mps2-an385", ..MPS2 },
    Core { name: "cortex-m4", target: "thumbv7em-none-eabihf", machine: "mps2-an386", ..MPS2 },
    Core { name: "cortex-m7", target: "thumbv7em-none-eabihf", machine: "mps2-an500", ..MPS2 },
    Core {
        name: "cortex-m33",
        target: "thumbv8m.main-none-eabihf",
        flags: "-Ctarget-cpu=cortex-m33",
        machine: "mps2-an505",
        pack: 0x8000_0000,
        pack_bytes: 16 << 20,
        counter: Counter::SysTick(50_000),
        ..MPS2
    },
    Core {
        name: "rv32imac",
        target: "riscv32imac-unknown-none-elf",
        flags: "",
        emulator: RISCV,
        machine: "virt",
        pack: 0x8040_0000,
        pack_bytes: 64 << 20,
        counter: Counter::Instructions,
    },
];

/// An emulated Cortex-M0 with 256 KB of flash and 16 KB of RAM.
pub const MICROBIT: Core = Core {
    name: "microbit",
    machine: "microbit",
    pack_bytes: (256 << 10) - 0x0001_0000,
    counter: Counter::SysTick(62_500),
    ..CORES[0]
};

/// The boards by the names that the command line knows.
pub const BOARDS: [(&str, Core); 6] = [
    ("qemu-mps2-an386", CORES[2]),
    ("qemu-mps2-an385", CORES[1]),
    ("qemu-mps2-an500", CORES[3]),
    ("qemu-mps2-an505", CORES[4]),
    ("qemu-microbit", MICROBIT),
    ("qemu-rv32-virt", CORES[5]),
];

/// The core of a board.
pub fn board(name: &str) -> Option<Core> {
    BOARDS.iter().find(|(board, _)| *board == name).map(|(_, core)| *core)
}
