//! Which operators there are, and which of them no network can be made of.

use super::model::{Fault, Model, Operator, Result, fault, kind};
use cellstate_reference::Activation;

pub(super) const ADD: i32 = 0;
pub(super) const CONCATENATION: i32 = 2;
pub(super) const DEQUANTIZE: i32 = 6;
pub(super) const EMBEDDING_LOOKUP: i32 = 7;
pub(super) const FULLY_CONNECTED: i32 = 9;
pub(super) const LOGISTIC: i32 = 14;
pub(super) const MUL: i32 = 18;
pub(super) const RELU: i32 = 19;
pub(super) const RESHAPE: i32 = 22;
pub(super) const SOFTMAX: i32 = 25;
pub(super) const TANH: i32 = 28;
pub(super) const CUSTOM: i32 = 32;
pub(super) const UNIDIRECTIONAL_SEQUENCE_RNN: i32 = 35;
pub(super) const GATHER: i32 = 36;
pub(super) const TRANSPOSE: i32 = 39;
pub(super) const MEAN: i32 = 40;
pub(super) const SUB: i32 = 41;
pub(super) const DIV: i32 = 42;
pub(super) const SQUEEZE: i32 = 43;
pub(super) const UNIDIRECTIONAL_SEQUENCE_LSTM: i32 = 44;
pub(super) const STRIDED_SLICE: i32 = 45;
pub(super) const BIDIRECTIONAL_SEQUENCE_RNN: i32 = 46;
pub(super) const SPLIT: i32 = 49;
pub(super) const BIDIRECTIONAL_SEQUENCE_LSTM: i32 = 52;
pub(super) const CAST: i32 = 53;
pub(super) const EXPAND_DIMS: i32 = 70;
pub(super) const SHAPE: i32 = 77;
pub(super) const REDUCE_PROD: i32 = 81;
pub(super) const PACK: i32 = 83;
pub(super) const UNPACK: i32 = 88;
pub(super) const REVERSE_V2: i32 = 105;
pub(super) const QUANTIZE: i32 = 114;
pub(super) const WHILE: i32 = 119;
pub(super) const BATCH_MATMUL: i32 = 126;

/// The name of an operator that is read, or of one that is often met.
pub(super) fn name(code: i32) -> String {
    let name = match code {
        ADD => "ADD",
        1 => "AVERAGE_POOL_2D",
        CONCATENATION => "CONCATENATION",
        3 => "CONV_2D",
        4 => "DEPTHWISE_CONV_2D",
        DEQUANTIZE => "DEQUANTIZE",
        EMBEDDING_LOOKUP => "EMBEDDING",
        FULLY_CONNECTED | BATCH_MATMUL => "DENSE",
        LOGISTIC => "LOGISTIC",
        16 | UNIDIRECTIONAL_SEQUENCE_LSTM | BIDIRECTIONAL_SEQUENCE_LSTM => "LSTM",
        17 => "MAX_POOL_2D",
        MUL => "MUL",
        RELU => "RELU",
        21 => "RELU6",
        RESHAPE => "RESHAPE",
        UNIDIRECTIONAL_SEQUENCE_RNN | BIDIRECTIONAL_SEQUENCE_RNN | 24 => "RNN",
        SOFTMAX => "SOFTMAX",
        27 => "SVDF",
        TANH => "TANH",
        CUSTOM => "CUSTOM",
        34 => "PAD",
        GATHER => "GATHER",
        TRANSPOSE => "TRANSPOSE",
        MEAN => "MEAN",
        SUB => "SUB",
        DIV => "DIV",
        SQUEEZE => "SQUEEZE",
        STRIDED_SLICE => "STRIDED_SLICE",
        SPLIT => "SPLIT",
        50 => "LOG_SOFTMAX",
        CAST => "CAST",
        65 => "SLICE",
        EXPAND_DIMS => "EXPAND_DIMS",
        74 => "SUM",
        76 => "RSQRT",
        SHAPE => "SHAPE",
        REDUCE_PROD => "REDUCE_PROD",
        82 => "REDUCE_MAX",
        PACK => "PACK",
        UNPACK => "UNPACK",
        98 => "LEAKY_RELU",
        99 => "SQUARED_DIFFERENCE",
        REVERSE_V2 => "REVERSE_V2",
        111 => "ELU",
        QUANTIZE => "QUANTIZE",
        117 => "HARD_SWISH",
        WHILE => "WHILE",
        150 => "GELU",
        _ => return format!("OPERATOR_{code}"),
    };
    name.to_owned()
}

