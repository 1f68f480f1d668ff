"""Trains tests/models/lane: a PyTorch LSTM(16) and Linear(3) that tell vehicles in a lane, and their direction, by a magnetometer.

    pip install -r tools/train/requirements.txt && python tools/train/lane.py

The series are simulated, from seeds: no recording of a magnetometer with labels was found in a package. A vehicle is a magnetic
dipole that passes the sensor in a straight line, most of it vertical as the Earth's field induces it. Counts are an LSM303DLHC's
at 1.3 gauss; a magnet beside the sensor keeps all axes positive, for the emulated part's inputs cannot be negative.
"""

import json

import numpy as np
import torch

from common import ROOT, counts, save_sequences
from watch import write

OUT = ROOT / "tests" / "models" / "lane"
RATE = 25  # samples a second
GAIN = np.array([1100.0, 1100.0, 980.0])  # counts a gauss
FIELD = np.array([0.55, 0.50, 0.60])  # gauss: the Earth's and the magnet's
LABELS = ("free", "east", "west")
FAR_LANE = 5.5  # metres; who drives there is not counted
HEIGHT = 0.8  # metres; the sensor lies in the ground, a vehicle as a dipole that high above it
STEPS, TEST_SEQUENCES, TEST_STEPS = 3000, 4, 1500


def dipole(moment, r):
    """The field in gauss at places `r` in metres from a dipole in A m^2."""
    d = np.linalg.norm(r, axis=1, keepdims=True)
    return 1e-3 * (3 * r * (r @ moment)[:, None] / d**5 - moment / d**3)


def vehicle(t, at, far, rng):
    """The field of one that is nearest at the time `at`, and where it stands in for a label: 0 is free."""
    east = rng.random() < 0.5
    distance = FAR_LANE if far else rng.uniform(1.2, 2.5)
    # Permanent magnetism lies as it likes; the induced part points down with the Earth's field.
    moment = rng.normal(0, 30, 3) + [0, 0, 250 * 2 ** rng.uniform(-1, 1)]
    x = rng.uniform(2, 14) * (t - at) * (1 if east else -1)
    r = np.stack([-x, np.full_like(x, distance), np.full_like(x, -HEIGHT)], 1)
    near = np.abs(x) < 1.2 * distance
    return dipole(moment, r), np.where(near & (not far), 1 if east else 2, 0)


def series(steps, rng):
    """Counts (steps, 3) and labels of a lane."""
    t = np.arange(steps) / RATE
    y = np.zeros(steps, int)
    # Temperature makes the field wander, and a vehicle that parks nearby shifts it.
    field = FIELD * np.exp(rng.normal(0, 0.04, 3)) + np.cumsum(rng.normal(0, 1.5e-4, (steps, 3)), 0)
    for at in np.cumsum(rng.exponential(25, 1 + steps // 200)):
        field += rng.normal(0, 0.012, 3) * (0.5 + 0.5 * np.tanh(2 * (t - at)))[:, None]
    at = rng.exponential(4)
    while at < t[-1]:
        passing, label = vehicle(t, at, rng.random() < 0.3, rng)
        field += passing
        y = np.where(label > 0, label, y)
        at += 2.5 + rng.exponential(4)
    return counts((field + rng.normal(0, 1.5e-3, field.shape)) * GAIN), y


class Lane(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(3, 16, batch_first=True)
        self.fc = torch.nn.Linear(16, 3)

    def forward(self, x):
        hidden, _ = self.lstm(x)
        return self.fc(hidden)


def train(model, tensor, rng, size=32, length=300):
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=STEPS)
    loss_of = torch.nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0, 2.0]))
    for step in range(STEPS):
        c, y = zip(*(series(length, rng) for _ in range(size)))
        logits = model(torch.stack([tensor(s) for s in c]))
        loss = loss_of(logits.reshape(-1, 3), torch.from_numpy(np.concatenate(y)))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


# What it is worth, beside what needs no network.


def deviation(c, window):
    """How far each reading lies from the mean of the last `window` before it, in counts."""
    c = c.astype(np.float64)
    sums = np.cumsum(np.concatenate([np.zeros((1, 3)), c]), 0)
    first = np.maximum(0, np.arange(len(c)) - window)
    before = (sums[np.arange(len(c))] - sums[first]) / np.maximum(1, np.arange(len(c)) - first)[:, None]
    before[0] = c[0]
    return np.linalg.norm(c - before, axis=1)


def hits(flags, vehicles):
    true = int((flags & vehicles).sum())
    precision, recall = true / max(1, int(flags.sum())), true / max(1, int(vehicles.sum()))
    return {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(1e-9, precision + recall)}


def judged(answers, test, training):
    truth = np.concatenate([y for _, y in test])
    both = (answers > 0) & (truth > 0)
    report = {"accuracy": float((answers == truth).mean()), "vehicle": hits(answers > 0, truth > 0)}
    report["direction"] = float((answers == truth)[both].mean())
    join = lambda lane, window: np.concatenate([deviation(c, window) for c, _ in lane])
    known = np.concatenate([y for _, y in training]) > 0
    rules = ((hits(join(training, w) >= k, known)["f1"], w, k) for w in (12, 25, 50, 100, 200) for k in range(4, 60))
    _, window, threshold = max(rules)
    baseline = {"window": window, "threshold": threshold, **hits(join(test, window) >= threshold, truth > 0)}
    return report | {"baseline_deviation": baseline}


def main():
    torch.manual_seed(5)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    rng, others = np.random.default_rng(5), np.random.default_rng(6)
    test = [series(TEST_STEPS, others) for _ in range(TEST_SEQUENCES)]
    calibration = [series(200, others) for _ in range(80)]  # many levels of the field
    assert all(c.min() > 0 and c.max() < 2048 for c, _ in test + calibration)
    mean, std = FIELD * GAIN, np.full(3, 12.0)
    tensor = lambda c: torch.from_numpy(((c - mean) / std).astype(np.float32))

    model = Lane()
    train(model, tensor, rng)
    model.eval()
    with torch.no_grad():
        logits = np.concatenate([model(tensor(c)[None])[0].numpy() for c, _ in test])
    report = judged(logits.argmax(1), test, calibration)
    print(json.dumps(report, indent=1))

    head = "# Raw counts are an LSM303DLHC's at 1.3 gauss: int16, 1100 a gauss, 980 of z.\n"
    write(OUT, "lane", head, model, report, {}, (LABELS, ("mx", "my", "mz"), 1 / std, -mean / std))
    (OUT / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, lane in (("test", test), ("calibration", calibration)):
        save_sequences(OUT / f"{name}.npz", [c for c, _ in lane], np.concatenate([y for _, y in lane]))
    np.savez_compressed(OUT / "pytorch.npz", logits=logits)


if __name__ == "__main__":
    main()
