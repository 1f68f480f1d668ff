//! Calibration and test data: several sequences of different length, with labels where the file has them.

mod csv;
pub mod npy;
mod npz;

pub use npz::read_array;

use crate::error::{Error, Result};
use std::path::Path;

/// Where a label stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Labels {
    /// There is none.
    None,
    /// One for the sequence.
    Sequence(i64),
    /// One a step.
    Steps(Vec<i64>),
}

/// One sequence of samples.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequence {
    features: usize,
    samples: Vec<f64>,
    /// The stream of each sample; empty where all are of the first.
    streams: Vec<usize>,
    labels: Labels,
}

impl Sequence {
    /// A sequence without labels, of whole samples one after the other.
    pub fn unlabelled(features: usize, samples: Vec<f64>) -> Self {
        Self { features, samples, streams: Vec::new(), labels: Labels::None }
    }

    /// The same of several streams: samples in the order in which they come, each padded to `features`, with their streams.
    pub fn interleaved(features: usize, samples: Vec<f64>, streams: Vec<usize>) -> Self {
        Self { streams, ..Self::unlabelled(features, samples) }
    }

    /// Whether its samples are of several streams.
    pub fn has_streams(&self) -> bool {
        !self.streams.is_empty()
    }

    /// The stream of the sample of step `t`.
    pub fn stream(&self, t: usize) -> usize {
        self.streams.get(t).copied().unwrap_or(0)
    }

    /// Number of steps.
    pub fn len(&self) -> usize {
        self.samples.len() / self.features
    }

    /// Whether there are no steps; never so for loaded data.
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The same up to a number of steps, without its labels.
    #[must_use]
    pub fn first(&self, steps: usize) -> Self {
        let steps = self.len().min(steps);
        let samples = self.samples[..steps * self.features].to_vec();
        let streams = self.streams.iter().take(steps).copied().collect();
        Self::interleaved(self.features, samples, streams)
    }

    /// The samples, one a step.
    pub fn steps(&self) -> impl Iterator<Item = &[f64]> {
        self.samples.chunks_exact(self.features)
    }

    /// The sample of step `t`.
    ///
    /// # Panics
    /// If there is no such step.
    pub fn step(&self, t: usize) -> &[f64] {
        &self.samples[t * self.features..][..self.features]
    }

    /// The label that holds at step `t`; none where it is negative, as at the steps of an encoder.
    pub fn label(&self, t: usize) -> Option<i64> {
        let label = match &self.labels {
            Labels::None => None,
            Labels::Sequence(label) => Some(*label),
            Labels::Steps(labels) => labels.get(t).copied(),
        };
        label.filter(|&label| label >= 0)
    }
}

impl Sequences {
    /// Whether labels stand at steps, not at sequences.
    pub fn has_step_labels(&self) -> bool {
        self.sequences.iter().any(|s| matches!(s.labels, Labels::Steps(_)))
    }

    /// Whether a model of so many input streams can take them.
    ///
    /// # Errors
    /// A sentence if it has several and the data do not say which stream a row is of, or name one that it does not have.
    pub fn fit_streams(&self, streams: usize) -> std::result::Result<(), String> {
        if streams > 1 && self.sequences.iter().any(|s| !s.has_streams()) {
            return Err(format!(
                "the model has {streams} input streams and it does not say of which a row is; give an .npz with an array stream"
            ));
        }
        match self.sequences.iter().flat_map(|s| &s.streams).max() {
            Some(&stream) if stream >= streams => Err(format!(
                "its array stream names stream {stream} and the model has {streams}, counted from 0; give data of this model"
            )),
            _ => Ok(()),
        }
    }

    /// Number of steps of all sequences.
    pub fn steps(&self) -> usize {
        self.sequences.iter().map(Sequence::len).sum()
    }

    /// All sequences end to end without labels, of `most` steps at most, `passes` times over.
    #[must_use]
    pub fn stream(&self, most: usize, passes: usize) -> Self {
        let all = self.sequences.iter().flat_map(|s| &s.samples).copied();
        let pass: Vec<f64> = all.take(most.saturating_mul(self.features)).collect();
        let streams: Vec<usize> = self.sequences.iter().flat_map(|s| &s.streams).copied().take(most).collect();
        let sequence = Sequence::interleaved(self.features, pass.repeat(passes), streams.repeat(passes));
        Self { features: self.features, sequences: vec![sequence] }
    }
}

/// A data file's content: at least one sequence of at least one step, all values finite.
#[derive(Clone, Debug, PartialEq)]
pub struct Sequences {
    /// Number of features of every sample.
    pub features: usize,
    /// The sequences, in the file's order.
    pub sequences: Vec<Sequence>,
}

