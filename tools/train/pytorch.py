"""Makes tests/models/pytorch: small untrained networks in every form that PyTorch saves, with PyTorch's own outputs.

    pip install -r tools/train/requirements.txt && python tools/train/pytorch.py

A model is saved as NAME.pt, .ckpt or .safetensors, with NAME.toml if it needs a map. NAME.npz holds `x`, the steps of all
sequences after one another, `lengths`, and `y0`, `y1`, ...: the rows of each output, one a step, or one a window.
"""

import argparse
import zlib

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from common import ROOT

OUT = ROOT / "tests" / "models" / "pytorch"
BATCH, STEPS, FEATURES = 3, 16, 5


class Net(nn.Module):
    """Modules by name, and what they compute."""

    def __init__(self, run, **modules):
        super().__init__()
        for name, module in modules.items():
            self.add_module(name, module)
        self.run = run

    def forward(self, x):
        return self.run(self, x)


def over_time(module, x):
    """What works on (batch, channels, steps), on (batch, steps, channels)."""
    return module(x.transpose(1, 2)).transpose(1, 2)


def both_final(state):
    """The final states of both directions of the last layer."""
    h = state[0] if isinstance(state, tuple) else state
    return torch.cat([h[-2], h[-1]], 1)


def entry(name, **more):
    lines = ["[[layer]]", f'name = "{name}"']
    for key, value in more.items():
        text = str(value).lower() if isinstance(value, bool) else repr(value).replace("'", '"')
        lines.append(f"{key.rstrip('_')} = {text}")
    return "\n".join(lines) + "\n"


def window(steps=STEPS):
    return f"window = {steps}\n\n"


def inputs(symbols=0):
    t = np.arange(STEPS)[None, :, None]
    x = np.sin(t * (0.2 + 0.11 * np.arange(FEATURES)) + np.arange(BATCH)[:, None, None]) * 1.5 + 0.25
    if symbols:
        x = (np.arange(BATCH * STEPS).reshape(BATCH, STEPS, 1) * 7 + 3) % symbols
    return torch.from_numpy(x.astype(np.float32))


def finish(model, name, dtype, spread):
    """Weights by the model's name, large enough to move the gates, which `dtype` holds exactly; statistics as if trained."""
    random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(p.new_empty(p.shape).normal_(0, spread, generator=random).to(dtype))
        for key, b in model.named_buffers():
            if key.endswith("running_mean"):
                b.normal_(0, 0.5, generator=random)
            elif key.endswith("running_var"):
                b.uniform_(0.3, 3, generator=random)
    return model.eval()


def save(name, model, file, toml=None, symbols=0, write=None, dtype=torch.float32, spread=0.7):
    model = finish(model, name, dtype, spread)
    x = inputs(symbols)
    with torch.no_grad():
        y = model(x.to(next(model.parameters()).dtype))
    outputs = y if isinstance(y, tuple) else (y,)
    rows = {f"y{k}": o.double().numpy().astype(np.float32).reshape(-1, o.shape[-1]) for k, o in enumerate(outputs)}
    np.savez_compressed(
        OUT / f"{name}.npz", x=x.reshape(-1, x.shape[-1]).numpy(), lengths=np.full(BATCH, STEPS), **rows
    )
    path = OUT / f"{name}.{file}"
    if write:
        write(model, path)
    elif file == "safetensors":
        save_file(model.state_dict(), path)
    else:
        torch.save(model.state_dict(), path)
    if toml:
        (OUT / f"{name}.toml").write_text("\n".join(toml) if isinstance(toml, list) else toml)


