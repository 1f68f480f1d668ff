//! `.csv`: a header line, then one sample a line.

use super::{Labels, Sequence, Sequences};
use crate::error::{Error, Result};
use std::path::Path;

pub(super) fn load(path: &Path) -> Result<Sequences> {
    let bad = |e: csv::Error| Error::new(path, e, "give as many fields in every line as the header has");
    let bytes = crate::error::read(path)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&bytes[..]);
    let header = reader.headers().map_err(bad)?.clone();
    if !header.is_empty() && header.iter().all(|name| name.parse::<f64>().is_ok()) {
        return Err(Error::new(path, "its first line holds numbers", "begin with a line of column names"));
    }
    let column = |name: &str| header.iter().position(|h| h == name);
    let (sequence_column, label_column) = (column("sequence"), column("label"));
    let features = header.len() - usize::from(sequence_column.is_some()) - usize::from(label_column.is_some());
    let mut sequences: Vec<Sequence> = Vec::new();
    let mut current = None;
    for record in reader.records() {
        let record = record.map_err(bad)?;
        let id = sequence_column.map(|k| record[k].to_owned());
        if sequences.is_empty() || id != current {
            let labels = if label_column.is_some() { Labels::Steps(Vec::new()) } else { Labels::None };
            sequences.push(Sequence { features, samples: Vec::new(), streams: Vec::new(), labels });
            current = id;
        }
        let Some(sequence) = sequences.last_mut() else {
            continue;
        };
        for (k, field) in record.iter().enumerate() {
            let wrong = |kind: &str| {
                let line = line(&bytes, &record);
                let place = format!("line {line}, column \"{}\"", &header[k]);
                Error::new(path, format!("\"{field}\" is not {kind}"), "repair or remove this line").at(place)
            };
            if Some(k) == label_column {
                let label = field.parse().map_err(|_| wrong("a whole number"))?;
                if let Labels::Steps(labels) = &mut sequence.labels {
                    labels.push(label);
                }
            } else if Some(k) != sequence_column {
                sequence.samples.push(field.parse().map_err(|_| wrong("a number"))?);
            }
        }
    }
    if sequences.is_empty() || features == 0 {
        return Err(Error::new(path, "it has no samples", "give a header line and at least one sample"));
    }
    Ok(Sequences { features, sequences })
}

/// A record's line; its position is that of the blank lines before it.
fn line(bytes: &[u8], record: &csv::StringRecord) -> usize {
    let start = record.position().map_or(0, |p| p.byte() as usize);
    let (before, after) = bytes.split_at(start.min(bytes.len()));
    let blank = after.iter().take_while(|b| b"\r\n".contains(b)).count();
    before.iter().chain(&after[..blank]).filter(|&&b| b == b'\n').count() + 1
}
