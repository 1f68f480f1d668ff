//! What of the TensorFlow Lite schema (version 3) is read: operators, and tensors with their constants.

use super::flat::{Damaged, Table};
use cellstate_reference::Matrix;
use std::cell::Cell;

/// What is wrong with an operator: the cause and the remedy.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) cause: String,
    pub(super) remedy: String,
}

pub(super) type Result<T> = std::result::Result<T, Fault>;

impl From<Damaged> for Fault {
    fn from(_: Damaged) -> Self {
        fault("the file is damaged", "convert the model again")
    }
}

pub(super) fn fault(cause: impl Into<String>, remedy: impl Into<String>) -> Fault {
    Fault { cause: cause.into(), remedy: remedy.into() }
}

/// The most operators: real models have some tens.
const MOST_OPERATORS: usize = 4096;
/// The most operands of one operator; the bidirectional LSTM has 48.
const MOST_OPERANDS: usize = 64;
/// The most dimensions.
const MOST_DIMENSIONS: usize = 8;
/// The most values that are read from constants, in all: 1 GiB of them.
const MOST_VALUES: usize = 1 << 27;

/// The element types that are told apart.
pub(super) mod kind {
    pub(in super::super) const FLOAT32: u8 = 0;
    pub(in super::super) const FLOAT16: u8 = 1;
    pub(in super::super) const INT32: u8 = 2;
    pub(in super::super) const UINT8: u8 = 3;
    pub(in super::super) const INT64: u8 = 4;
    pub(in super::super) const INT16: u8 = 7;
    pub(in super::super) const INT8: u8 = 9;
    pub(in super::super) const INT4: u8 = 17;
    pub(in super::super) const BFLOAT16: u8 = 18;
}

/// An operator; its operands are numbers of tensors, negative where an optional one is left out.
pub(super) struct Operator<'a> {
    pub(super) code: i32,
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
    options: Option<Table<'a>>,
}

impl Operator<'_> {
    /// Input `k`, if it is there.
    pub(super) fn input(&self, k: usize) -> Option<i32> {
        self.inputs.get(k).copied().filter(|&i| i >= 0)
    }

    pub(super) fn output(&self) -> Result<i32> {
        Ok(self.outputs.first().copied().ok_or(Damaged)?)
    }

    pub(super) fn u8(&self, k: usize) -> Result<u8> {
        Ok(self.options.map_or(Ok(0), |o| o.u8(k))?)
    }

    pub(super) fn bool(&self, k: usize, default: bool) -> Result<bool> {
        Ok(self.options.map_or(Ok(default), |o| o.bool(k, default))?)
    }

    pub(super) fn i32(&self, k: usize, default: i32) -> Result<i32> {
        Ok(self.options.map_or(Ok(default), |o| o.i32(k, default))?)
    }

    pub(super) fn f32(&self, k: usize) -> Result<f32> {
        Ok(self.options.map_or(Ok(0.0), |o| o.f32(k))?)
    }
}

/// A tensor of the main graph.
#[derive(Clone, Copy)]
pub(super) struct Tensor<'a> {
    table: Table<'a>,
    /// Its constant, or empty.
    pub(super) bytes: &'a [u8],
    pub(super) kind: u8,
}

impl Tensor<'_> {
    /// Sizes; an unknown one is none.
    pub(super) fn shape(&self) -> Result<Vec<Option<usize>>> {
        let fixed = self.table.ints(0, MOST_DIMENSIONS)?;
        let signature = self.table.ints(7, MOST_DIMENSIONS)?;
        let size = |(k, &n): (usize, &i32)| {
            let open = signature.len() == fixed.len() && signature[k] < 0;
            let n = usize::try_from(n).map_err(|_| Damaged)?;
            Ok((!open).then_some(n))
        };
        fixed.iter().enumerate().map(size).collect()
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.table.text(3)
    }
}

/// A model's main graph.
pub(super) struct Model<'a> {
    root: Table<'a>,
    graph: Table<'a>,
    /// How many values may still be read.
    left: Cell<usize>,
}

impl<'a> Model<'a> {
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self> {
        let strange = |what: &str| fault(what, "give a .tflite file as the TensorFlow Lite converter writes it");
        if bytes.get(4..8) != Some(b"TFL3") {
            return Err(strange("not a TensorFlow Lite model"));
        }
        let root = Table::root(bytes)?;
        if root.i32(0, 0)? != 3 {
            return Err(strange("its schema is not version 3"));
        }
        let model = Self { root, graph: root.nth(2, 0)?, left: Cell::new(MOST_VALUES) };
        if model.graph.count(3)? > MOST_OPERATORS {
            return Err(strange("it has more than 4096 operators"));
        }
        Ok(model)
    }