def recurrent():
    """Every recurrent layer, stacked and in both directions."""
    lstm = lambda *a, **k: nn.LSTM(*a, batch_first=True, **k)
    gru = lambda *a, **k: nn.GRU(*a, batch_first=True, **k)
    rnn = lambda *a, **k: nn.RNN(*a, batch_first=True, **k)
    every = lambda m, x: m.fc(m.rnn(x)[0])
    hidden = lambda m, x: m.fc(both_final(m.rnn(x)[1]))
    final = lambda m, x: m.fc(m.rnn(x)[0][:, -1])

    save("lstm", Net(every, rnn=lstm(FEATURES, 6), fc=nn.Linear(6, 3)), "pt")
    save("lstm_no_bias", Net(every, rnn=lstm(FEATURES, 6, bias=False), fc=nn.Linear(6, 3, bias=False)), "safetensors")
    save(
        "lstm_stacked",
        Net(
            lambda m, x: m.top(F.relu(m.mid(m.rnn(x)[0]))).softmax(-1),
            rnn=lstm(FEATURES, 6, num_layers=3, dropout=0.2),
            drop=nn.Dropout(0.5),
            mid=nn.Linear(6, 5),
            top=nn.Linear(5, 3, bias=False),
        ),
        "pth",
        [entry("rnn"), entry("mid", activation="relu"), entry("top", activation="softmax")],
    )
    save("lstm_projected", Net(every, rnn=lstm(FEATURES, 6, num_layers=2, proj_size=4), fc=nn.Linear(4, 3)), "pt")
    save(
        "bilstm_hidden",
        Net(hidden, rnn=lstm(FEATURES, 5, num_layers=2, bidirectional=True), fc=nn.Linear(10, 3)),
        "pt",
        [window() + entry("rnn", last="hidden"), entry("fc")],
    )
    save(
        "bilstm_output",
        Net(final, rnn=lstm(FEATURES, 5, num_layers=2, bidirectional=True), fc=nn.Linear(10, 3)),
        "safetensors",
        [window() + entry("rnn", last="output"), entry("fc")],
    )
    save(
        "bilstm_then_lstm",
        Net(
            lambda m, x: m.fc(m.second(m.first(x)[0])[0][:, -1]),
            first=lstm(FEATURES, 4, bidirectional=True),
            second=lstm(8, 5),
            fc=nn.Linear(5, 3),
        ),
        "pt",
        [window() + entry("first"), entry("second", last=True), entry("fc")],
    )
    save(
        "bilstm_head_last",
        Net(
            lambda m, x: m.fc(m.norm(m.rnn(x)[0]))[:, -1].tanh(),
            rnn=lstm(FEATURES, 4, bidirectional=True, proj_size=3),
            norm=nn.LayerNorm(6),
            fc=nn.Linear(6, 3),
        ),
        "pt",
        [window() + entry("rnn"), entry("norm", kind="layernorm"), entry("fc", activation="tanh", last=True)],
    )
    save("bilstm_bare", Net(lambda m, x: m.rnn(x)[0][:, -1], rnn=lstm(FEATURES, 4, bidirectional=True)), "pt",
         window() + entry("rnn", last="output") + '\n[[output]]\nlayer = "rnn"\nlabels = ["a", "b", "c", "d", "e", "f", "g", "h"]\n')
    save("gru", Net(every, rnn=gru(FEATURES, 6, num_layers=2), fc=nn.Linear(6, 3)), "safetensors")
    save("gru_no_bias", Net(every, rnn=gru(FEATURES, 6, bias=False), fc=nn.Linear(6, 3)), "pt")
    save(
        "bigru_hidden",
        Net(hidden, rnn=gru(FEATURES, 5, num_layers=2, bidirectional=True), fc=nn.Linear(10, 3)),
        "pt",
        [window() + entry("rnn", last="hidden"), entry("fc")],
    )
    save("rnn_tanh", Net(every, rnn=rnn(FEATURES, 6, num_layers=2), fc=nn.Linear(6, 3)), "pt",
         [entry("rnn", nonlinearity="tanh"), entry("fc")])
    save(
        "birnn_relu",
        Net(final, rnn=rnn(FEATURES, 3, nonlinearity="relu", bidirectional=True), fc=nn.Linear(6, 3)),
        "safetensors",
        [window() + entry("rnn", nonlinearity="relu", last="output"), entry("fc")],
        spread=0.4,  # what is not bounded must not grow
    )

    begun = Net(
        lambda m, x: m.fc(both_final(m.gru(m.rnn(x, (m.h.expand(-1, BATCH, -1), m.c.expand(-1, BATCH, -1)))[0], m.gru.h.repeat(1, BATCH, 1))[1])),
        rnn=lstm(FEATURES, 4, num_layers=2, bidirectional=True, proj_size=3),
        gru=gru(6, 4, bidirectional=True),
        fc=nn.Linear(8, 3),
    )
    begun.h, begun.c = nn.Parameter(torch.zeros(4, 1, 3)), nn.Parameter(torch.zeros(4, 1, 4))
    begun.gru.h = nn.Parameter(torch.zeros(2, 1, 4))
    save(
        "begun",
        begun,
        "pt",
        [window() + entry("rnn", initial=["h", "c"]), entry("gru", initial=["gru.h"], last="hidden"), entry("fc")],
    )

    def cells(m, x):
        h = [torch.zeros(BATCH, n) for n in (6, 6, 5, 4)]
        out = []
        for t in range(STEPS):
            h[0], h[1] = m.one(x[:, t], (h[0], h[1]))
            h[2] = m.two(h[0], h[2])
            h[3] = m.three(h[2], h[3])
            out.append(m.fc(h[3]))
        return torch.stack(out, 1)

    save(
        "cells",
        Net(cells, one=nn.LSTMCell(FEATURES, 6), two=nn.GRUCell(6, 5), three=nn.RNNCell(5, 4, bias=False), fc=nn.Linear(4, 3)),
        "pt",
        [entry("one"), entry("two"), entry("three", nonlinearity="tanh"), entry("fc")],
    )


