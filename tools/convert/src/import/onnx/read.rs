//! Weights: inside the file in one of four fields, or in another file beside it.

use super::proto;
use super::size::Size;
use super::tensor::{Data, Tensor};
use super::{Fault, fault};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path};

const AGAIN: &str = "export the model again";

/// The most that is read out of one file of weights: 1 GiB.
const LIMIT: u64 = 1 << 30;

/// The types of tensors that are read, by their numbers in `onnx.proto`, and the size of an element.
#[derive(Clone, Copy, PartialEq)]
enum Type {
    F32 = 1,
    U8,
    I8,
    U16,
    I16,
    I32,
    I64,
    Bool = 9,
    F16,
    F64,
    U32,
    Bf16 = 16,
}

impl Type {
    fn of(number: i32) -> Result<Self, Fault> {
        use Type::{Bf16, Bool, F16, F32, F64, I8, I16, I32, I64, U8, U16, U32};
        let all = [F32, U8, I8, U16, I16, I32, I64, Bool, F16, F64, U32, Bf16];
        all.into_iter().find(|&t| t as i32 == number).ok_or_else(|| {
            let names =
                [(8, "strings"), (13, "UINT64"), (14, "COMPLEX64"), (15, "COMPLEX128"), (21, "UINT4"), (22, "INT4")];
            let name =
                names.iter().find(|(n, _)| *n == number).map_or_else(|| format!("type {number}"), |n| n.1.into());
            fault(format!("a tensor holds {name}"), "export the float model, with weights of 16, 32 or 64 bits")
        })
    }

    fn bytes(self) -> usize {
        match self {
            Type::U8 | Type::I8 | Type::Bool => 1,
            Type::U16 | Type::I16 | Type::F16 | Type::Bf16 => 2,
            Type::F32 | Type::I32 | Type::U32 => 4,
            Type::I64 | Type::F64 => 8,
        }
    }
}

/// A tensor of the file; `model` is where the file is.
pub(super) fn tensor(model: &Path, t: &proto::Tensor) -> Result<Tensor, Fault> {
    let kind = Type::of(t.data_type)?;
    let dims: Option<Vec<usize>> = t.dims.iter().map(|&d| usize::try_from(d).ok()).collect();
    let count = dims.and_then(|d| d.iter().try_fold(1usize, |p, &n| p.checked_mul(n)));
    let bytes = count.and_then(|c| c.checked_mul(kind.bytes()));
    let (Some(count), Some(bytes)) = (count, bytes) else {
        return Err(fault(format!("a tensor has shape {:?}", t.dims), AGAIN));
    };
    let data = if t.data_location == 1 {
        raw(kind, &external(model, t, bytes)?)
    } else if let Some(bytes) = &t.raw_data {
        raw(kind, bytes)
    } else {
        listed(kind, t)
    };
    let tensor = Tensor { dims: t.dims.iter().map(|&d| Size::of(d)).collect(), data };
    if tensor.len() != count {
        let cause = format!("a tensor of shape {:?} holds {} values", t.dims, tensor.len());
        return Err(fault(cause, AGAIN));
    }
    Ok(tensor)
}