    pub(super) fn inputs(&self) -> Result<Vec<i32>> {
        Ok(self.graph.ints(1, MOST_OPERANDS)?)
    }

    pub(super) fn outputs(&self) -> Result<Vec<i32>> {
        Ok(self.graph.ints(2, MOST_OPERANDS)?)
    }

    pub(super) fn operators(&self) -> Result<Vec<Operator<'a>>> {
        (0..self.graph.count(3)?).map(|k| self.operator(k)).collect()
    }

    fn operator(&self, k: usize) -> Result<Operator<'a>> {
        let table = self.graph.nth(3, k)?;
        let code = self.root.nth(1, usize::try_from(table.i32(0, 0)?).map_err(|_| Damaged)?)?;
        // Codes above 127 stand in a field that older files lack.
        let code = code.i32(3, 0)?.max(i32::from(code.u8(0)? as i8));
        let inputs = table.ints(1, MOST_OPERANDS)?;
        Ok(Operator { code, inputs, outputs: table.ints(2, MOST_OPERANDS)?, options: table.table(4)? })
    }

    pub(super) fn tensor(&self, index: i32) -> Result<Tensor<'a>> {
        let table = self.graph.nth(0, usize::try_from(index).map_err(|_| Damaged)?)?;
        if table.table(6)?.is_some() {
            return Err(fault(format!("\"{}\" is sparse", table.text(3)), "convert the model without sparsity"));
        }
        let buffer = self.root.nth(4, usize::try_from(table.i32(2, 0)?).map_err(|_| Damaged)?)?;
        Ok(Tensor { table, bytes: buffer.bytes(0)?, kind: table.u8(1)? })
    }

    /// A constant's values, row by row.
    pub(super) fn floats(&self, tensor: &Tensor) -> Result<Vec<f64>> {
        let bytes = tensor.bytes;
        self.take(bytes.len() / 2)?;
        let values: Vec<f64> = match tensor.kind {
            kind::FLOAT32 => bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect(),
            kind::FLOAT16 => bytes.as_chunks().0.iter().map(|b| half::f16::from_le_bytes(*b).into()).collect(),
            kind::BFLOAT16 => bytes.as_chunks().0.iter().map(|b| half::bf16::from_le_bytes(*b).into()).collect(),
            other => return Err(fault(format!("its weights have type {other}"), "convert the model in float32")),
        };
        let count = tensor.shape()?.iter().try_fold(1usize, |n, d| n.checked_mul((*d)?));
        if count != Some(values.len()) {
            return Err(fault("its weights do not fill their shape", "convert the model again"));
        }
        Ok(values)
    }

    /// A constant of whole numbers.
    pub(super) fn integers(&self, tensor: &Tensor) -> Result<Vec<i64>> {
        self.take(tensor.bytes.len() / 4)?;
        Ok(match tensor.kind {
            kind::INT32 => tensor.bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into()).collect(),
            kind::INT64 => tensor.bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b)).collect(),
            other => return Err(fault(format!("a position has type {other}"), "convert the model again")),
        })
    }

    /// A constant as a matrix: its last dimension by all others.
    pub(super) fn matrix(&self, tensor: &Tensor) -> Result<Matrix> {
        let shape = tensor.shape()?;
        let data = self.floats(tensor)?;
        let cols = shape.last().copied().flatten().unwrap_or(1);
        if cols == 0 || data.is_empty() {
            return Err(fault("a weight tensor is empty", "convert the model again"));
        }
        Ok(Matrix { rows: data.len() / cols, cols, data })
    }

    pub(super) fn take(&self, count: usize) -> Result<()> {
        let left = self.left.get().checked_sub(count);
        self.left.set(left.ok_or_else(|| fault("its matrices unfold to more than 1 GiB", "give a smaller model"))?);
        Ok(())
    }
}

impl Table<'_> {
    /// A text in one line, cut off where it is absurdly long.
    fn text(self, k: usize) -> String {
        let bytes = self.bytes(k).unwrap_or_default();
        String::from_utf8_lossy(bytes.get(..200).unwrap_or(bytes)).chars().filter(|c| !c.is_control()).collect()
    }
}
