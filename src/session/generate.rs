//! Generation: a symbol is chosen from an output, fed as the next sample, and so on. Integers only, the same symbols on every
//! core.
//!
//! | quantity | format |
//! | --- | --- |
//! | temperature | unsigned Q16.16; 1 is `1 << 16` |
//! | exponent of a symbol | `(largest - logit) * scale * log2(e) / temperature`, Q16.16, rounded down, from a multiplier of 32 bits |
//! | its weight | [`exp2_neg`] of it, Q0.15: none below `2^-17` of the likeliest |
//! | choice | the symbol in whose part of the sum of weights a random number of 64 bits falls |
//!
//! The multiplier is made anew for each choice, from the bits of the output's scale, by a product and a division of 64 bits:
//! no float is computed.

use super::{Output, Session, StepError};
use crate::numeric::exp2::exp2_neg;
use fixed::types::I1F15;

/// A temperature of 1 in Q16.16.
pub const TEMPERATURE_ONE: u32 = 1 << 16;

/// `log2(e)` with 30 fractional bits.
const LOG2_E: u64 = 1_549_082_005;

/// How a symbol is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Choice {
    /// The likeliest, the first of equals: [`Output::argmax`].
    Greedy,
    /// One of the likeliest, by its probability among them.
    Sample {
        /// What logits are divided by, in Q16.16: see [`TEMPERATURE_ONE`]. Zero is greedy.
        temperature: u32,
        /// How many of the likeliest; 0 for all. Of equals the first count.
        top: u16,
    },
}

/// The generator of O'Neill 2014, PCG-XSH-RR of 64 bits with 32 bits of output, in its stream 54.
#[derive(Clone, Debug)]
struct Pcg(u64);

impl Pcg {
    const MULTIPLIER: u64 = 6_364_136_223_846_793_005;
    const INCREMENT: u64 = 54 << 1 | 1;

    fn new(seed: u64) -> Self {
        let mut pcg = Self(Self::INCREMENT.wrapping_add(seed));
        pcg.step();
        pcg
    }

    fn step(&mut self) {
        self.0 = self.0.wrapping_mul(Self::MULTIPLIER).wrapping_add(Self::INCREMENT);
    }

    fn next(&mut self) -> u32 {
        let state = self.0;
        self.step();
        let folded = ((state >> 18) ^ state) >> 27;
        (folded as u32).rotate_right((state >> 59) as u32)
    }

    /// A number below `bound`, each as likely to within `2^-64`, of two numbers of 32 bits.
    fn below(&mut self, bound: u32) -> u32 {
        let [high, low] = [self.next(), self.next()].map(|n| u64::from(n) * u64::from(bound));
        // At most (2^32 - 1)^2 + 2^32.
        ((high + (low >> 32)) >> 32) as u32
    }
}

/// Chooses symbols from outputs. The same seed gives the same choices, on the host as on any core.
#[derive(Clone, Debug)]
pub struct Sampler {
    random: Pcg,
    choice: Choice,
}

impl Sampler {
    /// Begins the generator's sequence of this seed.
    pub fn new(seed: u64, choice: Choice) -> Self {
        Self { random: Pcg::new(seed), choice }
    }

    /// Chooses one of the output's values, which are logits, as a softmax layer leaves them; its index is the symbol.
    ///
    /// Without `top` it walks over the values three times; with it, up to `top` times more.
    pub fn choose(&mut self, output: &Output) -> usize {
        let likeliest = output.argmax();
        let Choice::Sample { temperature, top } = self.choice else { return likeliest };
        let Some(unit) = Unit::new(output.scale().to_bits(), temperature) else { return likeliest };
        let largest = i64::from(output.get(likeliest).unwrap_or(0));
        let (least, equals) = least(output, top.into());
        let weights = || {
            let mut equals = equals;
            output.iter().map(move |v| {
                let equal = usize::from(v == least);
                if v < least || equal > equals {
                    return 0;
                }
                equals -= equal;
                // The difference of two i32 is below 2^32.
                exp2_neg(unit.exponent((largest - i64::from(v)) as u32)) as u32
            })
        };
        // At most 65535 times 32767, and at least the likeliest one's.
        let mut rest = self.random.below(weights().fold(0, u32::wrapping_add));
        for (k, weight) in weights().enumerate() {
            match rest.checked_sub(weight) {
                Some(behind) => rest = behind,
                None => return k,
            }
        }
        likeliest
    }
}

/// What one unit of an output is of an exponent to the base 2 in Q16.16: `multiplier * 2^-shift`.
#[derive(Clone, Copy)]
struct Unit {
    multiplier: u32,
    shift: i32,
}

impl Unit {
    /// From the bits of a positive f32 and a temperature in Q16.16; none of zeros.
    fn new(scale: u32, temperature: u32) -> Option<Self> {
        let (exponent, fraction) = (scale >> 23 & 0xff, scale & 0x7f_ffff);
        let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 23 };
        let product = u64::from(mantissa) * LOG2_E; // below 2^55
        if product == 0 {
            return None;
        }
        let zeros = product.leading_zeros();
        let quotient = (product << zeros).checked_div(temperature.into())?; // at least 2^31
        let excess = 32u32.saturating_sub(quotient.leading_zeros());
        // The scale is mantissa 2^(exponent - 150); log2(e) has 30 fractional bits, temperature and result have 16.
        let power = exponent.max(1) as i32 - 150 - 30 + 16 + 16 - zeros as i32 + excess as i32;
        Some(Self { multiplier: (quotient >> excess) as u32, shift: -power })
    }

    /// `units` of them, rounded down; what is beyond 31 bits is the largest.
    fn exponent(self, units: u32) -> i32 {
        let product = u64::from(units) * u64::from(self.multiplier);
        let exponent = match u32::try_from(self.shift) {
            Ok(shift) => product.checked_shr(shift).unwrap_or(0),
            // The multiplier has 31 bits and more.
            Err(_) => product,
        };
        exponent.min(i32::MAX as u64) as i32
    }
}

