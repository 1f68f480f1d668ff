"""Makes tests/models/tflite: small untrained networks as TensorFlow Lite files, with the interpreter's own outputs.

    pip install -r tools/train/requirements.txt && python tools/train/tflite.py

The converter writes the fused LSTM for tf_keras only; what it never writes is put together here, operator by operator.
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import flatbuffers
import keras
import numpy as np
import tensorflow as tf
import tf_keras
from tensorflow.lite.python import schema_py_generated as schema
from tf_keras import layers

from common import ROOT

OUT = ROOT / "tests" / "models" / "tflite"
STEPS, FEATURES = 12, 4
CODES = schema.BuiltinOperator
rng = np.random.default_rng(7)


def sequential(*stack, shape=(STEPS, FEATURES), dtype=None):
    return tf_keras.Sequential([layers.Input(shape, batch_size=1, dtype=dtype), *stack])


def scaled(model):
    """Random weights large enough to move the gates; variances stay positive."""
    weights = [w * 1.5 + rng.normal(0, 0.2, w.shape).astype(np.float32) for w in model.get_weights()]
    names = [w.name for w in model.weights]
    model.set_weights([np.abs(w) + 0.3 if "variance" in n else w for n, w in zip(names, weights)])
    return model


def converted(model, options=lambda converter: None):
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    options(converter)
    return converter.convert()


def half(converter):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.target_spec.supported_types = [tf.float16]


def integers(converter):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([x[None]] for x in samples())
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def branches():
    x = layers.Input((STEPS, FEATURES), batch_size=1)
    a = layers.LSTM(3, return_sequences=True)(x)
    b = layers.LSTM(5, return_sequences=True)(x)
    joined = layers.Concatenate()([a, b, x])
    return tf_keras.Model(x, [layers.Dense(3, activation="softmax")(a), layers.Dense(2)(joined)])


def bidirectional():
    return sequential(
        layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        layers.Bidirectional(layers.LSTM(4), merge_mode="ave"),
        layers.Dense(3, activation="softmax"),
    )


class Graph:
    """A model put together by hand."""

    def __init__(self):
        self.model, self.graph = schema.ModelT(), schema.SubGraphT()
        self.model.version, self.model.description = 3, "by hand"
        self.model.operatorCodes, self.model.subgraphs = [], [self.graph]
        self.model.buffers = [schema.BufferT()]
        self.graph.tensors, self.graph.operators, self.graph.inputs, self.graph.outputs = [], [], [], []

    def tensor(self, shape, value=None, variable=False):
        tensor = schema.TensorT()
        tensor.shape, tensor.type, tensor.isVariable = list(shape), schema.TensorType.FLOAT32, variable
        tensor.name, tensor.buffer = f"t{len(self.graph.tensors)}", 0
        if value is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(value.astype("<f4").tobytes(), np.uint8)
            tensor.buffer = len(self.model.buffers)
            self.model.buffers.append(buffer)
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def random(self, *shape):
        return self.tensor(shape, rng.normal(0, 0.6, shape))

    def operator(self, code, kind, options, inputs, outputs):
        entry = schema.OperatorCodeT()
        entry.builtinCode = entry.deprecatedBuiltinCode = code
        entry.version = 1
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = len(self.model.operatorCodes), inputs, outputs
        operator.builtinOptionsType, operator.builtinOptions = kind, options
        self.model.operatorCodes.append(entry)
        self.graph.operators.append(operator)

    def finish(self):
        builder = flatbuffers.Builder()
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def cell(g, inputs, units, hidden, coupled=False, peephole=False, project=False):
    """An LSTM's weights in the operator's order, without its states."""
    none = -1
    gates = [none if coupled and k == 0 else k for k in range(4)]
    w = [none if k == none else g.random(units, inputs) for k in gates]
    u = [none if k == none else g.random(units, hidden) for k in gates]
    p = [none if not peephole or (coupled and k == 0) else g.random(units) for k in range(3)]
    b = [none if k == none else g.random(units) for k in gates]
    return w + u + p + b + [g.random(hidden, units) if project else none, none]


def lstm(shape, time_major, units, hidden, clip=0.0, norm=False, **kind):
    g = Graph()
    x, y = g.tensor(shape), g.tensor((*shape[:2], hidden))
    g.graph.inputs, g.graph.outputs = [x], [y]
    states = [g.tensor((1, hidden), variable=True), g.tensor((1, units), variable=True)]
    options = schema.UnidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    options.timeMajor, options.cellClip = time_major, clip
    norms = [g.random(units) if norm else -1 for _ in range(4)]
    inputs = [x, *cell(g, shape[2], units, hidden, **kind), *states, *norms]
    kind = schema.BuiltinOptions.UnidirectionalSequenceLSTMOptions
    g.operator(CODES.UNIDIRECTIONAL_SEQUENCE_LSTM, kind, options, inputs, [y])
    return g.finish()


def lstm_both_ways():
    g = Graph()
    x, y = g.tensor((STEPS, 1, FEATURES)), g.tensor((STEPS, 1, 6))
    g.graph.inputs, g.graph.outputs = [x], [y]
    cells = cell(g, FEATURES, 3, 3, peephole=True) + cell(g, FEATURES, 3, 3, peephole=True)
    states = [g.tensor((1, 3), variable=True) for _ in range(4)]
    options = schema.BidirectionalSequenceLSTMOptionsT()
    options.fusedActivationFunction = schema.ActivationFunctionType.TANH
    options.mergeOutputs = options.timeMajor = True
    inputs = [x, *cells, *states, *[-1] * 9]
    g.operator(
        CODES.BIDIRECTIONAL_SEQUENCE_LSTM, schema.BuiltinOptions.BidirectionalSequenceLSTMOptions, options, inputs, [y]
    )
    return g.finish()


def rnn_both_ways():
    """A simple recurrent layer with relu, then one in both directions with tanh."""
    g = Graph()
    x, middle, y, z = (g.tensor((1, STEPS, n)) for n in (FEATURES, 5, 3, 4))
    g.graph.inputs, g.graph.outputs = [x], [y, z]
    one = schema.SequenceRNNOptionsT()
    one.timeMajor, one.fusedActivationFunction = False, schema.ActivationFunctionType.RELU
    inputs = [x, g.random(5, FEATURES), g.tensor((5, 5), 0.3 * np.eye(5)), g.random(5), g.tensor((1, 5), variable=True)]
    g.operator(CODES.UNIDIRECTIONAL_SEQUENCE_RNN, schema.BuiltinOptions.SequenceRNNOptions, one, inputs, [middle])
    both = schema.BidirectionalSequenceRNNOptionsT()
    both.timeMajor, both.mergeOutputs = False, False
    both.fusedActivationFunction = schema.ActivationFunctionType.TANH
    inputs = [middle]
    for n in (3, 4):
        inputs += [g.random(n, 5), g.random(n, n), g.random(n), g.tensor((1, n), variable=True)]
    kind = schema.BuiltinOptions.BidirectionalSequenceRNNOptions
    g.operator(CODES.BIDIRECTIONAL_SEQUENCE_RNN, kind, both, inputs + [-1, -1, -1], [y, z])
    return g.finish()


def wide():
    """As small a file as asks for a matrix of 60000 by 60000."""
    g = Graph()
    x, y = g.tensor((1, STEPS, 60000)), g.tensor((1, STEPS, 60000))
    g.graph.inputs, g.graph.outputs = [x], [y]
    g.operator(CODES.TANH, 0, None, [x], [y])
    return g.finish()


def samples():
    t = np.arange(STEPS)[None, :, None]
    x = np.sin(t * (0.2 + 0.15 * np.arange(FEATURES)) + np.arange(3)[:, None, None]) * 1.5 + 0.25
    return x.astype(np.float32)


def outputs(model, x):
    """The interpreter's outputs for each sequence, from states of zero."""
    interpreter = tf.lite.Interpreter(model_content=model)
    entry = interpreter.get_input_details()[0]
    steps = x.shape[1]
    alone = len(entry["shape"]) == 2 and entry["dtype"] == np.float32
    shape = np.array(entry["shape_signature"])
    if not alone:
        shape[np.argmax(shape == -1) if -1 in shape else np.argmax(shape)] = steps
        interpreter.resize_tensor_input(entry["index"], shape)
    interpreter.allocate_tensors()
    results = [[] for _ in interpreter.get_output_details()]
    for sequence in x:
        interpreter.reset_all_variables()
        for part in sequence[:, None] if alone else [sequence]:
            interpreter.set_tensor(entry["index"], part.reshape(shape).astype(entry["dtype"]))
            interpreter.invoke()
            for list_, detail in zip(results, interpreter.get_output_details()):
                y = interpreter.get_tensor(detail["index"])
                list_.append(y.reshape(-1, y.shape[-1]))
    return {f"y{k}": np.concatenate(list_) for k, list_ in enumerate(results)}


