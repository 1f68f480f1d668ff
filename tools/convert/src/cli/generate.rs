//! `cellstate generate`.

use super::{Done, files};
use cellstate::session::TEMPERATURE_ONE;
use cellstate::{Choice, Model, Sampler, Session, State};
use cellstate_convert::eval::STATE_BYTES;
use cellstate_convert::text::{Letters, Vocabulary, symbols_of};
use clap::Args;
use std::io::Write;
use std::path::PathBuf;

/// Shown below the options.
pub(super) const EXAMPLES: &str = "\
Examples:
  cellstate generate text.cell --prompt \"It was \" --steps 500 --temperature 0.8 --top-k 12 --seed 7
  cellstate generate text.cell --prompt \"It was \"
  cellstate generate dates.cell --encode \"12 march 1999\" --letters letters.json --begin begin --end end

docs/cli.md says how labels become text.";

#[derive(Args)]
pub(super) struct Arguments {
    /// The blob: a model whose samples are the index of a symbol, and whose outputs have the symbols as labels.
    blob: PathBuf,
    /// The text to go on from; it is not printed.
    #[arg(long, value_name = "TEXT", required_unless_present = "begin")]
    prompt: Option<String>,
    /// The most symbols to write.
    #[arg(long, value_name = "N", default_value_t = 200)]
    steps: usize,
    /// What logits are divided by: below 1 likely symbols become likelier, 0 always takes the likeliest. Without this and
    /// --top-k it is 0, with --top-k alone 1.
    #[arg(long, value_name = "T", value_parser = temperature)]
    temperature: Option<u32>,
    /// Choose among the K likeliest symbols.
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u16).range(1..))]
    top_k: Option<u16>,
    /// The seed of the random numbers.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Of a model with an encoder on stream 0 and a decoder on stream 1: the text to be read before the decoder writes.
    #[arg(long, value_name = "TEXT", requires = "begin")]
    encode: Option<String>,
    /// What the encoder reads, where that is not what the decoder writes: JSON with `first` and `letters`.
    #[arg(long, value_name = "FILE", requires = "encode")]
    letters: Option<PathBuf>,
    /// The symbol to begin with, before the prompt.
    #[arg(long, value_name = "SYMBOL")]
    begin: Option<String>,
    /// The symbol to end at; it is not printed.
    #[arg(long, value_name = "SYMBOL")]
    end: Option<String>,
}

/// A temperature in Q16.16.
fn temperature(text: &str) -> Result<u32, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if !(0.0..65536.0).contains(&value) {
        return Err("give a number from 0 to 65535".to_owned());
    }
    let raw = (value * f64::from(TEMPERATURE_ONE)).round() as u32;
    Ok(if value > 0.0 { raw.max(1) } else { 0 })
}

pub(super) fn run(a: &Arguments) -> Done {
    let blob = files::Blob::read(&a.blob)?;
    let model = blob.model()?;
    write(a, &model).map_err(|e| format!("{}: {e}", a.blob.display()))
}

fn write(a: &Arguments, model: &Model) -> Done {
    let vocabulary = Vocabulary::new(model)?;
    let stream = match (&a.encode, model.streams()) {
        (None, 1) => 0,
        (Some(_), 2) => 1,
        (None, n) => return Err(format!("the model has {n} input streams; give --encode TEXT for the first")),
        (Some(_), n) => return Err(format!("--encode is for a model of two input streams, and this has {n}")),
    };
    let known = symbols_of(model, stream)?;
    if known != vocabulary.len() {
        return Err(format!(
            "it reads {known} symbols and writes {}; the labels must be the symbols that it reads",
            vocabulary.len()
        ));
    }
    let begin = a.begin.iter().map(|s| vocabulary.index(s)).collect::<Result<Vec<_>, _>>()?;
    let end = a.end.as_ref().map(|s| vocabulary.index(s)).transpose()?;
    let prompt =
        a.prompt.as_ref().map(|text| vocabulary.encode(text)).transpose().map_err(|e| format!("--prompt: {e}"))?;
    let prompt = [begin, prompt.unwrap_or_default()].concat();
    if prompt.is_empty() {
        return Err("the prompt is empty; give at least one symbol to go on from".to_owned());
    }
    let mut state = Box::new(State::<STATE_BYTES>::new());
    let mut session = Session::new(model, &mut state).map_err(|e| e.to_string())?;
    if let Some(text) = &a.encode {
        read(a, model, &vocabulary, text, &mut session)?;
    }
    let choice = match (a.temperature, a.top_k) {
        (None, None) => Choice::Greedy,
        (temperature, top) => {
            Choice::Sample { temperature: temperature.unwrap_or(TEMPERATURE_ONE), top: top.unwrap_or(0) }
        }
    };
    let mut sampler = Sampler::new(a.seed, choice);
    let symbols = session.generate(stream, prompt, &mut sampler).map_err(|e| e.to_string())?;
    let mut out = std::io::stdout().lock();
    let mut written = Ok(());
    for symbol in symbols.take(a.steps).take_while(|&symbol| Some(symbol) != end) {
        written = out.write_all(vocabulary.symbol(symbol).as_bytes()).and_then(|()| out.flush());
        if written.is_err() {
            break;
        }
    }
    match written.and_then(|()| out.write_all(b"\n")) {
        // A reader such as `head` may close the pipe when it has enough.
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(format!("standard output: {e}")),
        _ => Ok(()),
    }
}

/// Steps the encoder over a text.
fn read(a: &Arguments, model: &Model, vocabulary: &Vocabulary, text: &str, session: &mut Session) -> Done {
    let indices = match &a.letters {
        Some(path) => {
            let failed = |e: String| format!("{}: {e}", path.display());
            let json = std::fs::read_to_string(path).map_err(|e| failed(e.to_string()))?;
            Letters::parse(&json).map_err(failed)?.encode(text)
        }
        None => vocabulary.encode(text),
    };
    let indices = indices.map_err(|e| format!("--encode: {e}"))?;
    let known = symbols_of(model, 0)?;
    for index in indices {
        if usize::from(index) >= known {
            return Err(format!("--encode: a letter has index {index}, and the encoder reads {known}; see --letters"));
        }
        session.step_stream(0, bytemuck::cast_slice(&[index as i16])).map_err(|e| e.to_string())?;
    }
    Ok(())
}
