//! `FlatBuffers` with every offset checked: a table is a position in the file, and nothing is followed before it is asked for.
//!
//! A table begins with the distance back to its vtable: 16-bit sizes of the vtable and the table, then for each field its
//! distance from the table's begin, 0 if it is absent. Tables, vectors and texts lie behind 32-bit distances that lead
//! forward. Loops cannot be built of those, and a reader of fixed depth would not walk into one.

/// An offset leads out of the file, or a vector is longer than what it holds can be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Damaged;

type Result<T> = std::result::Result<T, Damaged>;

fn fixed<const N: usize>(bytes: &[u8], at: usize) -> Result<[u8; N]> {
    let end = at.checked_add(N).ok_or(Damaged)?;
    bytes.get(at..end).and_then(|b| b.try_into().ok()).ok_or(Damaged)
}

/// Where the distance at `at` leads.
fn follow(bytes: &[u8], at: usize) -> Result<usize> {
    let distance = u32::from_le_bytes(fixed(bytes, at)?) as usize;
    at.checked_add(distance).filter(|&to| to < bytes.len()).ok_or(Damaged)
}

/// A table.
#[derive(Clone, Copy)]
pub(super) struct Table<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Table<'a> {
    /// The table that the file begins with.
    pub(super) fn root(bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { bytes, at: follow(bytes, 0)? })
    }

    /// Position of field `k`; none if the table leaves it at its default.
    fn field(self, k: usize) -> Result<Option<usize>> {
        let back = i64::from(i32::from_le_bytes(fixed(self.bytes, self.at)?));
        let vtable = usize::try_from(self.at as i64 - back).map_err(|_| Damaged)?;
        let length = u16::from_le_bytes(fixed(self.bytes, vtable)?) as usize;
        let slot = 4 + 2 * k;
        if slot + 2 > length {
            return Ok(None);
        }
        let distance = u16::from_le_bytes(fixed(self.bytes, vtable.checked_add(slot).ok_or(Damaged)?)?) as usize;
        Ok((distance != 0).then_some(self.at + distance))
    }

    fn scalar<const N: usize>(self, k: usize) -> Result<Option<[u8; N]>> {
        self.field(k)?.map(|at| fixed(self.bytes, at)).transpose()
    }

    pub(super) fn u8(self, k: usize) -> Result<u8> {
        Ok(self.scalar(k)?.map_or(0, u8::from_le_bytes))
    }

    /// A truth value; `default` if the field is absent.
    pub(super) fn bool(self, k: usize, default: bool) -> Result<bool> {
        Ok(self.scalar(k)?.map_or(default, |[b]: [u8; 1]| b != 0))
    }

    pub(super) fn i32(self, k: usize, default: i32) -> Result<i32> {
        Ok(self.scalar(k)?.map_or(default, i32::from_le_bytes))
    }

    pub(super) fn f32(self, k: usize) -> Result<f32> {
        Ok(self.scalar(k)?.map_or(0.0, f32::from_le_bytes))
    }

    pub(super) fn table(self, k: usize) -> Result<Option<Self>> {
        self.field(k)?.map(|at| Ok(Self { at: follow(self.bytes, at)?, ..self })).transpose()
    }

    /// The elements of a vector, `size` bytes each, and where they begin; none if the field is absent.
    fn vector(self, k: usize, size: usize) -> Result<(usize, &'a [u8])> {
        let Some(at) = self.field(k)? else { return Ok((0, &[])) };
        let at = follow(self.bytes, at)?;
        let count = u32::from_le_bytes(fixed(self.bytes, at)?) as usize;
        let length = count.checked_mul(size).ok_or(Damaged)?;
        let end = (at + 4).checked_add(length).ok_or(Damaged)?;
        Ok((at + 4, self.bytes.get(at + 4..end).ok_or(Damaged)?))
    }

    pub(super) fn bytes(self, k: usize) -> Result<&'a [u8]> {
        Ok(self.vector(k, 1)?.1)
    }

    /// At most `most` integers: one vector may be that of many tables, so it is not copied whatever its length.
    pub(super) fn ints(self, k: usize, most: usize) -> Result<Vec<i32>> {
        let (_, bytes) = self.vector(k, 4)?;
        if bytes.len() > 4 * most {
            return Err(Damaged);
        }
        Ok(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect())
    }

    /// Number of tables in a vector.
    pub(super) fn count(self, k: usize) -> Result<usize> {
        Ok(self.vector(k, 4)?.1.len() / 4)
    }

    /// Table `i` of a vector.
    pub(super) fn nth(self, k: usize, i: usize) -> Result<Self> {
        let (begin, bytes) = self.vector(k, 4)?;
        if i >= bytes.len() / 4 {
            return Err(Damaged);
        }
        Ok(Self { at: follow(self.bytes, begin + 4 * i)?, ..self })
    }
}
