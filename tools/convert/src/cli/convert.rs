//! `cellstate convert`.

use super::{DataOptions, Done, ModelOptions, files};
use cellstate::Model;
use cellstate::model::header::Weights;
use cellstate_convert::budget::OverBudget;
use cellstate_convert::emit::vectors::DEFAULT_STEPS;
use cellstate_convert::quantize::levers::{self, Levers};
use cellstate_convert::search::Choice;
use cellstate_convert::{convert, convert_within, emit, import};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate convert model.keras --calibrate samples.npz -o model.cell --rust model.rs
  cellstate convert watch.safetensors --map model.toml --raw --calibrate calibration.npz -o watch.cell
  cellstate convert model.keras --calibrate samples.npz --evaluate test.npz --report report.html -o model.cell";

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// 8-bit weights.
    W8,
    /// 16-bit weights.
    W16,
    /// 4-bit weights: half the flash of w8, for models trained for them.
    W4,
    /// For each matrix one of these, so that the blob fits in --flash-budget at the least loss.
    Auto,
}

#[derive(Args)]
pub(super) struct Arguments {
    /// The trained model: Keras `.keras` or `.h5`, PyTorch `.safetensors`, `.pt` or `.pth`, `.onnx`, or `.tflite`.
    model: PathBuf,
    /// Representative data: .npy, .npz or .csv, as the device will see it.
    #[arg(long, value_name = "DATA")]
    calibrate: PathBuf,
    /// The blob to write.
    #[arg(short, long, value_name = "OUT.cell")]
    output: PathBuf,
    /// Format of the weights.
    #[arg(long, value_enum, default_value = "w8")]
    weights: Format,
    /// With --weights w4, columns of a recurrent layer's row that have a scale of their own, a multiple of 4; as many more as a
    /// step needs to hold all groups. 0 for one scale a row and matrix.
    #[arg(long, value_name = "COLUMNS", default_value_t = 0)]
    group: u16,
    /// The largest blob, with --weights auto.
    #[arg(long, value_name = "BYTES", required_if_eq("weights", "auto"))]
    flash_budget: Option<usize>,
    /// Also write Rust source with the model's constants and a static, aligned copy of the blob.
    #[arg(long, value_name = "OUT.rs")]
    rust: Option<PathBuf>,
    /// Steps of the self-test in the blob, of the first samples of the calibration data, and as many more as it takes to the
    /// first output; 0 leaves it out.
    #[arg(long, value_name = "STEPS", default_value_t = DEFAULT_STEPS)]
    self_test: u16,
    #[command(flatten)]
    options: ModelOptions,
    #[command(flatten)]
    data: DataOptions,
    #[command(flatten)]
    summary: super::summary::Options,
}

pub(super) fn run(a: &Arguments) -> Done {
    let network = import::load(&a.model, a.options.options()).map_err(|e| e.to_string())?;
    let data = files::sequences(&a.calibrate, &network.widths(), &network.nodes[0].name)?;
    a.data.check(&network, &data);
    let evaluation = a.summary.data(&network, &a.calibrate, &data)?;
    let source = a.model.file_name().unwrap_or_default().to_string_lossy();
    let bar = files::progress("calibrating", data.sequences.len());
    let units = a.data.units();
    if a.group > 0 && !matches!(a.weights, Format::W4) {
        return Err("--group is for --weights w4; --weights auto has groups where they pay".to_owned());
    }
    let fixed = match a.weights {
        Format::W8 => Some(Weights::W8),
        Format::W16 => Some(Weights::W16),
        Format::W4 => Some(Weights::W4),
        Format::Auto => None,
    };
    let converted = match (fixed, a.flash_budget) {
        (Some(_), Some(_)) => return Err("--flash-budget is for --weights auto; give one or the other".to_owned()),
        (Some(weights), None) => convert(
            &network,
            &data,
            units,
            levers::Format { weights, group: a.group.into() },
            &source,
            a.self_test,
            || bar.inc(1),
        )
        .map_err(OverBudget::Unquantizable),
        (None, budget) => {
            let budget = budget.unwrap_or_default();
            convert_within(&network, &data, units, budget, &source, a.self_test, || bar.inc(1))
        }
    };
    bar.finish_and_clear();
    let converted = converted.map_err(|e| {
        let remedy = match e {
            OverBudget::Unquantizable(_) => {
                "with raw counts give --raw and an [input] map, else standardize the inputs"
            }
            OverBudget::TooLarge { .. } => "give a larger --flash-budget, a smaller model, or --self-test 0",
        };
        format!("{}: {e}; {remedy}", a.model.display())
    })?;
    let words = files::aligned(&converted.blob);
    // What the device will check, checked before anything is written.
    let model = Model::parse(&bytemuck::cast_slice(&words)[..converted.blob.len()])
        .map_err(|e| format!("{}: the network's integers do not load: {e}; please report this", a.model.display()))?;
    let source = a
        .rust
        .as_ref()
        .map(|rust| (rust, emit::rust::source(&model, converted.blob.len(), &relative(rust, &a.output))));
    files::write(&a.output, &converted.blob)?;
    if let Some((rust, source)) = source {
        files::write(rust, source.as_bytes())?;
    }
    files::print(&format!(
        "{}: {} bytes of flash, {} bytes of state, calibrated on {} steps\n",
        a.output.display(),
        converted.blob.len(),
        model.state_bytes(),
        converted.steps
    ))?;
    let choices: Vec<String> = converted.choices.iter().map(shown).collect();
    files::print(&format!("rounding: {}\n", choices.join("; ")))?;
    a.summary.show(&model, &network, converted.blob.len(), &evaluation, &a.data)
}

/// What was chosen for a layer, and what rounding to the nearest would have come to.
fn shown(choice: &Choice) -> String {
    let nearest = choice.tried.first().map_or(0.0, |t| t.1);
    let (layer, weights, levers) = (&choice.layer, levers::name(choice.how.formats), choice.how.levers);
    let best = choice.db();
    if choice.trained {
        format!("{layer} {weights} as trained {best:.1} dB")
    } else if levers == Levers::default() {
        format!("{layer} {weights} {levers} {best:.1} dB")
    } else {
        format!("{layer} {weights} {levers} {best:.1} dB (nearest {nearest:.1})")
    }
}

/// The blob's path as seen from the Rust source's folder.
fn relative(rust: &Path, blob: &Path) -> String {
    let absolute = |p: &Path| std::path::absolute(p).unwrap_or_else(|_| p.to_owned());
    let (rust, blob) = (absolute(rust), absolute(blob));
    let folder = rust.parent().unwrap_or(Path::new("/"));
    pathdiff::diff_paths(&blob, folder).unwrap_or(blob).to_string_lossy().replace('\\', "/")
}
