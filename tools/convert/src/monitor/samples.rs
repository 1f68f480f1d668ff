//! Samples as they go over the link: raw sensor counts of 16 bits.

use crate::data::Sequences;

/// The samples of a data file, one after the other.
#[derive(Clone, Debug)]
pub struct Samples {
    data: Sequences,
    counts: Vec<i16>,
    /// The index of each sequence's first sample.
    starts: Vec<usize>,
}

/// One sample and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample<'a> {
    /// The sequence, from 0.
    pub sequence: usize,
    /// The step in it, from 0: the first begins a new sequence.
    pub step: usize,
    /// Whether it is the sequence's last.
    pub last: bool,
    /// One value a feature.
    pub counts: &'a [i16],
    /// Its label, if it has one.
    pub label: Option<i64>,
}

impl Samples {
    /// The samples of a file.
    ///
    /// # Errors
    /// A sentence if a value is no whole number of 16 bits, if rows are of several streams, or if there is none.
    pub fn new(data: Sequences) -> Result<Self, String> {
        data.fit_streams(1)?;
        let (mut counts, mut starts) = (Vec::new(), Vec::new());
        for (s, sequence) in data.sequences.iter().enumerate() {
            starts.push(counts.len() / data.features);
            for (t, step) in sequence.steps().enumerate() {
                for (k, &v) in step.iter().enumerate() {
                    let count = if v.fract() == 0.0 { i16::try_from(v as i64).ok() } else { None };
                    counts.push(count.ok_or_else(|| {
                        format!(
                            "sequence {s}, step {t}, feature {k}: {v} is no whole number of 16 bits, and a board takes raw sensor \
                             counts; give the data as the sensor had them"
                        )
                    })?);
                }
            }
        }
        if counts.is_empty() {
            return Err("there are no samples; give data with at least one".to_owned());
        }
        Ok(Self { data, counts, starts })
    }

    /// Values of a sample.
    pub fn features(&self) -> usize {
        self.data.features
    }

    /// Whether labels stand at steps, not at sequences.
    pub fn has_step_labels(&self) -> bool {
        self.data.has_step_labels()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.counts.len() / self.data.features
    }

    /// Whether there is none; never so.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// The sample of this index; after the last comes the first again.
    pub fn at(&self, index: u64) -> Sample<'_> {
        let index = (index % self.len() as u64) as usize;
        let sequence = self.starts.partition_point(|&start| start <= index).saturating_sub(1);
        let step = index - self.starts[sequence];
        let of = &self.data.sequences[sequence];
        Sample {
            sequence,
            step,
            last: step + 1 == of.len(),
            counts: &self.counts[index * self.data.features..][..self.data.features],
            label: of.label(step),
        }
    }
}
