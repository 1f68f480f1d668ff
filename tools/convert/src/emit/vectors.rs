//! The test vectors of a blob: the first samples of the calibration data, and the checksum of what the model gives on them.

use super::blob::{assemble, halves};
use crate::data::{Sequence, Sequences};
use crate::eval::{STATE_BYTES, Units};
use cellstate::model::header::Header;
use cellstate::session::Checksum;
use cellstate::{Model, Session, State};

/// Steps of a self-test, unless something else is asked for.
pub const DEFAULT_STEPS: u16 = 16;

/// Where test vectors come from, and how many are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Vectors<'a> {
    /// The data, whose sequences are taken end to end, and from the first again where they are too short.
    pub data: &'a Sequences,
    /// What its samples are.
    pub units: Units,
    /// Steps, and as many more as it takes to the first output; 0 for no vectors at all.
    pub steps: u16,
}

impl Vectors<'_> {
    /// The same blob with these vectors. One that does not load or run on the host stays as it is.
    pub fn add(&self, blob: Vec<u8>) -> Vec<u8> {
        if self.steps == 0 { blob } else { self.added(&blob).unwrap_or(blob) }
    }

    fn added(&self, blob: &[u8]) -> Option<Vec<u8>> {
        let words: Vec<u32> = blob.as_chunks().0.iter().map(|&b| u32::from_le_bytes(b)).collect();
        let model = Model::parse(bytemuck::cast_slice(&words)).ok()?;
        let mut state = Box::new(State::<STATE_BYTES>::new());
        let mut session = Session::new(&model, &mut state).ok()?;
        let steps = self.until_an_output(&mut session)?.max(self.steps.into());
        session.reset();
        let mut checksum = Checksum::new();
        let mut words = model.words()[..model.words().len() - model.header().test_words()].to_vec();
        for (stream, mut x) in self.samples(&model).take(steps) {
            session.step_stream(stream, bytemuck::cast_slice(&x)).ok()?;
            checksum.observe(&session);
            x.resize(model.inputs(), 0);
            words.extend((!model.header().streams.is_empty()).then_some(stream as i32));
            words.extend(halves(&x));
        }
        words.push(checksum.finish(&session) as i32);
        Some(assemble(&Header { tests: steps as u16, ..model.header().clone() }, &words))
    }

    /// Steps to the first output; 0 if none comes within as many as a blob can hold.
    fn until_an_output(&self, session: &mut Session) -> Option<usize> {
        let model = session.model();
        for (t, (stream, x)) in self.samples(model).take(u16::MAX.into()).enumerate() {
            session.step_stream(stream, bytemuck::cast_slice(&x)).ok()?;
            if (0..model.header().heads.len()).any(|head| session.head(head).is_new()) {
                return Some(t + 1);
            }
        }
        Some(0)
    }

    /// Samples as the device steps them, each with its stream, without end.
    fn samples<'m>(&'m self, model: &'m Model) -> impl Iterator<Item = (usize, Vec<i16>)> + 'm {
        let streams = |s: &'m Sequence| s.steps().enumerate().map(|(t, sample)| (s.stream(t), sample));
        let all = self.data.sequences.iter().cycle().flat_map(streams);
        all.map(|(stream, sample)| (stream, self.units.to_device(model, stream, sample)))
    }
}
