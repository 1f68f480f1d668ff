//! Builds a board's firmware and reads its ELF.

use crate::packages::run;
use crate::panics;
use crate::toolchain::Toolchain;
use anyhow::{Context, Result, ensure};
use cellstate_convert::board::cores::{self, BOARDS, BUILDS, Core, PROGRAM};
use object::{Object, ObjectSection, SectionFlags, elf};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The emulated boards that have a crate, each the folder's and its program's name.
pub(crate) use cellstate_convert::board::cores::SERVED as EMULATED;
/// The first of them is a Cortex-M4F.
pub(crate) const BOARD: &str = EMULATED[0];

/// The core of an emulated board.
pub(crate) fn core(board: &str) -> Result<Core> {
    let known = EMULATED.contains(&board).then(|| cores::board(board)).flatten();
    known.with_context(|| format!("{board}: no such board; there are {}", EMULATED.join(", ")))
}

/// One crate under `boards/`, for one target.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Firmware {
    pub(crate) folder: &'static str,
    pub(crate) target: &'static str,
    /// For the compiler, beside the target.
    pub(crate) flags: &'static str,
    pub(crate) variant: Variant,
}

/// How firmware is built. Each has a folder of its own, so that none undoes another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Variant {
    /// For all boards.
    Usual,
    /// With the portable kernels.
    Portable,
    /// With the sizes of the functions' frames, which no stable compiler writes.
    StackSizes,
}

impl Variant {
    fn folder(self) -> &'static str {
        match self {
            Variant::Usual => BUILDS,
            Variant::Portable => "target/boards-portable",
            Variant::StackSizes => "target/boards-stack",
        }
    }
}

impl Firmware {
    /// `boards/bench` for a core.
    pub(crate) fn bench(core: &Core, portable: bool) -> Self {
        let variant = if portable { Variant::Portable } else { Variant::Usual };
        Self { folder: "bench", target: core.target, flags: core.flags, variant }
    }

    /// Builds one of the crate's programs; returns the ELF's path.
    pub(crate) fn build(&self, program: &str) -> Result<PathBuf> {
        self.build_with(program, &[], &[])
    }

    /// [`PROGRAM`] for a core.
    pub(crate) fn build_trials(&self, core: &Core) -> Result<PathBuf> {
        self.build_deep(PROGRAM, core)
    }

    /// A program of `boards/bench` for a core: with models of many layers, where its RAM allows.
    pub(crate) fn build_deep(&self, program: &str, core: &Core) -> Result<PathBuf> {
        self.build_with(program, if core.is_small() { &[] } else { &["--features", "deep"] }, &[])
    }

    /// The same without the crate's default features.
    pub(crate) fn build_bare(&self, program: &str) -> Result<PathBuf> {
        self.build_with(program, &["--no-default-features"], &[])
    }

    /// Clippy on all of the crate's programs, where the toolchain for its target has it.
    pub(crate) fn clippy(&self) -> Result<()> {
        if !Toolchain::for_target(self.target)?.has_clippy() {
            eprintln!("{}: no clippy for {} here", self.folder, self.target);
            return Ok(());
        }
        let mut cargo = Command::new("cargo");
        cargo.current_dir(Path::new("boards").join(self.folder)).env("CARGO_TARGET_DIR", std::path::absolute(BUILDS)?);
        cargo.env("RUSTFLAGS", format!("-Dwarnings {}", self.flags));
        run(cargo.args(["clippy", "--release", "--locked", "--target", self.target, "--", "-D", "warnings"]))
    }

    fn build_with(&self, program: &str, arguments: &[&str], environment: &[(&str, PathBuf)]) -> Result<PathBuf> {
        let toolchain = Toolchain::for_target(self.target)?;
        let target_dir = std::path::absolute(self.variant.folder())?;
        let mut cargo = Command::new("cargo");
        toolchain.apply(&mut cargo);
        cargo.current_dir(Path::new("boards").join(self.folder));
        cargo.env("CARGO_TARGET_DIR", &target_dir).envs(environment.iter().map(|(k, v)| (k, v)));
        let mut flags = format!("-Dwarnings {}", self.flags);
        cargo.args(["build", "--release", "--locked", "--target", self.target, "--bin", program]).args(arguments);
        match self.variant {
            Variant::Usual => {}
            Variant::Portable => _ = cargo.args(["--features", "portable"]),
            Variant::StackSizes => {
                flags.push_str(" -Zemit-stack-sizes");
                cargo.env("RUSTC_BOOTSTRAP", "1");
            }
        }
        run(cargo.env("RUSTFLAGS", flags))?;
        let elf = target_dir.join(self.target).join("release").join(program);
        ensure!(elf.is_file(), "{}: the build left no ELF", elf.display());
        Ok(elf)
    }
}

/// Clippy on the emulated boards, and on the one that counts.
pub(crate) fn clippy() -> Result<()> {
    let lint =
        |folder, Core { target, flags, .. }| Firmware { folder, target, flags, variant: Variant::Usual }.clippy();
    EMULATED.into_iter().try_for_each(|board| lint(board, core(board)?))?;
    cores::CORES.into_iter().try_for_each(|core| lint("bench", core))
}

/// Builds an emulated board's firmware around a model that `cellstate convert --rust` wrote; returns the ELF's path.
pub(crate) fn build(board: &'static str, model_rs: &Path) -> Result<PathBuf> {
    emulated(board, board, &[("CELLSTATE_MODEL_RS", std::path::absolute(model_rs)?)])
}