def models():
    """All that are to be read."""
    seq = {"return_sequences": True}
    normal = layers.Normalization(mean=[0.1, 0.2, -0.3, 0.4], variance=[1.0, 2.0, 0.5, 0.7])
    flat = [layers.LSTM(3, **seq), layers.TimeDistributed(layers.Dense(3)), layers.Flatten(), layers.Dense(2)]
    stack = [layers.LSTM(7, **seq), layers.Dense(5, activation="relu"), layers.LSTM(4)]
    stack += [layers.Dense(3, activation="tanh"), layers.Dense(2, activation="sigmoid")]
    scale = [normal, layers.Rescaling(0.5, 0.1), layers.LSTM(5, **seq), layers.BatchNormalization()]
    plain = lambda: sequential(layers.LSTM(6), layers.Dense(4, activation="softmax"))
    words = [layers.Embedding(9, 4), layers.LSTM(5), layers.Dense(2)]
    return {
        "last": converted(scaled(plain())),
        "stacked": converted(scaled(sequential(*stack))),
        "open": converted(scaled(sequential(layers.LSTM(5, **seq), layers.Dense(3), shape=(None, FEATURES)))),
        "backward": converted(scaled(sequential(layers.LSTM(5, go_backwards=True), layers.Dense(3)))),
        "bidirectional": converted(scaled(bidirectional())),
        "normalized": converted(scaled(sequential(*scale, layers.Dense(3)))),
        "embedding": converted(scaled(sequential(*words, shape=(STEPS,), dtype=tf.int32))),
        "flat": converted(scaled(sequential(*flat))),
        "branches": converted(scaled(branches())),
        "half": converted(scaled(plain()), half),
        "dense": converted(scaled(sequential(layers.Dense(5, activation="tanh"), layers.Dense(2), shape=(FEATURES,)))),
        "averaged": converted(scaled(sequential(layers.LSTM(5, **seq), layers.GlobalAveragePooling1D(), layers.Dense(2)))),
        "peephole": lstm((1, STEPS, FEATURES), False, 5, 3, peephole=True, project=True),
        "coupled": lstm((STEPS, 1, FEATURES), True, 4, 4, peephole=True, coupled=True),
        "both_ways": lstm_both_ways(),
        "rnn": rnn_both_ways(),
    }


