"""Makes tests/models/attention/pytorch: small untrained networks with attention and what stands beside it in transformers.

    pip install -r tools/train/requirements.txt && python tools/train/attention_torch.py

Files are as those of pytorch.py. Causal ones see the last 6 steps, by a mask over the whole sequence; whole ones all 16.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

import pytorch
from common import ROOT
from pytorch import FEATURES, STEPS, Net, entry, save, window

pytorch.OUT = ROOT / "tests" / "models" / "attention" / "pytorch"
RING = 6
WIDTH, HEADS = 8, 2


def shut(steps=STEPS, ring=RING):
    """Where attention may not look: True, as nn.MultiheadAttention has it."""
    age = torch.arange(steps)[:, None] - torch.arange(steps)[None]
    return (age < 0) | (age >= ring)


def multihead(m, query, keys, values, causal=True):
    return m(query, keys, values, attn_mask=shut() if causal else None, need_weights=False)[0]


def attend(q, k, v, scale=None, bias=0.0):
    """Attention over the ring, by the textbook."""
    scores = q @ k.mT * (1 if scale is None else scale) + bias
    return scores.masked_fill(shut(), -torch.inf).softmax(-1) @ v


def lstm(width=WIDTH):
    return nn.LSTM(FEATURES, width, batch_first=True)


def attention(name="attention", **more):
    return entry(name, kind="attention", **more)


class Holder(nn.Module):
    """Tensors by name."""

    def __init__(self, **parts):
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def multi_head():
    """nn.MultiheadAttention."""
    heads = lambda **k: nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, **k)
    alike = lambda causal: lambda m, x: m.fc(multihead(m.attention, *[m.rnn(x)[0]] * 3, causal))
    for name, causal, more in (("mha", True, {}), ("mha_unbiased", True, {"bias": False}), ("mha_whole", False, {})):
        save(
            name,
            Net(alike(causal), rnn=lstm(), attention=heads(**more), fc=nn.Linear(WIDTH, 3)),
            "safetensors",
            [window() * (not causal) + entry("rnn")]
            + [attention(heads=HEADS, from_=["rnn", "rnn"], **({"window": RING} if causal else {})), entry("fc")],
        )

    def cross(m, x):
        y, z = m.rnn(x)[0], m.memory(x)[0]
        return m.fc(torch.cat([y, multihead(m.attention, y, z, z)], 2))

    save(
        "mha_cross",
        Net(
            cross,
            rnn=lstm(),
            memory=nn.GRU(FEATURES, 6, batch_first=True),
            attention=heads(kdim=6, vdim=6),
            fc=nn.Linear(2 * WIDTH, 3),
        ),
        "safetensors",
        [
            entry("rnn"),
            entry("memory", from_=["input"]),
            attention(heads=HEADS, window=RING, from_=["rnn", "memory"]),
            entry("fc", from_=["rnn", "attention"]),
        ],
    )
    save(
        "mha_apart",
        Net(
            lambda m, x: m.fc(multihead(m.attention, y := m.rnn(x)[0], m.keys(y), m.values(y))),
            rnn=lstm(),
            keys=nn.Linear(WIDTH, 4),
            values=nn.Linear(WIDTH, 12),
            attention=heads(kdim=4, vdim=12),
            fc=nn.Linear(WIDTH, 3),
        ),
        "safetensors",
        [
            entry("rnn"),
            entry("keys"),
            entry("values", from_=["rnn"]),
            attention(heads=HEADS, window=RING, from_=["rnn", "keys", "values"]),
            entry("fc"),
        ],
    )


def plain():
    """Scores without tensors, with those of learned projections, additive ones, and ages."""
    for score, scale in (("dot", 1.0), ("scaled", 1 / math.sqrt(WIDTH))):
        save(
            score,
            Net(
                lambda m, x, s=scale: m.fc(torch.cat([y := m.rnn(x)[0], attend(y, y, y, s)], 2)),
                rnn=lstm(),
                fc=nn.Linear(2 * WIDTH, 3),
            ),
            "safetensors",
            [
                entry("rnn"),
                attention("ring", score=score, window=RING, from_=["rnn", "rnn"]),
                entry("fc", from_=["rnn", "ring"]),
            ],
        )

    def aged(m, x):
        q, k, v = m.query(x), m.keys(x), m.values(x)
        age = (torch.arange(STEPS)[:, None] - torch.arange(STEPS)[None]).clamp(0, RING - 1)
        return m.fc(q + attend(q, k, v, bias=m.ages[0, age]))

    net = Net(
        aged,
        query=nn.Linear(FEATURES, WIDTH, bias=False),
        keys=nn.Linear(FEATURES, WIDTH, bias=False),
        values=nn.Linear(FEATURES, WIDTH, bias=False),
        fc=nn.Linear(WIDTH, 3),
    )
    net.ages = nn.Parameter(torch.zeros(1, RING))
    one = lambda name: entry(name, kind="linear", from_=["input"])
    save(
        "ages",
        net,
        "safetensors",
        [
            one("query"),
            one("keys"),
            one("values"),
            attention("hop", score="dot", window=RING, ages="ages", from_=["query", "keys", "values"]),
            entry("sum", kind="sum", from_=["query", "hop"]),
            entry("fc"),
        ],
    )

    def additive(m, x):
        y = m.rnn(x)[0]
        a = m.attention
        scores = a.v(torch.tanh(a.q_proj(y)[:, :, None] + a.k_proj(y)[:, None]))[..., 0]
        return m.fc(torch.cat([y, scores.masked_fill(shut(), -torch.inf).softmax(-1) @ y], 2))

    parts = Holder(q_proj=nn.Linear(WIDTH, 6), k_proj=nn.Linear(WIDTH, 6, bias=False), v=nn.Linear(6, 1, bias=False))
    save(
        "additive",
        Net(additive, rnn=lstm(), attention=parts, fc=nn.Linear(2 * WIDTH, 3)),
        "safetensors",
        [
            entry("rnn"),
            attention(heads=1, score="additive", v="attention.v.weight", window=RING, from_=["rnn", "rnn"]),
            entry("fc", from_=["rnn", "attention"]),
        ],
    )


def turned(x, theta):
    """Rotary positions on (batch, heads, steps, width), pairs (i, i + width / 2)."""
    half = x.shape[-1] // 2
    angle = torch.arange(x.shape[2])[:, None] * theta ** (-torch.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)


def projected():
    """Separate projections, rotary positions and shared heads, and the rest of a block."""

    def grouped(m, x, heads=4, shared=2, width=4, theta=100.0):
        y = m.enter(x)
        a = m.attention
        of = lambda z, n: z.unflatten(-1, (n, width)).transpose(1, 2)
        n = m.norm(y)
        q, k, v = turned(of(a.q_proj(n), heads), theta), turned(of(a.k_proj(n), shared), theta), of(a.v_proj(n), shared)
        k, v = (z.repeat_interleave(heads // shared, 1) for z in (k, v))
        y = y + a.o_proj(attend(q, k, v, width**-0.5).transpose(1, 2).flatten(2))
        n = m.norm2(y)
        return m.fc(y + m.down(F.silu(m.gate(n)) * m.up(n)))

    line = lambda i, o: nn.Linear(i, o, bias=False)
    save(
        "llama_block",
        Net(
            grouped,
            enter=nn.Linear(FEATURES, WIDTH),
            norm=nn.RMSNorm(WIDTH, eps=1e-5),
            attention=Holder(q_proj=line(WIDTH, 16), k_proj=line(WIDTH, 8), v_proj=line(WIDTH, 8), o_proj=line(16, WIDTH)),
            norm2=nn.RMSNorm(WIDTH, eps=1e-5),
            gate=line(WIDTH, 12),
            up=line(WIDTH, 12),
            down=line(12, WIDTH),
            fc=nn.Linear(WIDTH, 3),
        ),
        "safetensors",
        [
            entry("enter"),
            entry("norm", kind="rmsnorm", epsilon=1e-5),
            attention(heads=4, kv_heads=2, rope=100.0, score="scaled", window=RING, from_=["norm", "norm"]),
            entry("add", kind="sum", from_=["enter", "attention"]),
            entry("norm2", kind="rmsnorm", epsilon=1e-5),
            entry("gate", kind="linear", activation="silu"),
            entry("up", kind="linear", from_=["norm2"]),
            entry("product", kind="product", from_=["gate", "up"]),
            entry("down", kind="linear"),
            entry("add2", kind="sum", from_=["add", "down"]),
            entry("fc"),
        ],
        spread=0.4,
    )


def activations():
    """What follows a Linear, and RMSNorm alone."""
    for name, function in {
        "gelu": F.gelu,
        "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
    }.items():
        save(
            name,
            Net(lambda m, x, f=function: m.fc(f(m.up(x))), up=nn.Linear(FEATURES, 7), fc=nn.Linear(7, 3)),
            "safetensors",
            [entry("up", activation=name), entry("fc")],
        )
    save(
        "rmsnorm",
        Net(
            lambda m, x: m.fc(m.norm(m.rnn(x)[0])),
            rnn=lstm(),
            norm=nn.RMSNorm(WIDTH, eps=1e-4),
            fc=nn.Linear(WIDTH, 3),
        ),
        "safetensors",
        [entry("rnn"), entry("norm", kind="rmsnorm", epsilon=1e-4), entry("fc")],
    )


def main():
    pytorch.OUT.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    multi_head()
    plain()
    projected()
    activations()


if __name__ == "__main__":
    main()
