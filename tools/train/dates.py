"""Trains tests/models/dates: an encoder and a decoder with attention, in Keras 3, from dates in five languages to ISO 8601.

    pip install -r tools/train/requirements.txt && python tools/train/dates.py

The texts are made by calendar_text.py. One day in ten, by its number, is never trained on in any layout.
"""

import os

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import collections
import json
import random

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from calendar_text import BEGIN, DAYS, END, LETTERS, LONGEST, SYMBOLS, sample
from common import ROOT, save_events

OUT = ROOT / "tests" / "models" / "dates"
UNITS = 64
MOST = 20  # steps of the decoder before it is given up
STEPS = 17  # the decoder's while it is trained: 16 symbols and the end
INDEX = {letter: k + 1 for k, letter in enumerate(LETTERS)}  # 0 is any other character


def encode(text):
    return [INDEX.get(letter, 0) for letter in text]


def network():
    """The model, and the same layers with masks, for texts that are filled up to one length in a batch."""
    text = layers.Input((None,), name="text")
    written = layers.Input((None,), name="written")
    letters = layers.Embedding(len(LETTERS) + 1, 24, name="letters")
    encoder = layers.LSTM(UNITS, return_sequences=True, name="encoder")
    symbols = layers.Embedding(len(SYMBOLS) + 2, 16, name="symbols")
    decoder = layers.LSTM(UNITS, return_sequences=True, name="decoder")
    attention = layers.Attention(name="attention")
    join = layers.Concatenate(name="join")
    symbol = layers.Dense(len(SYMBOLS) + 2, activation="softmax", name="symbol")

    def answer(text, written, mask=None):
        memory = encoder(letters(text), mask=mask)
        query = decoder(symbols(written))
        context = attention([query, memory], mask=None if mask is None else [None, mask])
        return symbol(join([query, context]))

    return keras.Model([text, written], answer(text, written), name="dates"), answer


def batch(samples):
    """Texts with a mask, what the decoder has written before each step, what it is to write, and weights."""
    x = np.zeros((len(samples), LONGEST), np.int32)
    mask = np.zeros((len(samples), LONGEST), bool)
    target = np.full((len(samples), STEPS), END, np.int32)
    for row, (text, iso, *_) in enumerate(samples):
        x[row, : len(text)] = encode(text)
        mask[row, : len(text)] = True
        target[row, : len(iso)] = [SYMBOLS.index(c) for c in iso]
    written = np.concatenate([np.full((len(samples), 1), BEGIN, np.int32), target[:, :-1]], 1)
    weight = (written != END).astype(np.float32)
    return x, mask, written, target, weight


def train(model, answer, days, generator, steps=14000, size=128, rate=5e-3):
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(2e-4, steps, warmup_target=rate, warmup_steps=300, alpha=0.005),
        weight_decay=0.01,
        global_clipnorm=1.0,
    )
    weights = model.trainable_variables

    @tf.function(jit_compile=True)
    def step(x, mask, written, target, weight):
        with tf.GradientTape() as tape:
            entropy = keras.losses.sparse_categorical_crossentropy(target, answer(x, written, mask))
            loss = tf.reduce_sum(entropy * weight) / tf.reduce_sum(weight)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    for k in range(steps):
        loss = step(*batch([sample(generator, days) for _ in range(size)]))
        if k % 250 == 0:
            print(f"step {k}: loss {float(loss):.4f}", flush=True)


def translate(answer, samples):
    """What the decoder writes when it reads its own symbols, greedily, up to the end or MOST of them."""
    x, mask, *_ = batch(samples)
    run = tf.function(answer)
    written = np.full((len(samples), MOST + 1), END, np.int32)
    written[:, 0] = BEGIN
    for k in range(MOST):
        # Later symbols have no part in the k-th answer.
        written[:, k + 1] = np.asarray(run(x, written[:, :-1], mask))[:, k].argmax(1)
    texts = []
    for row in written[:, 1:]:
        ends = np.flatnonzero(row == END)
        row = row[: ends[0]] if len(ends) else row
        texts.append("".join(SYMBOLS[s] if s < len(SYMBOLS) else "?" for s in row))
    return texts


def judge(answer, samples):
    """Exact matches: of all, by language, and of dates with and without a time."""
    hits = collections.defaultdict(list)
    for start in range(0, len(samples), 500):
        part = samples[start : start + 500]
        for (_, iso, language, _), text in zip(part, translate(answer, part)):
            for group in ("all", language, "with time" if "T" in iso else "without time"):
                hits[group].append(text == iso)
    return {group: {"exact": float(np.mean(h)), "texts": len(h)} for group, h in sorted(hits.items())}


def events(text, iso):
    """Letters for the encoder, then the begin and the symbols for the decoder, each with the symbol that is to follow."""
    after = [SYMBOLS.index(c) for c in iso] + [END]
    rows = [(0, np.array([letter], np.int16), -1) for letter in encode(text)]
    return rows + [(1, np.array([s], np.int16), n) for s, n in zip([BEGIN] + after[:-1], after)]


def main():
    keras.utils.set_random_seed(3)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()
    generator = random.Random(3)
    unseen = [day for day in range(DAYS) if day % 10 == 3]
    known = [day for day in range(DAYS) if day % 10 != 3]
    test = [sample(generator, unseen) for _ in range(4000)]

    model, answer = network()
    train(model, answer, known, generator)
    report = judge(answer, test)
    print(json.dumps(report, indent=1))

    OUT.mkdir(parents=True, exist_ok=True)
    model.save(OUT / "dates.keras")
    (OUT / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")
    # The decoder's symbols are the labels; the encoder's letters stand beside the model.
    (OUT / "letters.json").write_text(json.dumps({"first": 1, "letters": LETTERS}, ensure_ascii=False) + "\n")
    labels = ", ".join(f'"{s}"' for s in [*SYMBOLS, "begin", "end"])
    (OUT / "model.toml").write_text(
        "# Stream 0 takes letters, one a step: the place in letters.json plus 1, or 0 for any other. Stream 1 takes `begin`,\n"
        f"# then each symbol that was written; the attention sees the last {LONGEST} letters.\n"
        f"memory = {LONGEST}\nlabels = [{labels}]\n"
    )
    save_events(OUT / "test.npz", [events(text, iso) for text, iso, *_ in test[:1000]])
    calibration = [sample(generator, known) for _ in range(300)]
    save_events(OUT / "calibration.npz", [events(text, iso) for text, iso, *_ in calibration])
    texts = "".join(f"{text}\t{iso}\n" for text, iso, *_ in test[:1000])
    (OUT / "test.tsv").write_text(texts)

    # Keras's own outputs for the first texts, of the saved model: probabilities at each step of the decoder, and memories.
    saved = keras.models.load_model(OUT / "dates.keras")
    traced = keras.Model(saved.inputs, [saved.output, saved.get_layer("encoder").output, saved.get_layer("decoder").output])
    parts = []
    for text, iso, *_ in test[:20]:
        written = [BEGIN] + [SYMBOLS.index(c) for c in iso]
        parts.append([np.asarray(v)[0] for v in traced([np.array([encode(text)]), np.array([written])])])
    probabilities, encoder, decoder = (np.concatenate(p) for p in zip(*parts))
    np.savez_compressed(OUT / "framework.npz", probabilities=probabilities, encoder=encoder, decoder=decoder)


if __name__ == "__main__":
    main()
