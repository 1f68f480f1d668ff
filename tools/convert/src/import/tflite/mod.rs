//! TensorFlow Lite `.tflite` files of float models, whose recurrent layers are the fused operators.
//!
//! A file is a `FlatBuffer`: operators in the order in which they run, on tensors whose dimensions are (batch, time,
//! features) or (time, batch, features). One with a loop in place of a recurrent layer is refused, and so is a quantized one.

mod flat;
mod graph;
mod layers;
mod model;
mod op;
mod recurrent;
mod signal;
mod sizes;

use crate::error::{Error, Result};
use cellstate_reference::{Activation, Network};
use graph::Graph;
use model::{Fault, Model, Operator};
use std::path::Path;

pub(super) fn load(path: &Path) -> Result<Network> {
    let bytes = crate::error::read(path)?;
    let wrong = |f: Fault| Error::new(path, f.cause, f.remedy);
    let model = Model::open(&bytes).map_err(wrong)?;
    let operators = model.operators().map_err(wrong)?;
    op::unfit(&model, &operators).map_err(wrong)?;
    let mut graph = Graph::begin(model, &operators).map_err(wrong)?;
    for operator in &operators {
        add(&mut graph, operator).map_err(|f| wrong(f).in_layer(&graph.name(operator)))?;
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    graph.finish(&stem).map_err(wrong)
}

fn add(graph: &mut Graph, operator: &Operator) -> model::Result<()> {
    if sizes::made_of(graph, operator) {
        return sizes::add(graph, operator);
    }
    match operator.code {
        op::UNIDIRECTIONAL_SEQUENCE_LSTM => recurrent::unidirectional_lstm(graph, operator),
        op::BIDIRECTIONAL_SEQUENCE_LSTM => recurrent::bidirectional_lstm(graph, operator),
        op::UNIDIRECTIONAL_SEQUENCE_RNN => recurrent::unidirectional_rnn(graph, operator),
        op::BIDIRECTIONAL_SEQUENCE_RNN => recurrent::bidirectional_rnn(graph, operator),
        op::FULLY_CONNECTED => layers::dense(graph, operator),
        op::BATCH_MATMUL => layers::matmul(graph, operator),
        op::RELU => layers::activation(graph, operator, Activation::Relu),
        op::LOGISTIC => layers::activation(graph, operator, Activation::Sigmoid),
        op::TANH => layers::activation(graph, operator, Activation::Tanh),
        op::SOFTMAX => layers::activation(graph, operator, Activation::Softmax),
        op::ADD | op::SUB | op::MUL | op::DIV => layers::arithmetic(graph, operator),
        op::CONCATENATION => layers::concatenation(graph, operator),
        op::GATHER => layers::embedding(graph, operator, 1, 0),
        op::EMBEDDING_LOOKUP => layers::embedding(graph, operator, 0, 1),
        op::CAST => layers::cast(graph, operator),
        op::RESHAPE | op::SQUEEZE | op::EXPAND_DIMS => layers::reshape(graph, operator),
        op::MEAN => layers::mean(graph, operator),
        op::TRANSPOSE => layers::transpose(graph, operator),
        op::REVERSE_V2 => layers::reverse(graph, operator),
        op::STRIDED_SLICE => layers::slice(graph, operator),
        op::DEQUANTIZE => layers::widen(graph, operator),
        other => Err(op::unknown(other)),
    }
}