def around():
    """What stands before and behind a recurrent layer."""
    gru = lambda *a, **k: nn.GRU(*a, batch_first=True, **k)
    save(
        "embedding",
        Net(lambda m, x: m.fc(m.rnn(m.table(x[..., 0].long()))[0]), table=nn.Embedding(12, 4), rnn=gru(4, 4), fc=nn.Linear(4, 12)),
        "pt",
        [entry("table", kind="embedding"), entry("rnn"), entry("fc")],
        symbols=12,
    )
    save(
        "embedding_alone",
        Net(lambda m, x: m.rnn(m.table(x[..., 0].long()))[0], table=nn.Embedding(12, 4), rnn=gru(4, 3)),
        "safetensors",
        symbols=12,
    )
    save(
        "norms",
        Net(
            lambda m, x: F.hardsigmoid(m.fc(over_time(m.norm2, m.rnn(F.relu(m.norm1(m.into(over_time(m.norm0, x)))))[0]).tanh())),
            norm0=nn.BatchNorm1d(FEATURES, affine=False, eps=1e-3),
            into=nn.Linear(FEATURES, 6),
            norm1=nn.LayerNorm(6),
            rnn=gru(6, 5),
            norm2=nn.BatchNorm1d(5),
            fc=nn.Linear(5, 3),
        ),
        "pt",
        [
            entry("norm0", epsilon=0.001),
            entry("into"),
            entry("norm1", kind="layernorm", activation="relu"),
            entry("rnn"),
            entry("norm2"),
            entry("squash", kind="activation", activation="tanh"),
            entry("fc", activation="hardsigmoid"),
        ],
    )
    save(
        "conv_causal",
        Net(
            lambda m, x: m.fc(m.rnn(over_time(m.conv, F.pad(x, (0, 0, 4, 0))).relu())[0]),
            conv=nn.Conv1d(FEATURES, 7, 3, dilation=2),
            rnn=gru(7, 5),
            fc=nn.Linear(5, 3),
        ),
        "safetensors",
        [entry("conv", padding="causal", dilation=2, activation="relu"), entry("rnn"), entry("fc")],
    )
    save(
        "conv_valid",
        Net(
            lambda m, x: m.fc(m.rnn(over_time(m.point, over_time(m.depth, x).tanh()))[0]),
            depth=nn.Conv1d(FEATURES, 2 * FEATURES, 4, stride=2, groups=FEATURES),
            point=nn.Conv1d(2 * FEATURES, 4, 1, bias=False),
            rnn=gru(4, 5),
            fc=nn.Linear(5, 3),
        ),
        "pt",
        [
            entry("depth", padding="valid", stride=2, groups=FEATURES),
            entry("act", kind="activation", activation="tanh"),
            entry("point"),
            entry("rnn"),
            entry("fc"),
        ],
    )
    save(
        "flatten",
        Net(lambda m, x: m.fc(m.rnn(x)[0].flatten(1)), rnn=gru(FEATURES, 4), fc=nn.Linear(4 * STEPS, 3)),
        "pt",
        [window() + entry("rnn"), entry("flat", kind="flatten", steps=STEPS), entry("fc")],
    )
    save(
        "heads",
        Net(
            lambda m, x: (lambda h: (m.classes(h).softmax(-1), torch.tanh(m.level(torch.cat([x, h], 2))), torch.sigmoid(h)))(m.rnn(x)[0]),
            rnn=gru(FEATURES, 5, num_layers=2),
            classes=nn.Linear(5, 3),
            level=nn.Linear(10, 1),
            helper=nn.Linear(5, 5),
        ),
        "pt",
        [
            entry("rnn"),
            entry("classes", activation="softmax"),
            entry("level", from_=["input", "rnn"], activation="tanh"),
            entry("squash", kind="activation", activation="sigmoid", from_=["rnn"]),
            entry("helper", kind="unused"),
            '[[output]]\nlayer = "classes"\nlabels = ["a", "b", "c"]\n',
            '[[output]]\nlayer = "level"\n',
            '[[output]]\nlayer = "squash"\n',
        ],
    )
    save(
        "read_twice",
        Net(
            lambda m, x: (lambda z: (z, torch.tanh(z)))(m.fc(m.rnn(x)[0])),
            rnn=gru(FEATURES, 4),
            fc=nn.Linear(4, 3),
        ),
        "pt",
        [
            entry("rnn"),
            entry("fc"),
            entry("act", kind="activation", activation="tanh"),
            '[[output]]\nlayer = "fc"\n',
            '[[output]]\nlayer = "act"\n',
        ],
    )
    save(
        "sum",
        Net(
            lambda m, x: (lambda a: m.fc(a + F.relu(a + m.two(a)[0])))(x + m.one(x)[0]),
            one=gru(FEATURES, FEATURES),
            two=gru(FEATURES, FEATURES),
            fc=nn.Linear(FEATURES, 3),
        ),
        "pt",
        [
            entry("one"),
            entry("a", kind="sum", from_=["input", "one"]),
            entry("two"),
            entry("b", kind="sum", from_=["a", "two"], activation="relu"),
            entry("c", kind="sum", from_=["a", "b"]),
            entry("fc"),
        ],
    )
    save(
        "joined",
        Net(
            lambda m, x: m.fc(torch.cat([both_final(m.rnn(x)[1]), m.one(x)[0][:, -1], m.both(x)[0][:, -1]], 1)),
            rnn=gru(FEATURES, 3, bidirectional=True),
            one=gru(FEATURES, 2),
            both=gru(FEATURES, 2, bidirectional=True),
            fc=nn.Linear(12, 3),
        ),
        "pt",
        [
            window() + entry("rnn", last="hidden"),
            entry("one", from_=["input"], last=True),
            entry("both", from_=["input"], last="output"),
            entry("fc", from_=["rnn", "one", "both"]),
        ],
    )


