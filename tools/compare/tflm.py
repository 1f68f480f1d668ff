"""Hidden states in integers against float: TensorFlow Lite Micro's int8 LSTM beside cellstate, on the same model and data.

    pip install -r tools/train/requirements.txt -r tools/compare/requirements.txt
    cargo build --release -p cellstate-convert
    python tools/compare/tflm.py [FOLDER]

Trains LSTM(32) and a dense layer on JapaneseVowels and BasicMotions (aeon 1.6.0, BSD-3-Clause), then prints a table. Both
convert the same weights and calibrate with the same training sequences; the float side is Keras for TensorFlow Lite Micro, and
the float64 reference for cellstate.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers
from tflite_micro import runtime

from common import ROOT, from_archive, save_sequences

UNITS = 32
SETS = {"JapaneseVowels": 60, "BasicMotions": 60}  # and epochs of training


def padded(sequences, steps):
    out = np.zeros((len(sequences), steps, sequences[0].shape[1]), np.float32)
    for row, s in zip(out, sequences):
        row[: len(s)] = s
    return out


def train(x, lengths, y, epochs):
    """The loss is that of each sequence's last step."""
    tf_keras.utils.set_random_seed(1)
    entry = layers.Input(x.shape[1:])
    hidden = layers.LSTM(UNITS, return_sequences=True)(entry)
    model = tf_keras.Model(entry, layers.Dense(y.max() + 1, activation="softmax")(hidden))
    model.compile(tf_keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    last = (np.arange(x.shape[1])[None] == lengths[:, None] - 1).astype(np.float32)
    model.fit(x, np.repeat(y[:, None], x.shape[1], 1), batch_size=16, epochs=epochs, sample_weight=last, verbose=0)
    return model, tf_keras.Model(entry, hidden)


def converted(model, samples=None):
    """The model with a batch of 1; in int8 if there are samples to calibrate with."""
    shape = [1, *model.input_shape[1:]]
    function = tf.function(lambda x: model(x)).get_concrete_function(tf.TensorSpec(shape, tf.float32))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    if samples is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([x[None]] for x in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def micro(model, x):
    """TensorFlow Lite Micro's outputs, each sequence from a fresh state."""
    interpreter = runtime.Interpreter.from_bytes(model)
    scales = [d["quantization_parameters"] for d in (interpreter.get_input_details(0), interpreter.get_output_details(0))]
    (si, zi), (so, zo) = ((float(np.ravel(s["scales"])[0]), int(np.ravel(s["zero_points"])[0])) for s in scales)
    results = []
    for sequence in x:
        interpreter.reset()
        interpreter.set_input(np.clip(np.round(sequence[None] / si + zi), -128, 127).astype(np.int8), 0)
        interpreter.invoke()
        results.append((interpreter.get_output(0)[0].astype(np.float32) - zo) * so)
    return np.array(results)


def cellstate(folder, model, weights):
    """What `cellstate eval --json` says of the float .tflite file."""
    blob = folder / f"{weights}.cell"
    tool = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "cellstate"
    calibrate = ["--calibrate", folder / "train.npz", "--weights", weights, "-o", blob]
    subprocess.run([tool, "convert", model, *calibrate], check=True, capture_output=True)
    compare = ["--reference", model, "--data", folder / "test.npz", "--json"]
    return json.loads(subprocess.run([tool, "eval", blob, *compare], check=True, capture_output=True).stdout)


def main():
    base = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.mkdtemp())
    print(f"{'data':<16}{'engine':<16}{'accuracy':>9}{'float':>8}{'hidden RMS':>12}{'max':>8}")
    for name, epochs in SETS.items():
        folder = base / name
        folder.mkdir(parents=True, exist_ok=True)
        (train_x, train_y), (test_x, test_y) = (from_archive(name, part) for part in ("TRAIN", "TEST"))
        classes = sorted(set(train_y))
        train_y, test_y = (np.array([classes.index(c) for c in y]) for y in (train_y, test_y))
        mean, deviation = np.concatenate(train_x).mean(0), np.concatenate(train_x).std(0)
        train_x, test_x = ([((s - mean) / deviation).astype(np.float32) for s in x] for x in (train_x, test_x))
        lengths = np.array([len(s) for s in train_x])
        ends = np.array([len(s) for s in test_x])
        steps = max(lengths.max(), ends.max())
        x, test = padded(train_x, steps), padded(test_x, steps)
        model, hidden = train(x, lengths, train_y, epochs)
        valid = np.arange(steps)[None] < ends[:, None]
        last = np.arange(len(ends)), ends - 1
        exact = hidden.predict(test, verbose=0)
        right = lambda y: (y[last].argmax(-1) == test_y).mean()
        float_ = right(model.predict(test, verbose=0))
        error = (micro(converted(hidden, x), test) - exact)[valid]
        scores = micro(converted(model, x), test)
        row = lambda engine, accuracy, of, rms, most: print(
            f"{name:<16}{engine:<16}{accuracy:>9.4f}{of:>8.4f}{rms:>12.5f}{most:>8.4f}"
        )
        row("TFLM int8", right(scores), float_, np.sqrt((error**2).mean()), np.abs(error).max())
        save_sequences(folder / "train.npz", train_x, train_y)
        save_sequences(folder / "test.npz", test_x, test_y)
        (folder / "float.tflite").write_bytes(converted(model))
        for weights in ("w8", "w16"):
            r = cellstate(folder, folder / "float.tflite", weights)
            figures = (r[k] for k in ("accuracy_int", "accuracy_float", "rms_error", "max_abs_error"))
            row(f"cellstate {weights}", *figures)


if __name__ == "__main__":
    main()
