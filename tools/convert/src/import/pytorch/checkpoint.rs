//! What `torch.save` wrote: `.pt`, `.pth`, and Lightning's `.ckpt`.
//!
//! `pytorch-reader` walks the pickle without running it: it knows by name what rebuilds a tensor, keeps every other object
//! as the name of its type, and refuses one that holds tensors. It bounds depth and copies, and honours strides and offsets.

use super::tensors::{Float, Tensor, Values, bounded};
use crate::error::{Error, Result};
use pytorch_reader::{DType, FileFormat, PytorchError, PytorchReader};
use std::collections::HashMap;
use std::io::{BufReader, Read};
use std::path::Path;

/// The keys under which training scripts put the weights, beside the optimizer's state and the like.
const WRAPPERS: [&str; 6] = ["state_dict", "model_state_dict", "model_state", "model", "net", "network"];

/// The most bytes of a pickle, of which each may become an object of a hundred: that of a state dict has some 200 a tensor.
const PICKLE: u64 = 8 << 20;

const REMEDY: &str = "save it again with torch.save(model.state_dict(), \"model.pt\")";

pub(super) fn load(path: &Path) -> Result<Vec<(String, Tensor)>> {
    // A name that the file gives may have line breaks.
    let refuse = |e: &dyn std::fmt::Display| {
        let said = e.to_string().replace(char::is_control, " ");
        Error::new(path, format!("not a state dict that can be read ({said})"), REMEDY)
    };
    small(path)?;
    let reader = PytorchReader::new(path).map_err(|e| refuse(&e))?;
    if matches!(reader.metadata().format_type, FileFormat::Tar | FileFormat::Pickle) {
        let cause = "it is in a format older than PyTorch 0.1.10, or not from torch.save";
        return Err(Error::new(path, cause, format_args!("load it with PyTorch and {REMEDY}")));
    }
    let tensors = unwrap(path, reader).map_err(|e| refuse(&e))?;
    if tensors.is_empty() {
        return Err(Error::new(path, "it holds no tensors", REMEDY));
    }
    bounded(path, tensors.values().map(pytorch_reader::Tensor::shape))?;
    tensors.into_iter().map(|(name, tensor)| Ok((name, read(&tensor).map_err(|e| refuse(&e))?))).collect()
}

/// That the pickle is small and nothing is compressed, so that a small file takes neither much memory nor much time.
fn small(path: &Path) -> Result<()> {
    let file = std::fs::File::open(path).map_err(|e| Error::new(path, e, "check the path"))?;
    let length = file.metadata().map_or(0, |m| m.len());
    let damaged = |e: &dyn std::fmt::Display| {
        let said = e.to_string().replace(char::is_control, " ");
        Error::new(path, format!("the file is damaged ({said})"), REMEDY)
    };
    let mut file = BufReader::new(file);
    let mut magic = [0; 2];
    let archive = file.read_exact(&mut magic).is_ok() && magic == *b"PK";
    let mut pickle = if archive { 0 } else { length };
    if archive {
        let mut zip = zip::ZipArchive::new(file).map_err(|e| damaged(&e))?;
        for k in 0..zip.len() {
            let part = zip.by_index_raw(k).map_err(|e| damaged(&e))?;
            if part.compression() != zip::CompressionMethod::Stored {
                return Err(damaged(&"its parts are compressed"));
            }
            if part.name().map_err(|e| damaged(&e))?.ends_with("data.pkl") {
                pickle = pickle.max(part.size());
            }
        }
    }
    if pickle > PICKLE {
        let cause = format!("its pickle may have {PICKLE} bytes and has {pickle}");
        return Err(Error::new(path, cause, format_args!("load it with PyTorch and {REMEDY}")));
    }
    Ok(())
}

/// The tensors of the state dict within a dictionary of other things.
fn unwrap(
    path: &Path,
    reader: PytorchReader,
) -> std::result::Result<HashMap<String, pytorch_reader::Tensor>, PytorchError> {
    let all = reader.into_tensors();
    for key in WRAPPERS {
        if all.keys().any(|name| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))) {
            match PytorchReader::with_top_level_key(path, key) {
                Ok(inner) if !inner.is_empty() => return Ok(inner.into_tensors()),
                // A module of this name in a plain state dict.
                Ok(_) | Err(PytorchError::KeyNotFound(_)) => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(all)
}

fn read(tensor: &pytorch_reader::Tensor) -> std::io::Result<Tensor> {
    let float = match tensor.dtype() {
        DType::F16 => Some(Float::F16),
        DType::BF16 => Some(Float::Bf16),
        DType::F32 => Some(Float::F32),
        DType::F64 => Some(Float::F64),
        _ => None,
    };
    let values = match float {
        Some(float) => {
            let mut bytes = tensor.read()?;
            if cfg!(target_endian = "big") {
                bytes.chunks_exact_mut(tensor.dtype().size()).for_each(<[u8]>::reverse);
            }
            float.decode(&bytes)
        }
        None => Values::Other(format!("{:?}", tensor.dtype())),
    };
    Ok(Tensor { shape: tensor.shape().to_vec(), values })
}
