"""Makes tests/models/keras: small untrained Keras networks in every layout that is imported, with Keras's own outputs.

    pip install -r tools/train/requirements.txt && pip install --no-deps tf_keras==2.21.0
    python tools/train/keras_zoo.py

Each network is built twice, by Keras 3 and by Keras 2 (`tf_keras`), and saved as `.keras` and some also as `.h5`. The
`.keras` files are packed again with compression, for Keras stores them without; what is in them is as Keras wrote it.
"""

import json
import os
import zipfile

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"

import keras
import numpy as np
import tf_keras

from common import ROOT

OUT = ROOT / "tests" / "models" / "keras"
STEPS, FEATURES, SEQUENCES = 12, 3, 3


def series(steps=STEPS, features=FEATURES):
    t = np.arange(steps)[None, :, None]
    x = np.sin(t * (0.3 + 0.2 * np.arange(features)) + np.arange(SEQUENCES)[:, None, None])
    return (x * 1.5 + 0.25).astype(np.float32)


def chain(k, *layers, shape=(None, FEATURES)):
    return k.Sequential([k.Input(shape), *layers])


def cells(k, l):
    """Every cell, in a stream of unknown length."""
    return chain(
        k,
        l.LSTM(5, return_sequences=True, recurrent_activation="hard_sigmoid", name="hard"),
        l.GRU(4, return_sequences=True, reset_after=True, name="after"),
        l.GRU(5, return_sequences=True, reset_after=False, recurrent_activation="hard_sigmoid", name="before"),
        l.SimpleRNN(4, return_sequences=True, name="simple"),
        l.LSTM(3, return_sequences=True, use_bias=False, name="unbiased"),
        l.GRU(4, return_sequences=True, use_bias=False, name="bare"),
        l.Dense(3, activation="hard_sigmoid", name="out"),
    )


def branches(k, l):
    """Two outputs, directions and sums."""
    x = k.Input((STEPS, FEATURES), name="x")
    a = l.Bidirectional(l.LSTM(4, return_sequences=True), merge_mode="sum", name="sum")(x)
    b = l.Bidirectional(l.GRU(4, return_sequences=True), merge_mode="ave", name="ave")(x)
    c = l.Bidirectional(l.SimpleRNN(2, return_sequences=True), name="concat")(x)
    y = l.Add(name="add")([a, b, c])
    z = l.Average(name="average")([a, c])
    y = l.Concatenate(name="join")([y, l.Subtract(name="minus")([z, b])])
    first = l.Dense(3, activation="softmax", name="first")(l.LSTM(4, name="last")(y))
    second = l.Activation("tanh", name="act")(l.Add(name="total")([z, c]))
    return k.Model(x, [first, second, l.Add(name="plain")([a, b]), y])


def norms(k, l):
    """Normalizations, layers that vanish, and activations on their own."""
    learned = l.Normalization(name="learned")
    learned.adapt(series() * 2 + 1)
    return chain(
        k,
        learned,
        l.Normalization(mean=[0.1, -0.2, 0.3], variance=[1.5, 0.5, 2.0], name="given"),
        l.Dense(4, use_bias=False, name="wide"),
        l.BatchNormalization(name="batch"),
        l.ReLU(name="relu"),
        l.SpatialDropout1D(0.2),
        l.TimeDistributed(l.Dense(4, activation="tanh"), name="each"),
        l.BatchNormalization(scale=False, center=False, name="bare"),
        l.GaussianNoise(0.1),
        l.LayerNormalization(name="layer"),
        l.ActivityRegularization(l2=0.1),
        l.LSTM(3, return_sequences=True, name="lstm"),
        l.Activation("sigmoid", name="act"),
        l.LayerNormalization(center=False, name="uncentred"),
        l.Rescaling(0.5, 0.25, name="rescaling"),
        l.Reshape((-1, 3), name="same"),
        l.Dense(3, name="out"),
        l.Softmax(name="soft"),
        shape=(None, FEATURES),
    )


def stream(k, l):
    """Convolutions that stream."""
    return chain(
        k,
        l.Conv1D(4, 3, padding="causal", dilation_rate=2, activation="tanh", name="dilated"),
        l.Conv1D(5, 2, padding="valid", strides=2, name="strided"),
        l.Activation("relu", name="act"),
        l.Conv1D(4, 1, padding="same", use_bias=False, name="point"),
        l.GRU(4, return_sequences=True, name="gru"),
        l.Conv1D(3, 2, padding="causal", name="late"),
    )