/// Reads data by its extension: `.npy`, `.npz` or `.csv`.
///
/// * `.npy`: (steps, features) is one sequence, (sequences, steps, features) several of one length, (steps) one feature.
/// * `.npz`: an array `x` or `X` as above, or (all steps, features) beside `lengths`; `y`, one label a sequence or a step, negative
///   for none; `stream`, the input stream of each row, for models that have several: rows stand in the order in which samples
///   come, with zeros behind the values of narrower streams.
/// * `.csv`: a header line; a column `sequence`, whose change begins a new sequence; a column `label`; the rest are features.
///
/// # Errors
/// A missing or damaged file, another format, no data, a shape that does not add up, a NaN or infinity.
pub fn load(path: &Path) -> Result<Sequences> {
    let data = match path.extension().and_then(|e| e.to_str()) {
        Some("npy") => split(path, &npy::parse(path, &crate::error::read(path)?)?, None, None, None)?,
        Some("npz") => npz::load(path)?,
        Some("csv") => csv::load(path)?,
        _ => {
            return Err(Error::new(path, "unknown kind of data", "give a .npy, .npz or .csv file"));
        }
    };
    for (s, sequence) in data.sequences.iter().enumerate() {
        if let Some(k) = sequence.samples.iter().position(|v| !v.is_finite()) {
            let place = format!("sequence {s}, step {}, feature {}", k / data.features, k % data.features);
            let cause = format!("the value is {}", sequence.samples[k]);
            return Err(Error::new(path, cause, "remove or repair this sample").at(place));
        }
    }
    Ok(data)
}

/// The most streams of a model.
const MOST_STREAMS: i64 = 4;

/// A list of whole numbers: a fraction would be cut off, and one-hot rows would pass for labels of steps.
fn whole(path: &Path, name: &str, array: &npy::Array) -> Result<Vec<i64>> {
    let wrong = |cause: String| Error::new(path, cause, "give one whole number each").at(name);
    // Scalars and columns are lists too.
    if array.shape.iter().skip(1).any(|&n| n != 1) {
        return Err(wrong(format!("it has shape {:?}", array.shape)));
    }
    let number = |&v: &f64| {
        if v.fract() == 0.0 { Ok(v as i64) } else { Err(wrong(format!("{v} is not a whole number"))) }
    };
    array.data.iter().map(number).collect()
}

/// Cuts an array into sequences.
fn split(
    path: &Path,
    x: &npy::Array,
    lengths: Option<&npy::Array>,
    y: Option<&npy::Array>,
    streams: Option<&npy::Array>,
) -> Result<Sequences> {
    let shape = |remedy: &str| Error::new(path, format!("the samples have shape {:?}", x.shape), remedy);
    let (rows, features, fixed) = match x.shape[..] {
        [steps] => (steps, 1, None),
        [steps, features] => (steps, features, None),
        [count, steps, features] => (count * steps, features, Some((count, steps))),
        _ => {
            return Err(shape("give (steps, features) or (sequences, steps, features)"));
        }
    };
    if rows == 0 || features == 0 {
        return Err(shape("give at least one sample"));
    }
    let lengths: Vec<usize> = match (lengths, fixed) {
        (Some(l), None) => {
            let whole = whole(path, "lengths", l)?.into_iter();
            whole.map(|v| usize::try_from(v).unwrap_or(0)).collect()
        }
        (None, Some((count, steps))) => vec![steps; count],
        (None, None) => vec![rows],
        (Some(_), Some(_)) => {
            return Err(shape("with an array of lengths give (all steps, features)"));
        }
    };
    if lengths.iter().try_fold(0usize, |a, &l| a.checked_add(l)) != Some(rows) || lengths.contains(&0) {
        let cause = format!("the lengths do not add up to its {rows} samples, or one is zero");
        return Err(
            Error::new(path, cause, "make every length positive and their sum the number of rows").at("lengths")
        );
    }
    let y = y.map(|y| whole(path, "y", y)).transpose()?;
    if let Some(y) = &y
        && y.len() != lengths.len()
        && y.len() != rows
    {
        let cause = format!("{} labels for {} sequences of {rows} steps", y.len(), lengths.len());
        return Err(Error::new(path, cause, "give one label a sequence or one a step").at("y"));
    }
    let streams = streams.map(|s| whole(path, "stream", s)).transpose()?;
    if let Some(streams) = &streams
        && (streams.len() != rows || streams.iter().any(|s| !(0..MOST_STREAMS).contains(s)))
    {
        let cause = format!("{} streams, from 0 to {}, for {rows} steps", streams.len(), MOST_STREAMS - 1);
        return Err(Error::new(path, cause, "give the stream of each row, counted from 0").at("stream"));
    }
    let mut start = 0;
    let sequences = lengths.iter().enumerate().map(|(k, &len)| {
        let labels = match &y {
            None => Labels::None,
            Some(y) if y.len() == lengths.len() => Labels::Sequence(y[k]),
            Some(y) => Labels::Steps(y[start..start + len].to_vec()),
        };
        let samples = x.data[start * features..(start + len) * features].to_vec();
        let of = start..start + len;
        let streams = streams.iter().flat_map(|s| &s[of.clone()]).map(|&s| s as usize).collect();
        start += len;
        Sequence { features, samples, streams, labels }
    });
    Ok(Sequences { features, sequences: sequences.collect() })
}
