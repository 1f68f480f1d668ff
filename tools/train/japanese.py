"""Trains tests/models/japanese: a PyTorch LSTM(32) and Linear(9) that tell nine speakers apart, exported to ONNX.

    pip install -r tools/train/requirements.txt && python tools/train/japanese.py

The answer is due at the end of an utterance, wherever that is: the last steps of each sequence are trained on.
"""

import json
import warnings

import numpy as np
import onnxruntime
import torch

from common import ROOT, counts, from_archive, save_sequences, write_map

OUT = ROOT / "tests" / "models" / "japanese"
COUNTS_PER_UNIT = 8192  # the coefficients lie in -1.9..2.3
LAST = 3  # steps of each sequence that the loss sees
TRACED = 20  # test sequences whose hidden states are kept


class Speakers(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(12, 32, batch_first=True)
        self.fc = torch.nn.Linear(32, 9)

    def forward(self, x):
        hidden, _ = self.lstm(x)
        return torch.softmax(self.fc(hidden[:, -1]), -1)


def train(model, sequences, labels, generator, epochs=150, batch=18, decay=0.05, rate=6e-3, noise=0.5):
    x = torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    ends = torch.tensor([len(s) for s in sequences])
    y = torch.tensor(labels)
    # The decay keeps the weights, and so the rounding errors of 8-bit ones, small: see README.md beside the model.
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * -(-len(x) // batch))
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    for epoch in range(epochs):
        for rows in torch.randperm(len(x), generator=generator).split(batch):
            steps = ends[rows][:, None] - 1 - torch.arange(LAST)
            noisy = x[rows] + noise * torch.randn(x[rows].shape, generator=generator)
            optimizer.zero_grad()
            hidden = model.lstm(noisy)[0][torch.arange(len(rows))[:, None], steps]
            loss = loss_of(model.fc(hidden).reshape(-1, 9), y[rows][:, None].expand(-1, LAST).reshape(-1))
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        if epoch % 30 == 0:
            print(f"epoch {epoch}: loss {loss.item():.3f}", flush=True)


def export(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            model,
            (torch.zeros(1, 20, 12),),
            str(path),
            dynamo=False,
            input_names=["x"],
            output_names=["probabilities"],
            dynamic_axes={"x": {1: "time"}},
        )


def main():
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(5)
    parts = {}
    for part in ("TRAIN", "TEST"):
        sequences, speakers = from_archive("JapaneseVowels", part)
        parts[part] = [counts(s * COUNTS_PER_UNIT) for s in sequences], [int(s) - 1 for s in speakers]
    (known, known_y), (test, test_y) = parts["TRAIN"], parts["TEST"]

    fit = np.concatenate(known).astype(np.float64)
    mean, std = fit.mean(0), fit.std(0)
    tensor = lambda s: torch.from_numpy(((s - mean) / std).astype(np.float32))

    model = Speakers()
    train(model, [tensor(s) for s in known], known_y, generator)
    model.eval()

    OUT.mkdir(parents=True, exist_ok=True)
    export(model, OUT / "japanese.onnx")
    write_map(
        OUT / "model.toml",
        "# The frames hold cepstral coefficients as int16 in units of 1/8192; the model was trained on standardized ones.\n",
        [f"speaker{k + 1}" for k in range(9)],
        [f"lpcc{k + 1}" for k in range(12)],
        1 / std,
        -mean / std,
    )
    save_sequences(OUT / "calibration.npz", known, known_y)
    save_sequences(OUT / "test.npz", test, test_y)

    # PyTorch's own answers: probabilities at the end of every test sequence, hidden states of the first ones.
    with torch.no_grad():
        probabilities = np.concatenate([model(tensor(s)[None]).numpy() for s in test])
        hidden = np.concatenate([model.lstm(tensor(s)[None])[0][0].numpy() for s in test[:TRACED]])
    np.savez_compressed(OUT / "framework.npz", probabilities=probabilities, hidden=hidden)
    session = onnxruntime.InferenceSession(str(OUT / "japanese.onnx"), providers=["CPUExecutionProvider"])
    exported = np.concatenate([session.run(None, {"x": tensor(s)[None].numpy()})[0] for s in test])
    assert np.abs(exported - probabilities).max() < 1e-5, "the exported model differs"
    right = int((probabilities.argmax(1) == test_y).sum())
    (OUT / "accuracy.json").write_text(json.dumps({"test": right / len(test), "sequences": len(test)}) + "\n")
    print(f"test accuracy {right / len(test):.4f}: {right} of {len(test)}")


if __name__ == "__main__":
    main()