def flat(k, l):
    """A window that slides, since nothing before it has a state."""
    return chain(
        k,
        l.Conv1D(3, 2, activation="tanh", name="conv"),
        l.Flatten(name="flat"),
        l.Dense(3, name="out"),
        shape=(STEPS, FEATURES),
    )


def whole(k, l):
    """A window that is seen as a whole."""
    return chain(
        k,
        l.Conv1D(3, 3, strides=2, name="conv"),
        l.LSTM(3, return_sequences=True, name="lstm"),
        l.Flatten(name="flat"),
        l.Dense(4, activation="relu", name="wide"),
        l.Dense(2, activation="softmax", name="out"),
        shape=(STEPS, FEATURES),
    )


def words(k, l):
    """Indices of which 0 is masked."""
    return chain(
        k,
        l.Embedding(7, 3, mask_zero=True, name="table"),
        l.LSTM(4, return_sequences=True, name="lstm"),
        l.Bidirectional(l.GRU(3), name="both"),
        l.Dense(2, name="out"),
        shape=(STEPS,),
    )


def masked(k, l):
    """A Functional model with a mask: Keras 3 makes layers of it."""
    x = k.Input((None, FEATURES), name="x")
    y = l.Masking(-1.0, name="mask")(x)
    y = l.LSTM(4, return_sequences=True, name="one")(y)
    y = l.Dropout(0.3)(y)
    y = l.GRU(3, name="two")(y)
    return k.Model(x, l.Dense(2, name="out")(y))


def wrapped(k, l):
    """Cells in RNN, and all ways to walk backwards."""
    x = k.Input((STEPS, FEATURES), name="x")
    y = l.RNN(l.StackedRNNCells([l.LSTMCell(3), l.GRUCell(4), l.LSTMCell(3)]), return_sequences=True, name="stack")(x)
    y = l.Bidirectional(l.RNN(l.SimpleRNNCell(3), return_sequences=True), name="both")(y)
    y = l.GRU(4, return_sequences=True, go_backwards=True, name="back")(y)
    y = l.Dense(4, activation="tanh", name="mid")(y)
    y = l.LSTM(3, return_sequences=True, name="reversed")(y)
    y = l.LSTM(4, return_sequences=True, go_backwards=True, name="forth")(y)
    z = l.SimpleRNN(3, go_backwards=True, activation="sigmoid", name="start")(y)
    return k.Model(x, [y, l.Dense(2, name="out")(z)])


def pair(k, l):
    """Two inputs of the same steps, and directions that differ."""
    a, b = k.Input((STEPS, 2), name="a"), k.Input((STEPS, 1), name="b")
    y = l.Bidirectional(
        l.LSTM(3, return_sequences=True), backward_layer=l.GRU(3, return_sequences=True, go_backwards=True), name="both"
    )(a)
    z = l.LSTM(2, return_sequences=True, name="one")(b)
    y = l.LSTM(4, name="last")(l.Concatenate(name="join")([y, z, a]))
    return k.Model([a, b], l.Dense(2, name="out")(y))


def nested(k, l):
    """Models within the model, one of them frozen, and layers that are used twice."""
    x = k.Input((None, FEATURES), name="x")
    last = l.LSTM(4, return_sequences=True, name="r")
    inner = k.Sequential(
        [k.Input((None, FEATURES)), l.Dense(4, name="in"), l.BatchNormalization(name="n"), last], name="inner"
    )
    u, v = k.Input((None, 4), name="u"), k.Input((None, 4), name="v")
    dense = l.Dense(3, name="core_dense")(l.Concatenate(name="cat")([u, v]))
    core = k.Model([u, v], [l.Add(name="sum")([u, v]), dense], name="core")
    shared = l.Dense(4, activation="tanh", name="shared")
    a = shared(x)
    inner.get_layer("n").trainable = False
    b = inner(x)
    p, q = core([a, b])
    r = l.LSTM(3, return_sequences=True, name="end")(l.Concatenate(name="all")([p, q]))
    s = l.GRU(4, return_sequences=True, name="twice")
    t = l.GRU(3, name="tail")(s(p))
    return k.Model(x, [r, l.Dense(2, name="out")(t), s(b)])