/// The same with the sizes of its functions' frames.
pub(crate) fn with_stack_sizes(board: &'static str, model_rs: &Path) -> Result<PathBuf> {
    let Core { target, flags, .. } = core(board)?;
    let firmware = Firmware { folder: board, target, flags, variant: Variant::StackSizes };
    firmware.build_with(board, &[], &[("CELLSTATE_MODEL_RS", std::path::absolute(model_rs)?)])
}

/// Builds another of an emulated board's programs, around the model that it has by itself.
pub(crate) fn program(board: &'static str, program: &str) -> Result<PathBuf> {
    emulated(board, program, &[])
}

/// Checks signatures. Some of its indices are below a length that the compiler does not see.
const SIGNATURES: &str = "ed25519_compact";

/// The same with these arguments, taking updates signed with this key alone. But for the signature check it cannot panic.
pub(crate) fn with_key(board: &'static str, program: &str, arguments: &[&str], key: &str) -> Result<PathBuf> {
    let elf = built(board, program, arguments, &[("CELLSTATE_KEY", PathBuf::from(key))])?;
    let panics = panics::outside(&elf, SIGNATURES)?;
    ensure!(panics.is_empty(), "{program} can panic, and not in {SIGNATURES} alone:\n{}", panics.join("\n"));
    Ok(elf)
}

/// Builds a program that cannot panic.
fn emulated(board: &'static str, program: &str, environment: &[(&str, PathBuf)]) -> Result<PathBuf> {
    let elf = built(board, program, &[], environment)?;
    let panics = panics::symbols(&elf)?;
    ensure!(panics.is_empty(), "{program} can panic: {}", panics.join(", "));
    Ok(elf)
}

fn built(board: &'static str, program: &str, arguments: &[&str], environment: &[(&str, PathBuf)]) -> Result<PathBuf> {
    let Core { target, flags, .. } = core(board)?;
    Firmware { folder: board, target, flags, variant: Variant::Usual }.build_with(program, arguments, environment)
}

/// Builds what serves a model for one board or for all, where `cellstate monitor` looks for it: the one that `cellstate convert --rust`
/// wrote, or else the board's own.
pub(crate) fn serving(only: Option<&str>, model_rs: Option<&Path>) -> Result<()> {
    let wanted: Vec<_> = EMULATED.into_iter().filter(|name| only.is_none_or(|only| only == *name)).collect();
    ensure!(!wanted.is_empty(), "no such board that serves; there are {}", EMULATED.join(", "));
    for name in wanted {
        let elf = match model_rs {
            Some(model_rs) => build(name, model_rs)?,
            None => program(name, name)?,
        };
        let expected = core(name)?.serving(name);
        ensure!(elf.ends_with(&expected), "{}: built elsewhere than in {}", elf.display(), expected.display());
        println!("{name}: {}", expected.display());
    }
    Ok(())
}

/// Builds [`PROGRAM`] for one board or for all, where `cellstate selftest` looks for it.
pub(crate) fn boards(only: Option<&str>) -> Result<()> {
    let wanted: Vec<_> = BOARDS.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    ensure!(!wanted.is_empty(), "no such board; there are {}", BOARDS.map(|(name, _)| name).join(", "));
    for (name, core) in wanted {
        let elf = Firmware::bench(core, false).build_trials(core)?;
        ensure!(
            elf.ends_with(core.firmware()),
            "{}: built elsewhere than in {}",
            elf.display(),
            core.firmware().display()
        );
        println!("{name}: {}", core.firmware().display());
    }
    Ok(())
}

/// Bytes of code.
pub(crate) fn text(elf: &Path) -> Result<u64> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes).context("not an ELF")?;
    let code = file.sections().filter(|s| s.kind() == object::SectionKind::Text);
    let bytes = code.map(|s| s.size()).sum();
    ensure!(bytes > 0, "{}: no code", elf.display());
    Ok(bytes)
}

/// Bytes of flash and of static RAM.
pub(crate) fn flash_and_ram(elf: &Path) -> Result<(u64, u64)> {
    let bytes = std::fs::read(elf)?;
    let file = object::File::parse(&*bytes).context("not an ELF")?;
    let writable = loaded(&file).filter(|(_, flags)| flags & u64::from(elf::SHF_WRITE) != 0);
    let ram = writable.map(|(section, _)| section.size()).sum();
    Ok((in_flash(&file).iter().map(ObjectSection::size).sum(), ram))
}

/// The sections that take flash.
pub(crate) fn in_flash<'d, 'f>(file: &'f object::File<'d>) -> Vec<object::Section<'d, 'f>> {
    let sections = loaded(file).map(|(section, _)| section);
    sections.filter(|s| s.kind() != object::SectionKind::UninitializedData).collect()
}

/// The sections that have an address on the board, and their flags.
fn loaded<'d, 'f>(file: &'f object::File<'d>) -> impl Iterator<Item = (object::Section<'d, 'f>, u64)> {
    file.sections().filter_map(|section| {
        let SectionFlags::Elf { sh_flags } = section.flags() else { return None };
        // Some link scripts call all RAM that is left a section of this name.
        let loaded = sh_flags & u64::from(elf::SHF_ALLOC) != 0 && section.name() != Ok(".stack");
        loaded.then_some((section, sh_flags))
    })
}
