//! `cargo xtask writes`: models of text write on the emulated Cortex-M4F what they write on the host, symbol for symbol.

use crate::{emulator, firmware};
use anyhow::{Context, Result, ensure};
use cellstate::model::header::Weights;
use cellstate::{Choice, Model, Sampler, Session, State};
use cellstate_convert::board::cores;
use cellstate_convert::board::emulate::{self, Look};
use cellstate_convert::board::pack::pack;
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::lower::lower;
use cellstate_convert::quantize::calibrate::Calibration;
use cellstate_convert::quantize::levers::uniform;
use cellstate_convert::quantize::quantize;
use cellstate_convert::{data, emit, import};
use std::path::Path;
use std::time::Duration;

/// Weights and map of each body in `tests/models/text`.
const BODIES: [(&str, &str); 3] =
    [("lstm.safetensors", "lstm.toml"), ("attention.safetensors", "attention.toml"), ("llama", "llama.toml")];
const PROMPT: &str = "The whale ";
const SYMBOLS: u32 = 150;
/// Greedy, and by a seeded choice.
const SEEDS: [u32; 2] = [0, 7];
const LIMIT: Duration = Duration::from_secs(300);

/// Builds, writes, compares and prints.
pub(crate) fn run() -> Result<()> {
    emulator::ensure(&[emulator::ARM])?;
    let core = cores::board("qemu-mps2-an386").context("no such board")?;
    let elf = firmware::Firmware::bench(&core, false).build_deep("writer", &core)?;
    let folder = Path::new("tests/models/text");
    let calibration = data::load(&folder.join("calibration.npz"))?;
    for (file, map) in BODIES {
        let map = folder.join(map);
        let network = import::load(&folder.join(file), import::Options { map: Some(&map), ..Default::default() })?;
        // Rounded to the nearest: what is compared is bits, not how well they write.
        let network = lower(&network);
        let mut seen = Calibration::new(&network);
        calibration.sequences.iter().take(1).flat_map(data::Sequence::steps).for_each(|sample| seen.observe(sample));
        let quantized = quantize(&network, &seen, &uniform(&network, Weights::W8));
        let quantized = quantized.map_err(|e| anyhow::anyhow!("{}: {}", e.layer, e.cause))?;
        let blob = emit::blob::blob(&network, &quantized, "text");
        let labels = network.labels();
        let symbol = |c: char| labels.iter().position(|l| l.chars().eq([c])).map(|k| k as u16);
        let prompt: Vec<u16> = PROMPT.chars().map(symbol).collect::<Option<_>>().context("the prompt's vocabulary")?;
        for seed in SEEDS {
            let expected = on_host(&blob, &prompt, seed)?;
            let bytes: Vec<u8> = prompt.iter().flat_map(|s| s.to_le_bytes()).collect();
            let pack = pack([(SYMBOLS, &blob[..]), (seed, &bytes[..])]);
            let printed = emulate::output(&core, &elf, &pack, LIMIT, Look::No)?;
            let got =
                printed.lines().map(str::parse).collect::<Result<Vec<u16>, _>>().context("the board's symbols")?;
            ensure!(got == expected, "{file}, seed {seed}: the board and the host write differently");
            let text: String = got.iter().map(|&s| labels.get(usize::from(s)).map_or("?", String::as_str)).collect();
            println!("{file}, seed {seed}: {SYMBOLS} symbols alike\n  {PROMPT}{}", text.replace("\\n", " "));
        }
    }
    Ok(())
}

fn on_host(blob: &[u8], prompt: &[u16], seed: u32) -> Result<Vec<u16>> {
    let words = crate::demo::aligned(blob);
    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()])?;
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(&model, &mut state)?;
    let choice = if seed == 0 { Choice::Greedy } else { Choice::Sample { temperature: 1 << 15, top: 0 } };
    let mut sampler = Sampler::new(seed.into(), choice);
    Ok(session.generate(0, prompt.iter().copied(), &mut sampler)?.take(SYMBOLS as usize).collect())
}
