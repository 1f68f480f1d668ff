"""Makes the Keras models of tests/models/onnx, with ONNX Runtime's outputs, by Keras's own export to ONNX.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 numpy==2.4.6 onnx==1.23.2 onnxruntime==1.32.0
    pip install --no-deps tf2onnx==1.17.0 && python tools/train/onnx_keras.py

tf2onnx asks for an older protobuf than TensorFlow, and works without it: hence an environment of its own.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np
import onnx
import onnxruntime
from keras import layers

from common import ROOT

OUT = ROOT / "tests" / "models" / "onnx"
STEPS, FEATURES, SEQUENCES = 8, 5, 3


def scaled(model):
    """Random weights large enough to move the gates, and variances that are none below zero."""
    rng = np.random.default_rng(5)
    noise = lambda w: (w * 2 + rng.normal(0, 0.2, w.shape)).astype(np.float32)
    model.set_weights([np.abs(noise(w)) + 0.3 if v.name == "moving_variance" else noise(w) for v, w in zip(model.weights, model.get_weights())])
    return model


def models():
    fixed, free = (STEPS, FEATURES), (None, FEATURES)
    lstm = lambda units, **more: layers.LSTM(units, return_sequences=True, **more)
    yield "lstm", free, [lstm(6), layers.Dense(4, "tanh"), layers.Dropout(0.2), lstm(3), layers.Dense(3, "softmax")]
    yield "lstm_last", fixed, [layers.LSTM(6), layers.Dense(3, "sigmoid")]
    yield "both", fixed, [layers.Bidirectional(lstm(4)), layers.Bidirectional(layers.LSTM(3)), layers.Dense(3)]
    yield "both_sum", fixed, [layers.Bidirectional(lstm(4), merge_mode="ave"), layers.Dense(3)]
    yield "conv", fixed, [
        layers.Conv1D(6, 3, padding="causal", activation="relu"),
        layers.BatchNormalization(),
        layers.LayerNormalization(),
        layers.LSTM(4),
        layers.Dense(3),
    ]
    yield "conv_flat", fixed, [layers.Conv1D(4, 3), layers.BatchNormalization(), layers.Flatten(), layers.Dense(3)]
    yield "pooled", fixed, [lstm(4), layers.GlobalAveragePooling1D(), layers.Dense(3, "softmax")]


def main():
    keras.utils.set_random_seed(3)
    t = np.arange(STEPS)[None, :, None]
    x = (np.sin(t * (0.4 + 0.23 * np.arange(FEATURES)) + np.arange(SEQUENCES)[:, None, None]) * 1.3 + 0.2).astype(np.float32)
    for name, shape, stack in models():
        model = scaled(keras.Sequential([keras.Input(shape), *stack]))
        model.predict(x, verbose=0)
        file = OUT / f"keras_{name}.onnx"
        model.export(str(file), format="onnx", verbose=False)
        made = onnx.load(file)
        del made.graph.value_info[:]
        onnx.save(made, file)
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        rows = [session.run(None, {session.get_inputs()[0].name: s[None]})[0] for s in x]
        y0 = np.stack([r.reshape(-1, r.shape[-1]) for r in rows])
        np.savez_compressed(file.with_suffix(".npz"), x=x, y0=y0)


if __name__ == "__main__":
    main()