/// The remedy for an operator that has no place in a network.
pub(super) fn unknown(code: i32) -> Fault {
    let cause = format!("{} is not supported", name(code));
    fault(cause, "use LSTM and Dense layers with relu, sigmoid, tanh or softmax, or give the .keras file itself")
}

/// Tanh among the fused activations.
pub(super) const TANH_CODE: u8 = 4;

/// A fused activation.
pub(super) fn fused(code: u8) -> Result<Activation> {
    Ok(match code {
        0 => Activation::Linear,
        1 => Activation::Relu,
        TANH_CODE => Activation::Tanh,
        3 => return Err(fault("its activation relu6 is not supported", "use relu, sigmoid, tanh or softmax")),
        _ => return Err(fault("its activation is not supported", "use relu, sigmoid, tanh or softmax")),
    })
}

/// Whether a tensor of two dimensions holds indices: it goes into a table, perhaps as whole numbers.
pub(super) fn indexes(operators: &[Operator], tensor: i32) -> bool {
    let into = |tensor: i32| {
        operators.iter().any(|o| match o.code {
            GATHER => o.input(1) == Some(tensor),
            EMBEDDING_LOOKUP => o.input(0) == Some(tensor),
            _ => false,
        })
    };
    let cast = |o: &&Operator| o.code == CAST && o.input(0) == Some(tensor);
    into(tensor) || operators.iter().filter(cast).any(|o| o.outputs.first().is_some_and(|&t| into(t)))
}

/// Whether a recurrent operator runs over its first dimension.
pub(super) fn any_time_major(operators: &[Operator]) -> Result<bool> {
    for operator in operators {
        let time_major = match operator.code {
            UNIDIRECTIONAL_SEQUENCE_LSTM => operator.bool(3, false)?,
            BIDIRECTIONAL_SEQUENCE_LSTM => operator.bool(4, true)?,
            UNIDIRECTIONAL_SEQUENCE_RNN | BIDIRECTIONAL_SEQUENCE_RNN => operator.bool(0, false)?,
            _ => false,
        };
        if time_major {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What makes a model unfit as a whole: a loop where a recurrent layer was, one unrolled, or quantized tensors.
pub(super) fn unfit(model: &Model, operators: &[Operator]) -> Result<()> {
    let has = |code: i32| operators.iter().any(|o| o.code == code);
    let fused = operators.iter().any(|o| name(o.code) == "LSTM" || name(o.code) == "RNN");
    if has(WHILE) {
        let cause = "a recurrent layer is a loop (WHILE) in it and no fused LSTM, as the converter writes layers of \
             Keras 3, and GRU, SimpleRNN, stateful layers and LSTMs with use_bias=False of any version";
        return Err(fault(cause, LOOP));
    }
    for tensor in operators.iter().flat_map(|o| o.inputs.iter().chain(&o.outputs)).filter(|&&t| t >= 0) {
        let tensor = model.tensor(*tensor)?;
        if [kind::INT8, kind::UINT8, kind::INT16, kind::INT4].contains(&tensor.kind) {
            let cause = format!("it is quantized already: \"{}\" is of small integers", tensor.name());
            let remedy = "convert it without converter.optimizations, or give the .keras file itself";
            return Err(fault(cause, remedy));
        }
    }
    if (has(UNPACK) || has(SPLIT)) && has(LOGISTIC) && !fused {
        let cause = "a recurrent layer is unrolled in it: each step stands there by itself";
        return Err(fault(cause, "train with unroll=False and convert again, or give the .keras file itself"));
    }
    Ok(())
}

/// What was tried with TensorFlow 2.21: the fused operator came of `tf_keras` with a fixed batch of 1, and of nothing else.
const LOOP: &str = "give the .keras file itself; or build an LSTM model in tf_keras as m, beginning with \
    tf_keras.Input((STEPS, FEATURES), batch_size=1), then m.set_weights(model.get_weights()) and \
    tf.lite.TFLiteConverter.from_keras_model(m).convert()";
