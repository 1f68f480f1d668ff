//! The latest inputs, joined with the oldest first: what a convolution over time multiplies, or a flattened sequence.

/// The inputs that a window holds, and when the next output is due.
#[derive(Debug)]
pub(crate) struct Window<'s> {
    /// Inputs until the next output.
    pub(crate) wait: &'s mut i32,
    /// Where the next input goes: the place of the oldest.
    pub(crate) position: &'s mut i32,
    /// Places of `place_words` words each, as many as the window reaches back.
    pub(crate) ring: &'s mut [i32],
    pub(crate) place_words: usize,
}

impl Window<'_> {
    /// Takes an input of `width` values; if an output of `taps`, `dilation` places apart, is due, writes it and says so.
    pub(crate) fn step(
        &mut self,
        x: &[i32],
        width: usize,
        [taps, dilation, stride]: [u16; 3],
        out: &mut [i16],
    ) -> bool {
        let reach = crate::model::more::reach(taps, dilation);
        let place = (*self.position).max(0).min(reach as i32 - 1) as usize;
        let words = self.place_words;
        if let Some(slot) = self.ring.get_mut(place * words..(place + 1) * words) {
            slot.iter_mut().zip(x).for_each(|(slot, x)| *slot = *x);
        }
        let oldest = if place + 1 == reach { 0 } else { place + 1 };
        *self.position = oldest as i32;
        *self.wait = self.wait.saturating_sub(1);
        if *self.wait > 0 {
            return false;
        }
        *self.wait = stride.into();
        let mut place = oldest;
        for tap in out.chunks_exact_mut(width.max(1)).take(taps.into()) {
            let slot = self.ring.get(place * words..(place + 1) * words).unwrap_or_default();
            tap.iter_mut().zip(bytemuck::cast_slice::<i32, i16>(slot)).for_each(|(out, v)| *out = *v);
            place += usize::from(dilation);
            if place >= reach {
                place -= reach;
            }
        }
        true
    }
}