/// Little-endian values.
fn raw(kind: Type, bytes: &[u8]) -> Data {
    if !bytes.len().is_multiple_of(kind.bytes()) {
        return Data::Floats(Vec::new());
    }
    let ints = |values: &mut dyn Iterator<Item = i64>| Data::Ints(values.map(Size::of).collect());
    let twos = || bytes.as_chunks().0.iter();
    let fours = || bytes.as_chunks().0.iter();
    let eights = || bytes.as_chunks().0.iter();
    match kind {
        Type::F32 => Data::Floats(fours().map(|b| f32::from_le_bytes(*b).into()).collect()),
        Type::F64 => Data::Floats(eights().map(|b| f64::from_le_bytes(*b)).collect()),
        Type::F16 => Data::Floats(twos().map(|b| half::f16::from_le_bytes(*b).into()).collect()),
        Type::Bf16 => Data::Floats(twos().map(|b| half::bf16::from_le_bytes(*b).into()).collect()),
        Type::U8 | Type::Bool => ints(&mut bytes.iter().map(|&b| b.into())),
        Type::I8 => ints(&mut bytes.iter().map(|&b| (b as i8).into())),
        Type::U16 => ints(&mut twos().map(|b| u16::from_le_bytes(*b).into())),
        Type::I16 => ints(&mut twos().map(|b| i16::from_le_bytes(*b).into())),
        Type::I32 => ints(&mut fours().map(|b| i32::from_le_bytes(*b).into())),
        Type::U32 => ints(&mut fours().map(|b| u32::from_le_bytes(*b).into())),
        Type::I64 => ints(&mut eights().map(|b| i64::from_le_bytes(*b))),
    }
}

/// Values in the field of their type; 16-bit floats are the bits in one of 32.
fn listed(kind: Type, t: &proto::Tensor) -> Data {
    let half = |convert: &dyn Fn(u16) -> f64| Data::Floats(t.int32_data.iter().map(|&v| convert(v as u16)).collect());
    match kind {
        Type::F32 => Data::Floats(t.float_data.iter().map(|&v| v.into()).collect()),
        Type::F64 => Data::Floats(t.double_data.clone()),
        Type::F16 => half(&|bits| half::f16::from_bits(bits).into()),
        Type::Bf16 => half(&|bits| half::bf16::from_bits(bits).into()),
        Type::I64 => Data::Ints(t.int64_data.iter().map(|&v| Size::of(v)).collect()),
        // It would be in a field that is not read: those values are never needed.
        Type::U32 => Data::Ints(Vec::new()),
        _ => Data::Ints(t.int32_data.iter().map(|&v| Size::of(v.into())).collect()),
    }
}

/// The bytes of a tensor in a file beside the model.
fn external(model: &Path, t: &proto::Tensor, bytes: usize) -> Result<Vec<u8>, Fault> {
    let entry = |key: &str| t.external_data.iter().find(|e| e.key == key).map(|e| e.value.as_str());
    let location = entry("location").unwrap_or("");
    let outside = || fault(format!("its weights are in {location:?}"), "keep the weights in a file beside the model");
    // No way out of the model's folder.
    let plain = Path::new(location).components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
    if location.is_empty() || !plain || location.contains(['\\', ':']) {
        return Err(outside());
    }
    let folder = model.parent().unwrap_or(Path::new(""));
    let file = folder.join(location);
    let unreadable = |e: std::io::Error| {
        fault(format!("its weights in {location:?} cannot be read ({e})"), "keep that file beside the model")
    };
    let real = file.canonicalize().map_err(unreadable)?;
    let home =
        if folder.as_os_str().is_empty() { Path::new(".") } else { folder }.canonicalize().map_err(unreadable)?;
    if !real.starts_with(home) || !real.is_file() {
        return Err(outside());
    }
    let number = |key: &str| {
        entry(key).map(|v| v.trim().parse::<u64>().map_err(|_| fault(format!("its {key} is {v:?}"), AGAIN)))
    };
    let offset = number("offset").transpose()?.unwrap_or(0);
    let length = number("length").transpose()?.unwrap_or(bytes as u64);
    let mut file = std::fs::File::open(&real).map_err(unreadable)?;
    let end = file.metadata().map_err(unreadable)?.len();
    if length != bytes as u64 || length > LIMIT || offset.checked_add(length).is_none_or(|e| e > end) {
        let cause = format!(
            "its weights of {bytes} bytes are said to be {length} bytes from {offset} of {end} in {location:?}"
        );
        return Err(fault(cause, AGAIN));
    }
    let mut data = Vec::new();
    file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
    file.take(length).read_to_end(&mut data).map_err(unreadable)?;
    Ok(data)
}
