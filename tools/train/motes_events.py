"""More events than the data has: those of tests/models/motes at other places, strengths and tempos, in integers.

    cargo build --release -p cellstate-convert && python tools/train/motes_events.py

Needs numpy. The event of test mote 1, which was not trained on, is added to quiet readings of both test motes, which were not
trained on either. All go through `cellstate run` on `motes.cell`, whose outputs are the device's bit for bit. Thresholds of the
baselines come from the training motes: the best ones (`accuracy.json`), and the smallest that raises no alarm outside of an event.
"""

import csv
import io
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from common import ROOT, counts, save_sequences

MODEL = ROOT / "tests" / "models" / "motes"
STRENGTHS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
TEMPOS = (1 / 2, 1, 2, 4)  # times as long
PLACES = 20  # of each strength and tempo
BEFORE, AFTER = 100, 60  # readings of a sequence before the event, and after one at tempo 1


def profile(degrees, labels):
    """The event above the line from its start to its end, in counts."""
    rows = np.flatnonzero(labels)
    event = degrees[rows[0] - 1 : rows[-1] + 1].astype(float)
    return event - np.linspace(event[0], event[-1], len(event))


def run(sequences, labels):
    """Whether the model flags each reading."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.npz"
        save_sequences(path, [s[:, None] for s in sequences], np.concatenate(labels))
        command = [ROOT / "target/release/cellstate", "run", MODEL / "motes.cell", "--input", path, "--raw", "--per", "step"]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    event = np.array([float(row["event"]) for row in csv.DictReader(io.StringIO(text))])
    return np.split(event > 0.5, np.cumsum([len(s) for s in sequences])[:-1])


def alarms(flags):
    return np.flatnonzero(np.diff(np.r_[0, flags.astype(int)]) == 1)


def main():
    rng = np.random.default_rng(3)
    data, accuracy = np.load(MODEL / "test.npz"), json.loads((MODEL / "accuracy.json").read_text())
    ends = np.cumsum(data["lengths"])[:-1]
    motes = list(zip(np.split(data["x"][:, 0], ends), np.split(data["y"], ends)))
    shape = profile(*next(m for m in motes if m[1].any()))

    made = []
    for strength in STRENGTHS:
        for tempo in TEMPOS:
            length = int(len(shape) * tempo)
            event = strength * np.interp(np.linspace(0, len(shape) - 1, length), np.arange(len(shape)), shape)
            for place in range(PLACES):
                x, y = motes[place % len(motes)]
                while True:
                    start = rng.integers(len(x) - BEFORE - length - AFTER)
                    window = slice(start, start + BEFORE + length + AFTER)
                    if not y[window].any():
                        break
                at = np.r_[np.zeros(BEFORE), event, np.zeros(AFTER)]
                made.append((strength, tempo, counts(x[window] + at), (np.abs(at) > 0).astype(int)))
    sequences, labels = [c for *_, c, _ in made], [y for *_, y in made]

    trained = np.load(MODEL / "calibration.npz")
    ends = np.cumsum(trained["lengths"])[:2]
    series = list(zip(np.split(trained["x"][:, 0], ends), np.split(trained["y"], ends)))[:2]
    never = 1 + max(int((np.abs(np.diff(x)) * (y[1:] + y[:-1] == 0)).max()) for x, y in series)
    difference = lambda threshold: lambda some, _: [np.abs(np.diff(s, prepend=s[:1])) >= threshold for s in some]
    best = {name: accuracy[f"baseline_{name}"]["threshold"] for name in ("difference", "level")}
    rules = {
        "model": run,
        f"difference of {best['difference']:.0f} or more": difference(best["difference"]),
        f"difference of {never} or more": difference(never),
        f"{best['level']:.0f} or more": lambda some, _: [s >= best["level"] for s in some],
    }
    hours = sum(len(x) - y.sum() for x, y in motes) * 5 / 3600
    print(f"{len(made)} events, {len(TEMPOS) * PLACES} of each strength; {hours:.1f} hours of quiet readings")
    print("strength " + "".join(f"{f'1/{1 / s:g}':>12}" for s in STRENGTHS))
    for name, rule in rules.items():
        whole = rule([x for x, _ in motes], [y for _, y in motes])
        outside = sum(sum(not y[max(0, k - 1) : k + 2].any() for k in alarms(f)) for f, (_, y) in zip(whole, motes))
        late = {s: [] for s in STRENGTHS}
        for (strength, *_), flags in zip(made, rule(sequences, labels)):
            late[strength] += list(np.flatnonzero(flags[BEFORE:-AFTER])[:1])
        print(f"{name}: alarms in quiet readings: {outside}")
        print("  found  " + "".join(f"{len(k):12}" for k in late.values()))
        print("  after  " + "".join(f"{np.median(k) if k else np.nan:12.1f}" for k in late.values()))


if __name__ == "__main__":
    main()
