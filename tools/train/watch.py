"""Trains tests/models/watch: a PyTorch LSTM(32) and Linear(7) on six-axis watch recordings of shoulder exercises.

    pip install -r tools/train/requirements.txt && python tools/train/watch.py

The network answers after every sample, so it is trained on every step of long stretches, not on the end of short windows.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file

from common import ROOT, counts, from_wheel, save_sequences, write_map

OUT = ROOT / "tests" / "models" / "watch"
UNSEEN = (8, 9, 10)  # subjects held out entirely
WINDOW = 50  # steps of the windowed accuracy: 2 s at 25 Hz
# Counts of an IMU set to +-8 g and +-2000 degrees/s; the recordings are in g and rad/s.
LSB = np.array([4096.0] * 3 + [180 / np.pi * 32768 / 2000] * 3)


class Watch(torch.nn.Module):
    def __init__(self, features=6):
        super().__init__()
        self.lstm = torch.nn.LSTM(features, 32, batch_first=True)
        self.fc = torch.nn.Linear(32, 7)

    def forward(self, x):
        hidden, _ = self.lstm(x)
        return self.fc(hidden)


def train(model, recordings, labels, generator, steps=3000, length=150, batch=48):
    # The decay keeps the weights, and so the rounding errors of 8-bit ones, small: see README.md beside the model.
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=0.05)
    usable = [i for i, r in enumerate(recordings) if len(r) > length]
    for step in range(steps):
        rows = [usable[int(k)] for k in torch.randint(len(usable), (batch,), generator=generator)]
        starts = [int(torch.randint(len(recordings[i]) - length, (1,), generator=generator)) for i in rows]
        x = torch.stack([recordings[i][s : s + length] for i, s in zip(rows, starts)])
        y = torch.tensor([labels[i] for i in rows])[:, None].expand(-1, length)
        optimizer.zero_grad()
        logits = model(x)[:, 5:]  # the first fifth of a second is not enough to tell
        loss = loss_of(logits.reshape(-1, 7), y[:, 5:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def accuracy(model, recordings, labels):
    """(per step over whole recordings as one stream each, at the end of non-overlapping windows from a fresh state)"""
    hit = steps = window_hit = windows = 0
    for r, y in zip(recordings, labels):
        hit += int((model(r[None])[0].argmax(1) == y).sum())
        steps += len(r)
        cut = r[: len(r) // WINDOW * WINDOW].reshape(-1, WINDOW, r.shape[1])
        if len(cut):
            window_hit += int((model(cut)[:, -1].argmax(1) == y).sum())
            windows += len(cut)
    return {"per_step": hit / steps, "steps": steps, "windowed": window_hit / windows, "windows": windows}


def recordings(features, to_counts):
    """The first `features` of each recording at 25 Hz, labels, those of people trained on with where their last fifth begins
    (which is never trained on), those of others, and the names of labels and features."""
    source = from_wheel(
        "seglearn==1.2.5",
        "seglearn/data/watch_dataset.npy",
        "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537",
    )
    d = np.load(source, allow_pickle=True).item()
    raw = [to_counts(np.asarray(r)[::2, :features]) for r in d["X"]]  # 50 Hz to 25 Hz
    labels, subject = [int(v) for v in d["y"]], d["subject"]
    cut = {i: int(len(raw[i]) * 0.8) for i in range(len(raw)) if subject[i] not in UNSEEN}
    unseen = [i for i in range(len(raw)) if subject[i] in UNSEEN]
    return raw, labels, cut, unseen, (d["y_labels"], d["X_labels"][:features])


def prepare(features, to_counts):
    """Trains on the first `features` of each recording at 25 Hz; returns all that is to be written."""
    torch.manual_seed(11)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(11)
    raw, labels, cut, unseen, names = recordings(features, to_counts)
    known = list(cut)

    fit = np.concatenate([raw[i][: cut[i]] for i in known]).astype(np.float64)
    mean, std = fit.mean(0), fit.std(0)
    tensor = lambda r: torch.from_numpy(((r - mean) / std).astype(np.float32))

    model = Watch(features)
    train(model, [tensor(raw[i][: cut[i]]) for i in known], [labels[i] for i in known], generator)
    model.eval()

    later = [raw[i][cut[i] :] for i in known]
    strangers = [raw[i] for i in unseen]
    report = {
        "later_in_time": accuracy(model, [tensor(r) for r in later], [labels[i] for i in known]),
        "unseen_people": accuracy(model, [tensor(r) for r in strangers], [labels[i] for i in unseen]),
    }
    print(json.dumps(report, indent=1))

    calibration = [raw[i][: cut[i]][:120] for i in known]
    known_labels, strange_labels = [labels[i] for i in known], [labels[i] for i in unseen]
    splits = {
        "later": (later, known_labels),
        "unseen": (strangers, strange_labels),
        "calibration": (calibration, known_labels),
    }
    return model, tensor, report, splits, (*names, 1 / std, -mean / std)


def write(out, stem, head, model, report, splits, names):
    out.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), out / f"{stem}.safetensors")
    (out / "accuracy.json").write_text(json.dumps(report) + "\n")
    layers = '\n[[layer]]\nname = "lstm"\n\n[[layer]]\nname = "fc"\nactivation = "softmax"\n'
    write_map(out / "model.toml", head, *names, layers)
    for name, (sequences, labels) in splits.items():
        save_sequences(out / f"{name}.npz", sequences, labels)


def main():
    model, tensor, report, splits, names = prepare(6, lambda r: counts(r * LSB))
    head = "# Raw counts are int16 of an IMU at +-8 g and +-2000 degrees/s; the model was trained on standardized counts.\n"
    write(OUT, "watch", head, model, report, splits, names)

    # PyTorch's own answers on the later split: logits after every step, hidden states of the first ten recordings.
    later = splits["later"][0]
    with torch.no_grad():
        logits = np.concatenate([model(tensor(r)[None])[0].numpy() for r in later])
        hidden = np.concatenate([model.lstm(tensor(r)[None])[0][0].numpy() for r in later[:10]])
    np.savez_compressed(OUT / "pytorch.npz", logits=logits, hidden=hidden)


if __name__ == "__main__":
    main()
