//! The test vectors that travel in the blob, behind the last node's words: samples, then the checksum that
//! [`Session::self_test`](crate::Session::self_test) must find.

use super::Model;
use fixed::types::I1F15;

impl<'a> Model<'a> {
    /// The samples of the self-test, one a step, after the input map, each with its stream; none if the blob has none.
    pub fn test_samples(&self) -> impl Iterator<Item = (usize, &'a [I1F15])> {
        let size = self.header.test_step_words();
        let mut words = self.words_from(self.places.records);
        (0..self.header.tests).map_while(move |_| {
            let mut sample = words.split_off(..size)?;
            let stream = if !cfg!(feature = "layers") || self.header.streams.is_empty() {
                0
            } else {
                *sample.split_off_first()? as usize
            };
            Some((stream, bytemuck::cast_slice(sample).get(..self.header.stream_width(stream))?))
        })
    }

    /// The checksum that the self-test must find, if the blob has one.
    pub fn test_checksum(&self) -> Option<u32> {
        self.words_from(self.places.records).last().map(|&word| word as u32)
    }
}