class Scores(nn.Module):
    """Attention of one's own: linear modules around it, and weights of scores."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)


def split(x, heads):
    """(batch, steps, values) to (batch, heads, steps, values of a head)."""
    return x.unflatten(2, (heads, -1)).transpose(1, 2)


def seen(scores, slots, causal=True):
    """Scores of the latest `slots` memories, the newest of which is of the same step."""
    age = torch.arange(scores.shape[-2])[:, None] - torch.arange(scores.shape[-1])
    return scores.masked_fill((age < 0) | (age >= slots), float("-inf")).softmax(-1) if causal else scores.softmax(-1)


def rotate(x, theta):
    """Pairs (i, i + d / 2), turned as Hugging Face does."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
    cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


def attention():
    """Attention in each of its forms, transformers, and several streams."""
    gru = lambda *a, **k: nn.GRU(*a, batch_first=True, **k)
    causal = torch.ones(STEPS, STEPS).triu(1).bool()
    mha = lambda *a, **k: nn.MultiheadAttention(*a, batch_first=True, **k)

    save(
        "mha",
        Net(lambda m, x: (lambda h: m.fc(m.attn(h, h, h, attn_mask=causal)[0]))(m.rnn(x)[0]), rnn=gru(FEATURES, 6), attn=mha(6, 3), fc=nn.Linear(6, 3)),
        "pt",
        [entry("rnn"), entry("attn", kind="attention", heads=3, window=STEPS), entry("fc")],
    )
    save(
        "mha_window",
        Net(lambda m, x: m.fc(m.attn(x, x, x)[0].tanh().flatten(1)), attn=mha(FEATURES, 1, bias=False), fc=nn.Linear(FEATURES * STEPS, 3)),
        "safetensors",
        [window() + entry("attn", kind="MultiheadAttention", heads=1), entry("act", kind="activation", activation="tanh"),
         entry("flat", kind="flatten", steps=STEPS), entry("fc")],
    )
    save(
        "mha_apart",
        Net(
            lambda m, x: (lambda h, g: m.fc(m.attn(h, g, x, attn_mask=causal)[0]))(m.rnn(x)[0], m.keys(x)[0]),
            rnn=gru(FEATURES, 6),
            keys=gru(FEATURES, 4),
            attn=mha(6, 2, kdim=4, vdim=FEATURES),
            fc=nn.Linear(6, 3),
        ),
        "pt",
        [entry("rnn"), entry("keys", from_=["input"]), entry("attn", heads=2, window=STEPS, from_=["rnn", "keys", "input"]), entry("fc")],
    )
    save(
        "attention_dot",
        Net(
            lambda m, x: (lambda h: m.fc(torch.cat([h, seen(h @ h.transpose(1, 2), 4) @ h], 2)))(m.rnn(x)[0]),
            rnn=gru(FEATURES, 5),
            fc=nn.Linear(10, 3),
        ),
        "pt",
        [entry("rnn"), entry("look", kind="attention", score="dot", window=4), entry("fc", from_=["rnn", "look"])],
    )

    def additive(m, x):
        h = m.rnn(x)[0]
        z = torch.tanh(m.attn.q_proj(h)[:, :, None] + m.attn.k_proj(h)[:, None])
        return m.fc(torch.cat([seen(z @ m.attn.v, STEPS) @ h, h], 2)[:, -1])

    bahdanau = Scores(q_proj=nn.Linear(5, 4), k_proj=nn.Linear(5, 4, bias=False), v=nn.Parameter(torch.zeros(4)))
    save(
        "attention_additive",
        Net(additive, rnn=gru(FEATURES, 5), attn=bahdanau, fc=nn.Linear(10, 3)),
        "safetensors",
        [
            window(),
            entry("rnn"),
            entry("attn", kind="attention", heads=1, score="additive", v="attn.v", causal=True),
            entry("fc", from_=["attn", "rnn"], last=True),
        ],
    )

    def block(m, x):
        h = m.into(x) + m.pos[0, :STEPS]
        n = m.norm1(h)
        q, k = rotate(split(m.attn.q_proj(n), 4), 100.0), rotate(split(m.attn.k_proj(n), 2), 100.0)
        v = split(m.attn.v_proj(n), 2)
        scores = q @ k.repeat_interleave(2, 1).transpose(2, 3) / 2.0
        age = (torch.arange(STEPS)[:, None] - torch.arange(STEPS)).clamp(0, 6)
        scores = scores + m.attn.ages[:, age]
        a = (seen(scores, 7) @ v.repeat_interleave(2, 1)).transpose(1, 2).flatten(2)
        h = h + m.attn.o_proj(a)
        n = m.norm2(h)
        return m.fc(F.gelu(h + m.down(F.silu(m.gate(n)) * m.up(n)), approximate="tanh"))

    parts = Scores(
        q_proj=nn.Linear(8, 16, bias=False), k_proj=nn.Linear(8, 8), v_proj=nn.Linear(8, 6), o_proj=nn.Linear(12, 8),
        ages=nn.Parameter(torch.zeros(4, 7)),
    )
    transformer = Net(
        block, into=nn.Linear(FEATURES, 8), norm1=nn.RMSNorm(8), attn=parts, norm2=nn.RMSNorm(8, eps=1e-3),
        gate=nn.Linear(8, 12), up=nn.Linear(8, 12), down=nn.Linear(12, 8, bias=False), fc=nn.Linear(8, 3),
    )
    transformer.pos = nn.Parameter(torch.zeros(1, STEPS + 2, 8))
    save(
        "transformer",
        transformer,
        "safetensors",
        [
            entry("into"),
            entry("pos", kind="position"),
            entry("norm1", kind="rmsnorm"),
            entry("attn", kind="attention", heads=4, kv_heads=2, window=7, rope=100.0, ages="attn.ages"),
            entry("one", kind="sum", from_=["pos", "attn"]),
            entry("norm2", kind="rmsnorm", epsilon=1e-3),
            entry("gate", activation="silu"),
            entry("up", from_=["norm2"]),
            entry("gated", kind="product", from_=["gate", "up"]),
            entry("down"),
            entry("two", kind="sum", from_=["one", "down"], activation="gelu_tanh"),
            entry("fc"),
        ],
    )
    save(
        "activations",
        Net(
            lambda m, x: m.three(F.silu(m.two(F.gelu(m.pos(torch.arange(STEPS)) + m.one(x))))),
            one=nn.Linear(FEATURES, 4), pos=nn.Embedding(STEPS, 4), two=nn.Linear(4, 4), three=nn.Linear(4, 3),
        ),
        "pt",
        [entry("one"), entry("pos", kind="position", activation="gelu"), entry("two", activation="silu"), entry("three")],
    )

    # The first two features are of a stream that is all there before the others begin.
    def translate(m, x):
        memory, h = m.encoder(x[..., :2])[0], m.decoder(x[..., 2:])[0]
        return m.fc(torch.cat([m.attn(h, memory, memory)[0], h], 2))

    save(
        "streams",
        Net(translate, encoder=gru(2, 4), decoder=gru(3, 6), attn=mha(6, 2, kdim=4, vdim=4), fc=nn.Linear(12, 3)),
        "pt",
        [
            '[[stream]]\nname = "source"\nfeatures = 2\n\n[[stream]]\nname = "target"\nfeatures = 3\n',
            entry("encoder"),
            entry("decoder", from_=["target"]),
            entry("attn", heads=2, window=20, from_=["decoder", "encoder"]),
            entry("fc", from_=["attn", "decoder"]),
        ],
    )


