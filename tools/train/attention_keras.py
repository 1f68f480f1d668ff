"""Makes tests/models/attention/keras: small untrained networks with every form of attention of Keras 3, and its outputs.

    pip install -r tools/train/requirements.txt && pip install --no-deps tf_keras==2.21.0
    python tools/train/attention_keras.py

Each sees a window of 12 steps; NAME.npz holds `x` (sequences, steps, features) and `y0`, the outputs at every step, or of the
window.
"""

import keras_zoo as zoo  # first: it chooses the backend
import keras
import numpy as np
from keras import layers as l

from common import ROOT

OUT = ROOT / "tests" / "models" / "attention" / "keras"


def over(join, units=4):
    """An LSTM, attention, both joined, and a dense layer."""

    def build():
        x = l.Input((zoo.STEPS, zoo.FEATURES), name="x")
        h = l.LSTM(units, return_sequences=True, name="lstm")(x)
        found = join(x, h)
        return keras.Model(x, l.Dense(3, activation="tanh", name="out")(l.Concatenate(name="join")([h, found])))

    return build


def alike(layer, **call):
    """Attention of the states to themselves."""
    return over(lambda x, h: layer([h, h], **call))


def apart(layer):
    """Query, values and keys of their own."""

    def join(x, h):
        values = l.Dense(5, name="values")(h)
        keys = l.GRU(4, return_sequences=True, name="keys")(x)
        return layer([h, values, keys])

    return over(join)


def heads(**more):
    return l.MultiHeadAttention(**{"num_heads": 2, "key_dim": 3, "name": "attention"} | more)


def memory(x, units=5):
    return l.GRU(units, return_sequences=True, name="memory")(x)


def last_asks():
    """The last state asks once, over the whole window."""
    x = l.Input((zoo.STEPS, zoo.FEATURES), name="x")
    h, last, _ = l.LSTM(4, return_sequences=True, return_state=True, name="lstm")(x)
    found = l.Attention(name="attention")([l.Reshape((1, 4), name="query")(last), h])
    return keras.Model(x, l.Dense(3, name="out")(l.Concatenate(name="join")([last, l.Flatten(name="flat")(found)])))


def block():
    """A block of a transformer as Keras's own examples build it."""
    x = l.Input((zoo.STEPS, zoo.FEATURES), name="x")
    y = l.Dense(6, name="enter")(x)
    a = l.MultiHeadAttention(2, 3, name="attention")(y, y, use_causal_mask=True)
    y = l.LayerNormalization(epsilon=1e-6, name="norm1")(l.Add(name="add1")([y, a]))
    f = l.Dense(6, name="down")(l.Dense(10, activation="gelu", name="up")(y))
    y = l.LayerNormalization(epsilon=1e-6, name="norm2")(l.Add(name="add2")([y, f]))
    return keras.Model(x, l.Dense(3, name="out")(y))


def gated():
    """RMSNormalization, a product, and the activations that transformers have."""
    x = l.Input((zoo.STEPS, zoo.FEATURES), name="x")
    y = l.RMSNormalization(name="rms")(l.Dense(6, name="enter")(x))
    y = l.Multiply(name="product")([l.Dense(5, activation="silu", name="gate")(y), l.Dense(5, name="up")(y)])
    y = l.Dense(4, activation="gelu", name="gelu")(y)
    return keras.Model(x, l.Activation("swish", name="out")(y))


MODELS = {
    "dot": alike(l.Attention(name="attention")),
    "dot_scale": alike(l.Attention(use_scale=True, name="attention")),
    "dot_causal": alike(l.Attention(name="attention"), use_causal_mask=True),
    "dot_apart": apart(l.Attention(use_scale=True, name="attention")),
    "concat": alike(l.Attention(score_mode="concat", name="attention")),
    "concat_scale": alike(l.Attention(score_mode="concat", use_scale=True, name="attention")),
    "additive": alike(l.AdditiveAttention(name="attention")),
    "additive_plain": alike(l.AdditiveAttention(use_scale=False, name="attention")),
    "additive_causal": alike(l.AdditiveAttention(name="attention"), use_causal_mask=True),
    "additive_apart": apart(l.AdditiveAttention(name="attention")),
    "heads": over(lambda x, h: heads()(h, h)),
    "heads_causal": over(lambda x, h: heads()(h, h, use_causal_mask=True)),
    "heads_cross": over(lambda x, h: heads()(h, memory(x))),
    "heads_cross_causal": over(lambda x, h: heads()(h, memory(x), use_causal_mask=True)),
    "heads_apart": over(lambda x, h: heads(value_dim=2, output_shape=5)(h, l.Dense(5, name="values")(h), key=memory(x, 4))),
    "heads_unbiased": over(lambda x, h: heads(use_bias=False)(h, h)),
    "grouped": over(
        lambda x, h: l.GroupQueryAttention(head_dim=3, num_query_heads=4, num_key_value_heads=2, name="attention")(h, h)
    ),
    "last_asks": last_asks,
    "block": block,
    "gated": gated,
}


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for name, build in MODELS.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(3)
        model = zoo.randomize(build())
        model.save(OUT / f"{name}.keras")
        zoo.pack(OUT / f"{name}.keras")
        saved = keras.models.load_model(OUT / f"{name}.keras")
        x = zoo.series()
        y = saved.predict(x, verbose=0)
        assert np.abs(y - model.predict(x, verbose=0)).max() < 1e-6
        np.savez_compressed(OUT / f"{name}.npz", x=x, y0=y)
        print(name, y.shape, float(y.std()))


if __name__ == "__main__":
    main()
