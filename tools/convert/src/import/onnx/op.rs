//! One operator: its attributes and inputs.

use super::signal::Signal;
use super::tensor::Tensor;
use super::{Fault, fault, proto, read};
use std::path::Path;
use std::rc::Rc;

/// What is known of a value.
#[derive(Clone)]
pub(super) enum Value {
    /// A constant, or a shape.
    Tensor(Rc<Tensor>),
    /// It depends on the input.
    Signal(Signal),
    /// A part of a layer normalization that exporters take apart.
    Norm(super::norm::Part),
    /// What the network has no place for, and whether it is a state that the model hands from call to call.
    Foreign(String, bool),
}

pub(super) struct Op<'a> {
    pub(super) path: &'a Path,
    pub(super) node: &'a proto::Node,
    pub(super) name: String,
    pub(super) opset: i64,
    /// None where an optional input is left out.
    pub(super) inputs: Vec<Option<Value>>,
}

impl Op<'_> {
    pub(super) fn kind(&self) -> &str {
        &self.node.op_type
    }

    fn attribute(&self, name: &str) -> Option<&proto::Attribute> {
        self.node.attribute.iter().find(|a| a.name == name)
    }

    pub(super) fn int(&self, name: &str) -> Option<i64> {
        self.attribute(name)?.i
    }

    pub(super) fn float(&self, name: &str) -> Option<f32> {
        self.attribute(name)?.f
    }

    pub(super) fn ints(&self, name: &str) -> Option<&[i64]> {
        Some(&self.attribute(name)?.ints)
    }

    pub(super) fn floats(&self, name: &str) -> Option<&[f32]> {
        Some(&self.attribute(name)?.floats)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.attribute(name).is_some()
    }

    pub(super) fn text(&self, name: &str) -> Option<String> {
        Some(String::from_utf8_lossy(self.attribute(name)?.s.as_deref()?).into_owned())
    }

    pub(super) fn texts(&self, name: &str) -> Option<Vec<String>> {
        Some(self.attribute(name)?.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
    }

    pub(super) fn tensor_attribute(&self, name: &str) -> Option<Result<Tensor, Fault>> {
        Some(read::tensor(self.path, self.attribute(name)?.t.as_ref()?))
    }

    pub(super) fn input(&self, k: usize) -> Option<&Value> {
        self.inputs.get(k)?.as_ref()
    }

    /// An input that must be a constant, if it is there.
    pub(super) fn constant(&self, k: usize, what: &str) -> Result<Option<&Tensor>, Fault> {
        match self.input(k) {
            None => Ok(None),
            Some(Value::Tensor(t)) => Ok(Some(t)),
            Some(_) => Err(fault(
                format!("it takes its {what} from the input"),
                format!("export a model with constant {what}"),
            )),
        }
    }

    /// An input that must be there and a constant.
    pub(super) fn weights(&self, k: usize, what: &str) -> Result<&Tensor, Fault> {
        self.constant(k, what)?.ok_or_else(|| fault(format!("it has no {what}"), "export the model again"))
    }

    /// The input that depends on the network's input.
    pub(super) fn signal(&self, k: usize) -> Result<&Signal, Fault> {
        match self.input(k) {
            Some(Value::Signal(s)) => Ok(s),
            Some(Value::Foreign(what, _)) => Err(foreign(what)),
            Some(Value::Tensor(_)) => {
                Err(fault("it is given a constant where the input is due", "export the model again"))
            }
            Some(Value::Norm(_)) => {
                Err(fault("it takes a mean or a variance over features", "use LayerNormalization for it"))
            }
            None => Err(fault("its input is missing", "export the model again")),
        }
    }

    /// Integers that newer operator sets give as an input and older ones as an attribute.
    pub(super) fn list(&self, k: usize, name: &str) -> Result<Option<Vec<i64>>, Fault> {
        match self.constant(k, name)? {
            None => Ok(self.ints(name).map(<[i64]>::to_vec)),
            Some(t) => t.ints().map(Some).ok_or_else(|| {
                fault(
                    format!("its {name} depend on the shape of the input"),
                    "export the model with a fixed number of steps",
                )
            }),
        }
    }

    /// An axis counted from the end if it is negative.
    pub(super) fn axis(axis: i64, rank: usize) -> Result<usize, Fault> {
        let k = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        k.and_then(|k| usize::try_from(k).ok())
            .filter(|&k| k < rank)
            .ok_or_else(|| fault(format!("it names axis {axis} of a value of {rank} axes"), "export the model again"))
    }

    pub(super) fn axes(axes: &[i64], rank: usize) -> Result<Vec<usize>, Fault> {
        axes.iter().map(|&a| Self::axis(a, rank)).collect()
    }
}

pub(super) fn foreign(what: &str) -> Fault {
    fault(
        format!("it takes {what}"),
        "export a model of one sequence, whose other inputs are initial states of its layers",
    )
}