class Whole(nn.Module):
    """To be pickled as it is."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(FEATURES, 4, batch_first=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def forward(self, x):
        return self.fc(self.drop(self.rnn(x)[0]))


def containers():
    """Every form of the file around one model."""
    scheme = argparse.Namespace(hidden=4, rate=1e-3)

    def trained(model):
        optimizer = torch.optim.Adam(model.parameters())
        model(inputs()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        model.load_state_dict(model.state_dict())
        return optimizer.state_dict()

    def wrapped(key, prefix=""):
        def write(model, path):
            state = {prefix + k: v.clone() for k, v in model.state_dict().items()}
            torch.save({"epoch": 7, key: state, "optimizer": trained(model), "args": scheme, "best": np.float64(0.5)}, path)

        return write

    def strided(model, path):
        """Views into larger tensors, columns for rows, and one storage for all."""
        state = {}
        for k, v in model.state_dict().items():
            room = torch.full((v.shape[-1] * 2 + 3, *v.shape[:-1]), 99.0)
            view = room[3::2].movedim(0, -1)
            view.copy_(v)
            state[k] = nn.Parameter(view) if k.startswith("fc") else view
        torch.save(state, path)

    def cast(kind):
        return lambda model, path: torch.save({k: v.to(kind) for k, v in model.state_dict().items()}, path)

    save("wrapped", Whole(), "ckpt", write=wrapped("state_dict", "module."))
    save("wrapped_model", Whole(), "pt", write=wrapped("model_state_dict", "_orig_mod."))
    save("strided", Whole(), "pt", write=strided)
    save("whole", Whole(), "pt", write=lambda model, path: torch.save(model, path))
    save("legacy", Whole(), "pth", write=lambda m, path: torch.save(m.state_dict(), path, _use_new_zipfile_serialization=False))
    save("protocol4", Whole(), "pt", write=lambda m, path: torch.save(m.state_dict(), path, pickle_protocol=4))
    save("half", Whole(), "pt", write=cast(torch.float16), dtype=torch.float16)
    save("bfloat", Whole(), "pt", write=cast(torch.bfloat16), dtype=torch.bfloat16)
    save("double", Whole().double(), "pt", dtype=torch.float64)
    save("bfloat_safe", Whole(), "safetensors", dtype=torch.bfloat16,
         write=lambda m, path: save_file({k: v.to(torch.bfloat16) for k, v in m.state_dict().items()}, path))


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    recurrent()
    around()
    attention()
    containers()


if __name__ == "__main__":
    main()
