"""Makes tests/models/shapes: small untrained networks of every supported shape, with their frameworks' own outputs.

    pip install -r tools/train/requirements.txt && python tools/train/shapes.py
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import torch
from keras import layers
from safetensors.torch import save_file

from common import ROOT

OUT = ROOT / "tests" / "models" / "shapes"
STEPS, FEATURES = 60, 5


def scaled(model):
    """Random weights large enough to move the gates."""
    rng = np.random.default_rng(5)
    model.set_weights([(w * 2 + rng.normal(0, 0.2, w.shape)).astype(np.float32) for w in model.get_weights()])
    return model


def sequential():
    return keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            layers.LSTM(9, return_sequences=True, name="first"),
            layers.Dropout(0.3),
            layers.LSTM(6, return_sequences=True, use_bias=False, name="second"),
            layers.Dense(7, activation="relu", name="wide"),
            layers.Dense(3, activation="sigmoid", use_bias=False, name="out"),
        ]
    )


def functional():
    x = keras.Input((None, FEATURES))
    y = layers.LSTM(8, return_sequences=True)(x)
    y = layers.Dense(5, activation="tanh")(y)
    y = layers.LSTM(4, return_sequences=True)(y)
    y = layers.Dense(6)(y)
    return keras.Model(x, layers.Activation("softmax")(y))


class Stacked(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = torch.nn.LSTM(FEATURES, 7, num_layers=2, batch_first=True)
        self.mid = torch.nn.Linear(7, 6)
        self.head = torch.nn.Linear(6, 2, bias=False)

    def forward(self, x):
        return torch.tanh(self.head(torch.relu(self.mid(self.rnn(x)[0]))))


def main():
    keras.utils.set_random_seed(3)
    torch.manual_seed(3)
    OUT.mkdir(parents=True, exist_ok=True)
    t = np.arange(STEPS)[None, :, None]
    x = np.sin(t * (0.1 + 0.07 * np.arange(FEATURES)) + np.arange(4)[:, None, None]).astype(np.float32) * 1.5 + 0.25
    np.save(OUT / "x.npy", x)
    for name, model in (("sequential", scaled(sequential())), ("functional", scaled(functional()))):
        model.save(OUT / f"{name}.keras")
        np.savez_compressed(OUT / f"{name}.npz", y=model.predict(x, verbose=0).reshape(-1, model.output_shape[-1]))
    model = Stacked()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(2)
        y = model(torch.from_numpy(x)).numpy()
    save_file(model.state_dict(), OUT / "stacked.safetensors")
    np.savez_compressed(OUT / "stacked.npz", y=y.reshape(-1, 2))
    (OUT / "stacked.toml").write_text(
        '[[layer]]\nname = "rnn"\n\n[[layer]]\nname = "mid"\nactivation = "relu"\n\n'
        '[[layer]]\nname = "head"\nactivation = "tanh"\n'
    )


if __name__ == "__main__":
    main()