def hybrid(converter):
    converter.optimizations = [tf.lite.Optimize.DEFAULT]


def functional(join):
    x = layers.Input((STEPS, FEATURES), batch_size=1)
    return tf_keras.Model(x, join(x, layers.LSTM(FEATURES, return_sequences=True)(x)))


def two_inputs():
    a, b = (layers.Input((STEPS, FEATURES), batch_size=1) for _ in range(2))
    return tf_keras.Model([a, b], layers.LSTM(3)(layers.Concatenate()([a, b])))


def batched():
    x = layers.Input((STEPS, FEATURES), batch_size=4)
    return tf_keras.Model(x, layers.LSTM(3)(x))


def refused():
    """What must be told apart and is not read."""
    loop = keras.Sequential([keras.Input((STEPS, FEATURES), batch_size=1), keras.layers.LSTM(3), keras.layers.Dense(2)])
    return {
        "loop": converted(loop),
        "gru": converted(sequential(layers.GRU(3), layers.Dense(2))),
        "quantized": converted(sequential(layers.LSTM(3), layers.Dense(2)), integers),
        "unrolled": converted(sequential(layers.LSTM(3, unroll=True), layers.Dense(2), shape=(3, FEATURES))),
        "hybrid": converted(sequential(layers.LSTM(8), layers.Dense(150)), hybrid),
        "batched": converted(batched()),
        "inputs": converted(two_inputs()),
        "product": converted(functional(lambda x, y: layers.Multiply()([x, y]))),
        "part": converted(functional(lambda x, y: y[:, 2:5])),
        "features": converted(functional(lambda x, y: y[:, :, 1:])),
        "first": converted(functional(lambda x, y: y[:, 0])),
        "rearranged": converted(functional(lambda x, y: layers.Reshape((STEPS // 2, 2 * FEATURES))(y))),
        "relu6": converted(functional(lambda x, y: layers.Dense(3, activation=tf.nn.relu6)(y))),
        "reversed": converted(functional(lambda x, y: y[:, ::-1])),
        "clipped": lstm((1, STEPS, FEATURES), False, 4, 4, clip=3.0),
        "wide": wide(),
        "gates": lstm((1, STEPS, FEATURES), False, 4, 4, norm=True),
        "pooled": converted(sequential(layers.LSTM(3, return_sequences=True), layers.GlobalMaxPooling1D())),
    }


def main():
    tf_keras.utils.set_random_seed(3)
    keras.utils.set_random_seed(3)
    (OUT / "refused").mkdir(parents=True, exist_ok=True)
    words = rng.integers(0, 9, (3, STEPS, 1)).astype(np.float32)
    np.save(OUT / "x.npy", samples())
    np.save(OUT / "words.npy", words)
    for name, model in models().items():
        (OUT / f"{name}.tflite").write_bytes(model)
        np.savez_compressed(OUT / f"{name}.npz", **outputs(model, words if name == "embedding" else samples()))
    for name, model in refused().items():
        (OUT / "refused" / f"{name}.tflite").write_bytes(model)


if __name__ == "__main__":
    main()
