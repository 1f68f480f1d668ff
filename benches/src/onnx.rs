//! A float LSTM layer as the ONNX model that a framework would export.

use cellstate_reference::{Lstm, Matrix};
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::pb::tensor_shape_proto::{Dimension, dimension};
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto, type_proto,
};

/// Where ONNX's gates, i o f c, stand in a unit's four rows, i f g o.
const GATES: [usize; 4] = [0, 3, 1, 2];

/// `X`, `h0` and `c0` in; the last hidden and cell state out of one step, all hidden states out of more.
pub(crate) fn model(lstm: &Lstm, steps: usize) -> ModelProto {
    let (inputs, units) = (lstm.w.cols, lstm.u.cols);
    let bias: Vec<f32> = gate_major(units, |row| vec![lstm.b[row] as f32]);
    let bias = [bias, vec![0.0; 4 * units]].concat();
    let outputs = if steps == 1 { ["", "h", "c"] } else { ["y", "", ""] };
    let names = |names: &[&str]| names.iter().map(|&n| n.to_owned()).collect();
    let node = NodeProto {
        input: names(&["x", "w", "r", "b", "", "h0", "c0"]),
        output: names(&outputs),
        name: "lstm".to_owned(),
        op_type: "LSTM".to_owned(),
        attribute: vec![AttributeProto {
            name: "hidden_size".to_owned(),
            i: units as i64,
            r#type: attribute_proto::AttributeType::Int as i32,
            ..AttributeProto::default()
        }],
        ..NodeProto::default()
    };
    let graph = GraphProto {
        node: vec![node],
        name: "lstm".to_owned(),
        initializer: vec![
            tensor("w", &[1, 4 * units, inputs], matrix(&lstm.w)),
            tensor("r", &[1, 4 * units, units], matrix(&lstm.u)),
            tensor("b", &[1, 8 * units], bias),
        ],
        input: vec![value("x", &[steps, 1, inputs]), value("h0", &[1, 1, units]), value("c0", &[1, 1, units])],
        output: match steps {
            1 => vec![value("h", &[1, 1, units]), value("c", &[1, 1, units])],
            _ => vec![value("y", &[steps, 1, 1, units])],
        },
        ..GraphProto::default()
    };
    ModelProto {
        ir_version: 8,
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version: 14 }],
        graph: Some(graph),
        ..ModelProto::default()
    }
}

fn gate_major(units: usize, row: impl Fn(usize) -> Vec<f32>) -> Vec<f32> {
    GATES.iter().flat_map(|gate| (0..units).map(move |unit| 4 * unit + gate)).flat_map(row).collect()
}

fn matrix(m: &Matrix) -> Vec<f32> {
    gate_major(m.rows / 4, |row| m.row(row).iter().map(|&w| w as f32).collect())
}

fn tensor(name: &str, shape: &[usize], data: Vec<f32>) -> TensorProto {
    TensorProto {
        dims: shape.iter().map(|&d| d as i64).collect(),
        data_type: DataType::Float as i32,
        float_data: data,
        name: name.to_owned(),
        ..TensorProto::default()
    }
}

fn value(name: &str, shape: &[usize]) -> ValueInfoProto {
    let dim = |&d: &usize| Dimension { denotation: String::new(), value: Some(dimension::Value::DimValue(d as i64)) };
    let shape = TensorShapeProto { dim: shape.iter().map(dim).collect() };
    let tensor = type_proto::Tensor { elem_type: DataType::Float as i32, shape: Some(shape) };
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto { denotation: String::new(), value: Some(type_proto::Value::TensorType(tensor)) }),
        doc_string: String::new(),
    }
}