/// The least of the `top` largest values, and how many that are equal to it are among them.
fn least(output: &Output, top: usize) -> (i32, usize) {
    let (mut above, mut bound) = (0, i64::MAX);
    for _ in 0..if top < output.len() { top } else { 0 } {
        let (mut largest, mut equals) = (i32::MIN, 0);
        for v in output.iter().filter(|&v| i64::from(v) < bound) {
            if v > largest {
                (largest, equals) = (v, 0);
            }
            equals += usize::from(v == largest);
        }
        if above + equals >= top {
            return (largest, top - above);
        }
        (above, bound) = (above + equals, largest.into());
    }
    (i32::MIN, usize::MAX)
}

/// The symbols that follow a prompt: see [`Session::generate`].
#[derive(Debug)]
pub struct Generate<'g, 'a> {
    session: &'g mut Session<'a>,
    sampler: &'g mut Sampler,
    stream: usize,
    /// The latest symbol, which is still to be fed.
    latest: Option<u16>,
}

impl<'a> Session<'a> {
    /// Feeds the symbols of a prompt to a stream whose samples are one index, and goes on with those that the sampler chooses
    /// from the first output, without end: the caller takes as many as it wants, and stops where its end symbol comes.
    ///
    /// Each symbol is fed when the next one is asked for; the last one never is, and begins the prompt of whoever goes on. An
    /// empty prompt goes on from the output as it is. For models that stream.
    ///
    /// ```
    /// # use cellstate::{Sampler, Session, StepError};
    /// fn write(session: &mut Session, begin: u16, end: u16, mut send: impl FnMut(u16)) -> Result<(), StepError> {
    ///     let mut sampler = Sampler::new(7, cellstate::Choice::Greedy);
    ///     session.generate(0, [begin], &mut sampler)?.take(80).take_while(|&s| s != end).for_each(|s| send(s));
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`StepError::SampleLength`] if a sample of this stream is not one value.
    pub fn generate<'g>(
        &'g mut self,
        stream: usize,
        prompt: impl IntoIterator<Item = u16>,
        sampler: &'g mut Sampler,
    ) -> Result<Generate<'g, 'a>, StepError> {
        let needed = self.model.header().stream_width(stream);
        if needed != 1 {
            return Err(StepError::SampleLength { needed: needed as u16, got: 1 });
        }
        let mut generate = Generate { session: self, sampler, stream, latest: None };
        for symbol in prompt {
            generate.feed()?;
            generate.latest = Some(symbol);
        }
        Ok(generate)
    }
}

impl Generate<'_, '_> {
    fn feed(&mut self) -> Result<(), StepError> {
        match self.latest.take() {
            Some(symbol) => self.session.step_stream(self.stream, &[I1F15::from_bits(symbol as i16)]).map(|_| ()),
            None => Ok(()),
        }
    }
}

impl Iterator for Generate<'_, '_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.feed().ok()?;
        let symbol = self.sampler.choose(&self.session.output()) as u16;
        self.latest = Some(symbol);
        Some(symbol)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_is_the_published_one() {
        // `pcg32-demo` of O'Neill's C library: seed 42, stream 54.
        let mut pcg = Pcg::new(42);
        let expected = [0xa15c_02b7, 0x7b47_f409, 0xba1d_3330, 0x83d2_f293, 0xbfa4_784b, 0xcbed_606e];
        assert_eq!(expected.map(|_| pcg.next()), expected);
    }

    #[test]
    fn numbers_fill_their_range() {
        let mut pcg = Pcg::new(1);
        for bound in [1, 2, 7, 32767, 65535 * 32767, u32::MAX] {
            let mut largest = 0;
            for _ in 0..1000 {
                let n = pcg.below(bound);
                assert!(n < bound);
                largest = largest.max(n);
            }
            assert!(u64::from(largest) >= u64::from(bound - 1) * 99 / 100, "{largest} of {bound}");
        }
    }

    #[test]
    fn exponents_are_those_of_real_numbers() {
        let mut pcg = Pcg::new(2);
        for _ in 0..200_000 {
            // Scales of every size, also subnormal ones.
            let scale = f32::from_bits(pcg.below(f32::INFINITY.to_bits() - 1) + 1);
            let temperature = 1 + (pcg.next() >> pcg.below(32)) % u32::MAX;
            let units = pcg.next() >> pcg.below(32);
            let exponent = Unit::new(scale.to_bits(), temperature).unwrap().exponent(units);
            let base = f64::from(units) * f64::from(scale) * core::f64::consts::LOG2_E;
            let real = (base * 65536.0 * 65536.0 / f64::from(temperature)).min(f64::from(i32::MAX));
            let error = f64::from(exponent) - real;
            assert!(
                (-1.0 - real * 2e-9..=real * 2e-9).contains(&error),
                "{scale} {temperature} {units}: {exponent} {real}"
            );
        }
        assert!(Unit::new(1.0f32.to_bits(), 0).is_none());
        assert!(Unit::new(0, 1).is_none());
    }
}
