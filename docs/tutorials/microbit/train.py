"""Trains a Keras LSTM on a wrist's accelerometer, step by step: python train.py FOLDER, with the cellstate checkout's folder."""

import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

DATA = Path(sys.argv[1]) / "tests/models/wrist"
LABELS = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]  # seven exercises of the shoulder

keras.utils.set_random_seed(1)


def load(name):
    """Recordings (steps, 3) in counts of the micro:bit's accelerometer, and the exercise of each."""
    data = np.load(DATA / name)
    return np.split(data["x"], np.cumsum(data["lengths"])[:-1]), data["y"]


train, labels = load("calibration.npz")
counts = np.concatenate(train)
mean, std = counts.mean(0), counts.std(0)

inputs = layers.Input((None, 3))
hidden = layers.LSTM(16, return_sequences=True)(inputs)  # an answer after every sample
model = keras.Model(inputs, layers.Dense(len(LABELS), activation="softmax")(hidden))
model.compile(keras.optimizers.AdamW(1e-2, weight_decay=0.02), "sparse_categorical_crossentropy", metrics=["accuracy"])

x = ((np.stack(train) - mean) / std).astype("float32")
y = np.repeat(labels[:, None], x.shape[1], 1)
model.fit(x, y, batch_size=16, epochs=60, verbose=0)

later, later_labels = load("later.npz")
right = [(model(((r - mean) / std)[None].astype("float32"))[0].numpy().argmax(1) == k) for r, k in zip(later, later_labels)]
print(f"accuracy later in time, every step: {np.concatenate(right).mean():.4f}")

model.save("exercise.keras")
row = lambda values: ", ".join(f"{v:.9g}" for v in values)
Path("model.toml").write_text(
    f"labels = {LABELS}\n\n[input]  # model input = raw count * scale + offset\n"
    f'names = ["ax", "ay", "az"]\nscale = [{row(1 / std)}]\noffset = [{row(-mean / std)}]\n'.replace("'", '"')
)
