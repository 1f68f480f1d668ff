"""Trains tests/models/motions: a Keras 2 LSTM(32) and Dense(4) on six-axis watch motions, converted to TensorFlow Lite.

    pip install -r tools/train/requirements.txt && python tools/train/motions.py

TensorFlow's converter writes the fused LSTM operator for tf_keras only; that of Keras 3 becomes a loop.
"""

import os

os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from common import ROOT, counts, from_archive, save_sequences, write_map

OUT = ROOT / "tests" / "models" / "motions"
LABELS = ["Standing", "Walking", "Running", "Badminton"]
# Counts of an IMU set to +-4 g and +-2000 degrees/s; the recordings are in m/s^2 and rad/s.
LSB = np.array([8192 / 9.80665] * 3 + [180 / np.pi * 32768 / 2000] * 3)
UNITS = 32
STEPS = 100
TRACED = 10  # test sequences whose hidden states are kept


def network(steps=None):
    entry = layers.Input((steps, 6), batch_size=None if steps is None else 1)
    hidden = layers.LSTM(UNITS)(entry)
    return tf_keras.Model(entry, layers.Dense(len(LABELS), activation="softmax")(hidden))


def batch(x, y, length, size, rng):
    """Crops of one length with noise, and each axis a little stronger or weaker, as by another person."""
    rows = rng.integers(len(x), size=size)
    starts = rng.integers(STEPS - length + 1, size=size)
    crops = np.stack([x[i, s : s + length] for i, s in zip(rows, starts)])
    crops = crops * np.exp(rng.normal(0, 0.2, (size, 1, 6))) + rng.normal(0, 0.1, crops.shape)
    return crops.astype(np.float32), y[rows]


def train(model, x, y, rng, steps=1500, size=32, rate=4e-3, decay=0.05):
    # The decay keeps the weights, and so the rounding errors of 8-bit ones, small.
    schedule = tf_keras.optimizers.schedules.CosineDecay(rate, steps)
    optimizer = tf_keras.optimizers.AdamW(schedule, weight_decay=decay, clipnorm=1.0)
    model.compile(optimizer, tf_keras.losses.CategoricalCrossentropy(label_smoothing=0.05))
    targets = np.eye(len(LABELS), dtype=np.float32)[y]
    for step in range(steps):
        length = int(rng.choice([40, 60, 80, 100]))
        loss = model.train_on_batch(*batch(x, targets, length, size, rng))
        if step % 300 == 0:
            print(f"step {step}: loss {loss:.3f}", flush=True)


def converted(model):
    """One sequence of fixed length at a time: TensorFlow's fused operator."""
    fixed = network(STEPS)
    fixed.set_weights(model.get_weights())
    return tf.lite.TFLiteConverter.from_keras_model(fixed).convert()


def interpreted(file, sequences):
    interpreter = tf.lite.Interpreter(model_content=file)
    interpreter.allocate_tensors()
    entry, out = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    rows = []
    for s in sequences:
        interpreter.reset_all_variables()
        interpreter.set_tensor(entry["index"], s[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(out["index"])[0])
    return np.stack(rows)


def main():
    tf_keras.utils.set_random_seed(3)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(3)
    parts = {}
    for part in ("TRAIN", "TEST"):
        sequences, names = from_archive("BasicMotions", part)
        parts[part] = [counts(s * LSB) for s in sequences], np.array([LABELS.index(n) for n in names])
    (known, known_y), (test, test_y) = parts["TRAIN"], parts["TEST"]

    fit = np.concatenate(known).astype(np.float64)
    mean, std = fit.mean(0), fit.std(0)
    model_input = lambda s: ((s - mean) / std).astype(np.float32)

    model = network()
    train(model, np.stack([model_input(s) for s in known]), known_y, rng)

    OUT.mkdir(parents=True, exist_ok=True)
    file = converted(model)
    (OUT / "motions.tflite").write_bytes(file)
    write_map(
        OUT / "model.toml",
        "# Raw counts are int16 of an IMU at +-4 g and +-2000 degrees/s; the model was trained on standardized counts.\n",
        LABELS,
        ["ax", "ay", "az", "wx", "wy", "wz"],
        1 / std,
        -mean / std,
    )
    save_sequences(OUT / "calibration.npz", known, known_y)
    save_sequences(OUT / "test.npz", test, test_y)

    # The interpreter's own answers at the end of every test sequence, and Keras's hidden states of the first ones.
    x = np.stack([model_input(s) for s in test])
    probabilities = interpreted(file, x)
    assert np.abs(model.predict(x, verbose=0) - probabilities).max() < 1e-5, "the converted model differs"
    traced = layers.LSTM(UNITS, return_sequences=True)
    traced.build((None, None, 6))
    traced.set_weights(model.layers[1].get_weights())
    hidden = np.concatenate(np.asarray(traced(x[:TRACED])))
    np.savez_compressed(OUT / "framework.npz", probabilities=probabilities, hidden=hidden)
    right = int((probabilities.argmax(1) == test_y).sum())
    (OUT / "accuracy.json").write_text(json.dumps({"test": right / len(test), "sequences": len(test)}) + "\n")
    print(f"test accuracy {right / len(test):.4f}: {right} of {len(test)}")


if __name__ == "__main__":
    main()
