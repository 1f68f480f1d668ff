//! Whole numbers that may depend on the batch and on the number of steps: what shape computations are made of.

/// `factor * batch^p * steps^q + offset`; a known number has `factor` 0 and no powers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    factor: i64,
    /// Of the batch and of the steps.
    powers: [u8; 2],
    offset: i64,
}

/// A batch of which the file does not say how large it is.
pub(super) const BATCH: Size = Size { factor: 1, powers: [1, 0], offset: 0 };
/// A sequence of which the file does not say how long it is.
pub(super) const STEPS: Size = Size { factor: 1, powers: [0, 1], offset: 0 };

impl Size {
    pub(super) const fn of(n: i64) -> Self {
        Self { factor: 0, powers: [0; 2], offset: n }
    }

    /// The number, if it depends on nothing.
    pub(super) fn known(self) -> Option<i64> {
        (self.factor == 0).then_some(self.offset)
    }

    /// The number of elements that are stored for an axis: one stands for all where they are not counted.
    pub(super) fn stored(self) -> usize {
        self.known().map_or(1, |n| usize::try_from(n).unwrap_or(0))
    }

    fn canonical(self) -> Self {
        if self.factor == 0 { Self::of(self.offset) } else { self }
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let offset = self.offset.checked_add(other.offset)?;
        Some(match (self.factor, other.factor) {
            (_, 0) => Self { offset, ..self },
            (0, _) => Self { offset, ..other },
            _ if self.powers == other.powers => {
                Self { factor: self.factor.checked_add(other.factor)?, offset, ..self }.canonical()
            }
            _ => return None,
        })
    }

    pub(super) fn minus(self, other: Self) -> Option<Self> {
        self.plus(other.times(Self::of(-1))?)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        if let (Some(n), _, m) | (_, Some(n), m) =
            (other.known(), self.known(), if other.factor == 0 { self } else { other })
        {
            let product = Self { factor: m.factor.checked_mul(n)?, offset: m.offset.checked_mul(n)?, ..m };
            return Some(product.canonical());
        }
        let power = |k: usize| self.powers[k].checked_add(other.powers[k]);
        (self.offset == 0 && other.offset == 0)
            .then(|| {
                Some(Self { factor: self.factor.checked_mul(other.factor)?, powers: [power(0)?, power(1)?], offset: 0 })
            })
            .flatten()
    }

    /// The quotient if there is no remainder, whatever the batch and the steps.
    pub(super) fn over(self, other: Self) -> Option<Self> {
        if self == other {
            return (self != Self::of(0)).then_some(Self::of(1));
        }
        let exact = |a: i64, b: i64| (a.checked_rem(b)? == 0).then(|| a.checked_div(b)).flatten();
        if let Some(n) = other.known() {
            return Some(Self { factor: exact(self.factor, n)?, offset: exact(self.offset, n)?, ..self });
        }
        let power = |k: usize| self.powers[k].checked_sub(other.powers[k]);
        let powers = [power(0)?, power(1)?];
        if self.offset != 0 || other.offset != 0 || self.factor == 0 {
            return None;
        }
        let factor = exact(self.factor, other.factor)?;
        Some(if powers == [0; 2] { Self::of(factor) } else { Self { factor, powers, offset: 0 } })
    }
}