def stateful(k, l):
    """A batch of one step with its state kept, as streaming models are saved."""
    return k.Sequential(
        [
            k.Input(batch_shape=(1, 1, FEATURES)) if k is keras else l.InputLayer(batch_input_shape=(1, 1, FEATURES)),
            l.LSTM(4, stateful=True, return_sequences=True, unroll=True, name="lstm"),
            l.Flatten(name="flat"),
            l.Dense(2, name="out"),
        ]
    )


def column(k, l):
    """One number a step, made a column."""
    return chain(k, l.Reshape((STEPS, 1), name="column"), l.GRU(4, name="gru"), l.Dense(2, name="out"), shape=(STEPS,))


def unknown(k, l):
    """Backwards over a window whose length the file does not tell."""
    return chain(k, l.Bidirectional(l.LSTM(3), name="both"), l.Dense(2, name="out"))


def attend(k, l):
    """What a last state looks up in the states before it: this streams."""
    x = k.Input((STEPS, FEATURES), name="x")
    h = l.LSTM(5, return_sequences=True, name="h")(x)
    v = l.GRU(4, return_sequences=True, name="v")(x)
    last = l.Dense(5, name="state")(l.GRU(4, name="last")(h))
    q = l.Reshape((1, 5), name="query")(last)
    a = l.Flatten(name="flat_a")(l.Attention(use_scale=True, name="dot")([q, h]))
    b = l.Flatten(name="flat_b")(l.AdditiveAttention(name="additive")([q, h]))
    c = l.Reshape((4,), name="flat_c")(l.Attention(name="apart")([q, v, h]))
    y = l.Concatenate(name="join")([a, b, c, last])
    return k.Model(x, [l.Dense(3, activation="softmax", name="out")(y), l.Multiply(name="gated")([a, b])])


def block(k, l):
    """Blocks of a transformer that see no later steps, and so stream."""
    x = k.Input((STEPS, FEATURES), name="x")
    y = l.Dense(6, name="in")(x)
    n = l.LayerNormalization(name="n1")(y)
    a = l.MultiHeadAttention(2, 3, name="one")(n, n, use_causal_mask=True)
    y = l.Add(name="r1")([y, a])
    n = l.LayerNormalization(name="n2")(y)
    y = l.Add(name="r2")([y, l.Dense(6, name="down")(l.Dense(8, activation="gelu", name="up")(n))])
    a = l.MultiHeadAttention(3, 2, value_dim=4, use_bias=False, output_shape=5, name="two")(y, x, key=n, use_causal_mask=True)
    b = l.Attention(use_scale=True, name="plain")([y, x, n], use_causal_mask=True)
    return k.Model(x, [l.Dense(4, activation="swish", name="out")(l.Concatenate(name="join")([a, b])), l.Average(name="mean")([y, n])])


def look(k, l):
    """Attention to steps before and after, over a window."""
    x = k.Input((STEPS, FEATURES), name="x")
    h = l.Bidirectional(l.LSTM(2, return_sequences=True), name="both")(x)
    g = l.GRU(4, return_sequences=True, name="g")(x)
    a = l.MultiHeadAttention(2, 3, name="heads")(h, h)
    b = l.Attention(score_mode="concat", use_scale=True, name="scaled")([g, h])
    c = l.Attention(score_mode="concat", name="concat")([g, h])
    d = l.AdditiveAttention(use_scale=False, name="additive")([h, g])
    e = l.MultiHeadAttention(2, 3, name="causal")(g, g, use_causal_mask=True)
    y = l.Concatenate(name="join")([a, b, c, d, e])
    return k.Model(x, [y, l.Dense(2, name="out")(l.GlobalAveragePooling1D(name="mean")(y))])


def translate(k, l):
    """A decoder that looks up what an encoder has seen, each with steps of its own."""
    x, y = k.Input((None,), name="x"), k.Input((None, 2), name="y")
    enc = l.LSTM(4, return_sequences=True, name="enc")(l.Embedding(7, 3, name="table")(x))
    dec = l.LSTM(4, return_sequences=True, name="dec")(y)
    a = l.Attention(name="dot")([dec, enc])
    b = l.AdditiveAttention(name="additive")([dec, enc])
    c = l.MultiHeadAttention(2, 3, name="heads")(dec, enc)
    z = l.Concatenate(name="join")([a, dec, b, c])
    return k.Model([x, y], l.Dense(5, activation="softmax", name="out")(z))


