//! Other models of the same shape as a trained one: what updates of it would be.

use anyhow::{Context, Result};
use cellstate::model::header::Weights;
use cellstate_convert::emit::vectors::{DEFAULT_STEPS, Vectors};
use cellstate_convert::eval::Units;
use cellstate_convert::lower::lower;
use cellstate_convert::quantize::calibrate::Calibration;
use cellstate_convert::quantize::levers::uniform;
use cellstate_convert::quantize::quantize;
use cellstate_convert::{data, emit, import};
use std::path::Path;

/// A model under `tests/models`, and the file of its weights there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trained {
    pub(crate) name: &'static str,
    pub(crate) weights: &'static str,
}

pub(crate) const WATCH: Trained = Trained { name: "watch", weights: "watch.safetensors" };
pub(crate) const MOTES: Trained = Trained { name: "motes", weights: "motes.keras" };

impl Trained {
    /// Its blob, as it is committed.
    pub(crate) fn blob(&self) -> Result<Vec<u8>> {
        let path = Path::new("tests/models").join(self.name).join(self.name).with_extension("cell");
        std::fs::read(&path).with_context(|| path.display().to_string())
    }

    /// Blobs of its weights with test vectors, one for each format and each of so many calibration sequences: quickly rounded to the
    /// nearest, for what is compared is bits.
    pub(crate) fn variants(&self, formats: &[Weights], sequences: usize) -> Result<Vec<Vec<u8>>> {
        let folder = Path::new("tests/models").join(self.name);
        let map = folder.join("model.toml");
        let network =
            import::load(&folder.join(self.weights), import::Options { map: Some(&map), ..Default::default() })?;
        let network = lower(&network);
        let data = data::load(&folder.join("calibration.npz"))?;
        let vectors = Vectors { data: &data, units: Units::Counts, steps: DEFAULT_STEPS };
        let mut blobs = Vec::new();
        for (k, sequence) in data.sequences.iter().take(sequences).enumerate() {
            let mut seen = Calibration::new(&network);
            sequence.steps().for_each(|sample| seen.observe(&Units::Counts.to_model(&network, 0, sample)));
            for &format in formats {
                let quantized = quantize(&network, &seen, &uniform(&network, format));
                let quantized = quantized.map_err(|e| anyhow::anyhow!("{}: {}", e.layer, e.cause))?;
                let provenance = format!("{}, {}, sequence {k}", self.weights, format.name());
                blobs.push(vectors.add(emit::blob::blob(&network, &quantized, &provenance)));
            }
        }
        Ok(blobs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cellstate::Model;

    #[test]
    fn variants_load_and_are_others() {
        std::env::set_current_dir(crate::root()).unwrap();
        for (trained, formats) in [(MOTES, &[Weights::W8][..]), (WATCH, &[Weights::W8, Weights::W4][..])] {
            let mut blobs = trained.variants(formats, 2).unwrap();
            assert_eq!(blobs.len(), 2 * formats.len());
            blobs.push(trained.blob().unwrap());
            let mut ids: Vec<u32> = blobs
                .iter()
                .map(|blob| {
                    let words = crate::demo::aligned(blob);
                    let model = Model::parse(&bytemuck::cast_slice(&words)[..blob.len()]).unwrap();
                    assert!(model.header().tests >= DEFAULT_STEPS, "no test vectors");
                    println!("{} bytes, {} of state", blob.len(), model.state_bytes());
                    model.id()
                })
                .collect();
            ids.sort_unstable();
            ids.dedup();
            assert_eq!(ids.len(), blobs.len());
        }
    }
}