def rates(k, l):
    """Inputs of different lengths, and one of no steps, for one decision."""
    a, b, c = k.Input((STEPS, 3), name="a"), k.Input((4, 2), name="b"), k.Input((2,), name="c")
    one, two = l.LSTM(4, name="one")(a), l.GRU(3, name="two")(b)
    y = l.Concatenate(name="join")([l.Dense(3, activation="tanh", name="three")(c), one, two])
    return k.Model([a, b, c], l.Dense(2, name="out")(y))


def grouped(k, l):
    """Heads that share keys, RMS normalization, a sliding window: in Keras 3 only."""
    x = k.Input((STEPS, FEATURES), name="x")
    y = l.Dense(6, name="in")(x)
    n = l.RMSNormalization(name="n")(y)
    y = y + l.GroupQueryAttention(4, 4, 2, name="heads")(n, n, use_causal_mask=True)
    n = l.RMSNormalization(epsilon=1e-3, name="m")(y)
    y = n + l.MultiHeadAttention(2, 4, sliding_window=3, name="sliding")(query=n, value=n, use_causal_mask=True)
    y = l.RMSNormalization(name="r")(y)
    gate = l.Dense(6, activation="silu", name="gate")(y)
    return k.Model(x, l.Dense(3, activation="tanh", name="out")(gate * l.Dense(6, name="up")(y)))


def refused_mask(k, l):
    """Attention with a mask that follows from an embedding."""
    x = k.Input((STEPS,), name="x")
    h = l.LSTM(3, return_sequences=True, name="h")(l.Embedding(7, 3, mask_zero=True, name="table")(x))
    return k.Model(x, l.Attention(name="look")([h, h]))


def subclass(k, l):
    """A class of the user's that has the name of one of Keras's."""

    class LSTM(l.LSTM):
        pass

    return chain(k, LSTM(3, name="own"), l.Dense(2, name="out"))


def registered(k, l):
    """The same, made known to Keras."""

    @k.saving.register_keras_serializable("My")
    class GRU(l.GRU):
        pass

    return chain(k, l.Bidirectional(GRU(3), name="both"), l.Dense(2, name="out"))


def states(k, l):
    """A state that begins as another layer's ends."""
    x = k.Input((None, FEATURES), name="x")
    y, h, c = l.LSTM(3, return_sequences=True, return_state=True, name="first")(x)
    return k.Model(x, l.LSTM(3, name="second")(y, initial_state=[h, c]))


def constant(k, l):
    """An operator with a constant."""
    x = k.Input((None, FEATURES), name="x")
    return k.Model(x, l.GRU(3, name="gru")(x + 1.0))


def own_mask(k, l):
    """A mask that no layer has made."""
    x = k.Input((None, FEATURES), name="x")
    m = k.Input((None,), dtype="bool", name="m")
    return k.Model([x, m], l.GRU(3, name="gru")(x, mask=m))


def pooled(k, l):
    """Means over steps, a layer's last state, and branches that meet at the end of a window only."""
    x = k.Input((STEPS, FEATURES), name="x")
    y, h, _ = l.LSTM(3, return_sequences=True, return_state=True, name="lstm")(x)
    a = l.AveragePooling1D(3, strides=2, name="mean")(y)
    b = l.Conv1D(3, 2, strides=2, padding="causal", name="half")(l.AveragePooling1D(2, 1, name="two")(y))
    z = l.GRU(3, name="gru")(a)
    c = l.GlobalAveragePooling1D(name="all")(l.Conv1D(2, 3, name="conv")(x))
    return k.Model(x, [l.Dense(2, name="out")(l.Concatenate(name="join")([z, h, c])), b])


def operator(k, l):
    """Operators on tensors, in Keras 3 only."""
    x = k.Input((None, FEATURES), name="x")
    y = l.GRU(3, return_sequences=True, name="one")(x)
    y = y + x
    y = y - l.LSTM(3, return_sequences=True, name="two")(y)
    return k.Model(x, y)


def cudnn(k, l, recurrent=None):
    """Layers of old .h5 files, which run on one kind of processor only, or those that Keras reads them as."""
    if recurrent is None:
        from tf_keras.src.layers.rnn.cudnn_gru import CuDNNGRU
        from tf_keras.src.layers.rnn.cudnn_lstm import CuDNNLSTM

        recurrent = (CuDNNLSTM, CuDNNGRU)
    return chain(
        k,
        recurrent[0](3, return_sequences=True, name="lstm"),
        recurrent[1](4, return_sequences=True, name="gru"),
        l.Dense(2, name="out"),
    )


def samples(name):
    rng = np.random.default_rng(7)
    if name == "words":
        x = rng.integers(1, 7, (SEQUENCES, STEPS)).astype(np.float32)
        x[1, 8:] = 0
        x[2, 3:5] = 0
        return x
    if name == "masked":
        x = series()
        x[1, 9:] = -1
        x[2, 4:7] = -1
        return x
    if name == "translate":
        return [rng.integers(0, 7, (SEQUENCES, STEPS, 1)).astype(np.float32), series(7, 2)]
    if name == "rates":
        return [series(), series(4, 2), series(1, 2)]
    if name == "column":
        return series()[:, :, 0]
    return series()


def randomize(model):
    """Random weights large enough to move the gates."""
    rng = np.random.default_rng(5)

    def random(v, w):
        # What a Normalization has adapted to: it would not heed a change.
        if v.split(":")[0] in ("mean", "variance", "count"):
            return w
        if "variance" in v:
            return np.abs(w * 0.5 + rng.normal(0.5, 0.2, w.shape)) + 0.1
        return w * 1.5 + rng.normal(0, 0.25, w.shape)

    model.set_weights([random(v.name, w).astype(w.dtype) for v, w in zip(model.weights, model.get_weights())])
    return model


def predict(name, model, x):
    if name == "pair":
        y = model.predict([x[:, :, :2], x[:, :, 2:]], verbose=0)
    elif name == "translate":
        y = model.predict([x[0][:, :, 0], x[1]], verbose=0)
    elif name == "rates":
        y = model.predict([x[0], x[1], x[2][:, 0]], verbose=0)
    elif name == "stateful":
        rows = []
        for sequence in x:
            layer = model.layers[0]
            layer.reset_state() if hasattr(layer, "reset_state") else layer.reset_states()
            rows.append([model.predict(sample[None, None], verbose=0)[0] for sample in sequence])
        y = np.array(rows)
    else:
        y = model.predict(x, verbose=0)
    return y if isinstance(y, list) else [y]


def pack(path):
    """The same files in the zip, compressed and with no time of their own."""
    with zipfile.ZipFile(path) as old:
        files = [(n, old.read(n)) for n in old.namelist()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as new:
        for name, data in files:
            new.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED, 9)


ALL = [cells, branches, norms, stream, flat, whole, words, masked]
ALL += [wrapped, pair, nested, stateful, column, unknown, pooled]
ALL += [attend, block, look, translate, rates]
# Those that are saved as whole .h5 models too: where layers in layers could mix up the names of weights.
NAMED = {3: ["norms", "nested", "look", "grouped"], 2: ["branches", "nested", "look", "attend"]}
# Those that are refused.
REFUSED = [subclass, registered, states, constant, own_mask, refused_mask]


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    for version, k in ((3, keras), (2, tf_keras)):
        for build in ALL + [operator, grouped] * (version == 3):
            name = build.__name__
            k.backend.clear_session()
            k.utils.set_random_seed(3)
            model = randomize(build(k, k.layers))
            stem = OUT / f"{name}{version}"
            x = samples(name)
            y = {f"y{i}": v for i, v in enumerate(predict(name, model, x))}
            if isinstance(x, list):
                x = {f"x{i}": v for i, v in enumerate(x)}
            else:
                x = {"x": x if x.ndim == 3 else x[:, :, None]}
            np.savez_compressed(f"{stem}.npz", **x, **y)
            model.save(f"{stem}.keras")
            pack(f"{stem}.keras")
            if name in NAMED[version]:
                model.save(f"{stem}.h5")
            if name == "whole":
                model.save_weights(f"{stem}.weights.h5")
                (OUT / f"{name}{version}.json").write_text(model.to_json())
            if name == "wrapped" and version == 2:
                model.save_weights(f"{stem}.h5")
                (OUT / f"{name}{version}.json").write_text(json.dumps(model.to_json()))
        for build in REFUSED:
            k.backend.clear_session()
            path = OUT / f"refused_{build.__name__.removeprefix('refused_')}{version}.keras"
            build(k, k.layers).save(path)
            pack(path)
    model = randomize(cudnn(tf_keras, tf_keras.layers))
    model.save(OUT / "cudnn2.h5")
    same = cudnn(tf_keras, tf_keras.layers, (tf_keras.layers.LSTM, tf_keras.layers.GRU))
    same.load_weights(OUT / "cudnn2.h5")
    np.savez_compressed(OUT / "cudnn2.npz", x=series(), y0=same.predict(series(), verbose=0))


if __name__ == "__main__":
    main()
