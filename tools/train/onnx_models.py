"""Makes tests/models/onnx: small untrained networks as PyTorch exports them, and by hand what exporters do not write, with
ONNX Runtime's outputs.

    pip install -r tools/train/requirements.txt && python tools/train/onnx_models.py
"""

import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from common import ROOT

OUT = ROOT / "tests" / "models" / "onnx"
STEPS, FEATURES, SEQUENCES = 8, 5, 3


def sequences(steps=STEPS, features=FEATURES, count=SEQUENCES):
    t = np.arange(steps)[None, :, None]
    phase = np.arange(count)[:, None, None]
    return (np.sin(t * (0.4 + 0.23 * np.arange(features)) + phase) * 1.3 + 0.2).astype(np.float32)


def golden(name, x, feed=lambda x: x[None], heads=None):
    """Runs the model on one sequence after the other, every further input zero, and writes what comes out: rows of steps."""
    session = onnxruntime.InferenceSession(str(OUT / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    main, *others = session.get_inputs()
    rest = {i.name: np.zeros([d if isinstance(d, int) else 1 for d in i.shape], np.float32) for i in others}
    rows = [session.run(None, {main.name: feed(s), **rest})[:heads] for s in x]
    outputs = {f"y{k}": np.stack([r[k].reshape(-1, r[k].shape[-1]) for r in rows]) for k in range(len(rows[0]))}
    np.savez_compressed(OUT / f"{name}.npz", x=x.astype(np.float32), **outputs)


# What PyTorch exports.


class Recurrent(nn.Module):
    """Recurrent layers, and a dense layer on each step, on the last one, or on the final hidden states."""

    def __init__(self, kind=nn.LSTM, take="all", first=True, layers=1, both=False, **more):
        super().__init__()
        self.take, self.first = take, first
        self.rnn = kind(FEATURES, 6, num_layers=layers, batch_first=first, bidirectional=both, **more)
        self.fc = nn.Linear(12 if both else 6, 3)

    def forward(self, x, *state):
        out, h = self.rnn(x, tuple(state) if len(state) == 2 else (state[0] if state else None))
        hidden = h[0] if isinstance(h, tuple) else h
        if self.take == "last":
            out = out[:, -1] if self.first else out[-1]
        elif self.take == "hidden":
            out = hidden[-1]
        elif self.take == "both":
            out = torch.cat([hidden[-2], hidden[-1]], 1)
        y = torch.softmax(self.fc(out), -1)
        return (y, *h) if len(state) == 2 else (y, h) if state else y


class Convolved(nn.Module):
    """Convolution, batch normalization, recurrence, layer normalization."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(FEATURES, 6, 3, groups=1)
        self.norm = nn.BatchNorm1d(6)
        self.norm.running_mean.uniform_(-0.5, 0.5)
        self.norm.running_var.uniform_(0.5, 2)
        self.rnn = nn.LSTM(6, 4, batch_first=True)
        self.after = nn.LayerNorm(4)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        y = torch.relu(self.norm(self.conv(x.transpose(1, 2)))).transpose(1, 2)
        return self.fc(self.after(self.rnn(y)[0]))


class Causal(nn.Module):
    """A temporal convolutional network: dilated convolutions cut at the end, and a residual sum."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(FEATURES, 6, 3, padding=2)
        self.two = nn.Conv1d(6, 6, 2, dilation=2, groups=3)
        self.fc = nn.Linear(6, 3)

    def forward(self, x):
        y = torch.relu(self.one(x.transpose(1, 2))[:, :, :-2])
        y = y + torch.tanh(self.two(nn.functional.pad(y, (2, 0))))
        return self.fc(y.transpose(1, 2))


class Flat(nn.Module):
    """All hidden states of a window at once; the order of features and of steps is turned round on the way."""

    def __init__(self, channels_first=False):
        super().__init__()
        self.turned = channels_first
        self.rnn = nn.GRU(FEATURES, 4, batch_first=True)
        self.one = nn.Linear(4 * STEPS, 6)
        self.two = nn.Linear(6, 2)

    def forward(self, x):
        y = self.rnn(x)[0]
        y = y.transpose(1, 2) if self.turned else y
        return self.two(torch.sigmoid(self.one(y.flatten(1))))


class Dense(nn.Module):
    """Dense layers on the window: no recurrence."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv1d(FEATURES, 4, 3, stride=1)
        self.two = nn.Linear(4 * (STEPS - 2), 3)

    def forward(self, x):
        return self.two(torch.tanh(self.one(x.transpose(1, 2))).flatten(1))


class Embedded(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(11, 5)
        self.rnn = nn.GRU(5, 4, batch_first=True)
        self.fc = nn.Linear(4, 2)

    def forward(self, x):
        return self.fc(self.rnn(self.table(x))[0][:, -1])


class Pooled(nn.Module):
    """Input normalization, a pair of layers side by side, the mean over time, a residual sum."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.1, -0.2, 0.3, 0.0, 0.5]))
        self.register_buffer("std", torch.tensor([1.1, 0.9, 2.0, 1.0, 0.7]))
        self.a = nn.LSTM(FEATURES, 4, batch_first=True)
        self.b = nn.GRU(FEATURES, 4, batch_first=True)
        self.c = nn.RNN(4, 4, batch_first=True, nonlinearity="relu")
        self.fc = nn.Linear(8, 3)

    def forward(self, x):
        x = (x - self.mean) / self.std
        a, b = self.a(x)[0], self.b(x)[0]
        c = self.c((a + b) / 2)[0] + a
        return self.fc(torch.cat([c, b], -1).mean(1))


class Heads(nn.Module):
    """Two outputs, of which one takes some of the features in another order."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(FEATURES, 6, batch_first=True)
        self.one, self.two = nn.Linear(6, 3), nn.Linear(3, 2)

    def forward(self, x):
        y = self.rnn(torch.cat([x[..., 2:], x[..., :2]], -1))[0]
        a, b = y.chunk(2, -1)
        return torch.softmax(self.one(torch.cat([b, a], -1)), -1), torch.sigmoid(self.two(b.flip(-1)))


class Step(nn.Module):
    """One step a call, with the state in the caller's hands."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(FEATURES, 5, num_layers=2)
        self.fc = nn.Linear(5, 2)

    def forward(self, x, h, c):
        y, (h, c) = self.rnn(x.unsqueeze(0), (h, c))
        return self.fc(y.squeeze(0)), h, c


def torch_model(name, model, x=None, dynamic=False, state=(), feed=lambda x: x[None], opset=None, heads=None, dynamo=(0, 1)):
    x = sequences() if x is None else x
    torch.manual_seed(len(name))
    model.eval()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(1.7).add_(0.15 * torch.randn_like(p))
    arguments = (torch.from_numpy(feed(x[0])), *state)
    for new in dynamo:
        file = f"{'dynamo' if new else 'torch'}_{name}"
        options = {"input_names": ["x", *(f"state{k}" for k in range(len(state)))], "opset_version": opset}
        if dynamic and new:
            options["dynamic_shapes"] = ({0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC},)
        elif dynamic:
            options["dynamic_axes"] = {"x": {0: "batch", 1: "steps"}}
        if new:
            options.update(external_data=False, verbose=False)
        torch.onnx.export(model, arguments, str(OUT / f"{file}.onnx"), dynamo=bool(new), **options)
        shrink(file)
        if name != "step":
            golden(file, x, feed, heads)


def shrink(name):
    """Leaves out what is not read: the exporter's notes."""
    model = onnx.load(OUT / f"{name}.onnx")
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    del model.graph.value_info[:]
    del model.metadata_props[:]
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
    onnx.save(model, OUT / f"{name}.onnx")


def step_golden(name, x):
    """A model of one step, driven over sequences with its state."""
    session = onnxruntime.InferenceSession(str(OUT / f"{name}.onnx"), providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    rows = []
    for sequence in x:
        state = [np.zeros(i.shape, np.float32) for i in session.get_inputs()[1:]]
        out = []
        for sample in sequence:
            y, *state = session.run(None, dict(zip(names, [sample[None], *state])))
            out.append(y[0])
        rows.append(out)
    np.savez_compressed(OUT / f"{name}.npz", x=x, y0=np.array(rows))


def exported():
    x = sequences()
    torch_model("lstm_dynamic", Recurrent(take="last"), dynamic=True)
    torch_model("lstm_steps", Recurrent(), dynamic=True)
    torch_model("lstm_both", Recurrent(both=True))
    torch_model("lstm_both_hidden", Recurrent(both=True, take="both", layers=2))
    torch_model("gru_both_last", Recurrent(nn.GRU, both=True, take="last"))
    torch_model("gru_stacked", Recurrent(nn.GRU, layers=2, first=False, take="hidden"), feed=lambda x: x[:, None])
    # The newer exporter writes an RNN step by step.
    torch_model("rnn", Recurrent(nn.RNN, nonlinearity="relu"), dynamic=True, dynamo=(0,))
    # Two tensors: of one the newer exporter makes one state.
    zeros = lambda units: torch.zeros(2, 1, units)
    torch_model("lstm_state", Recurrent(layers=2), state=(zeros(6), zeros(6)), heads=1)
    torch_model("gru_state", Recurrent(nn.GRU, layers=2, take="hidden"), state=(zeros(6),), heads=1)
    torch_model("conv", Convolved())
    torch_model("conv_old", Convolved(), opset=14, dynamo=(0,))
    torch_model("causal", Causal())
    torch_model("flat", Flat())
    torch_model("flat_turned", Flat(True))
    torch_model("dense", Dense())
    torch_model("pooled", Pooled(), dynamo=(0,))
    torch_model("heads", Heads())
    index = np.arange(SEQUENCES * STEPS).reshape(SEQUENCES, STEPS, 1) * 7 % 11
    torch_model("embedded", Embedded(), x=index, dynamic=True, feed=lambda x: x[:, 0][None])
    torch_model("step", Step(), state=(zeros(5), zeros(5)), feed=lambda x: x[:1])
    for kind in ("torch", "dynamo"):
        step_golden(f"{kind}_step", x)


# What exporters do not write.

RNG = np.random.default_rng(17)
UNITS = 4


def weights(*shape, scale=0.8):
    return RNG.normal(0, scale, shape).astype(np.float32)


def model(name, nodes, constants, shape, outputs, opset=20, inputs=(), kind=TensorProto.FLOAT):
    make = lambda n, s: helper.make_tensor_value_info(n, TensorProto.FLOAT, s)
    tensors = [t if isinstance(t, TensorProto) else numpy_helper.from_array(t, n) for n, t in constants.items()]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", kind, shape), *(make(n, s) for n, s in inputs)],
        [make(n, None) for n in outputs],
        tensors,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    OUT.mkdir(parents=True, exist_ok=True)
    onnx.save(made, OUT / f"{name}.onnx")
    return made


def cell(kind, gates, directions=1, inputs=FEATURES, peepholes=False):
    constants = {
        "W": weights(directions, gates * UNITS, inputs),
        "R": weights(directions, gates * UNITS, UNITS),
        "B": weights(directions, 2 * gates * UNITS, scale=0.3),
    }
    names = ["x", "W", "R", "B"]
    if peepholes:
        constants["P"] = weights(directions, 3 * UNITS)
        names += ["", "", "", "P"]
    return names, constants


def recurrent(name, kind, gates, layout=0, direction="forward", peepholes=False, initial=False, y="Y", **attributes):
    directions = 2 if direction == "bidirectional" else 1
    names, constants = cell(kind, gates, directions, peepholes=peepholes)
    if initial:
        shape = (1, directions, UNITS) if layout else (directions, 1, UNITS)
        names += [""] * (5 - len(names))
        names[5:7] = ["h0", "c0"] if gates == 4 else ["h0"]
        constants["h0"] = weights(*shape)
        if gates == 4:
            constants["c0"] = weights(*shape)
    outputs = {"Y": ["Y"], "Y_h": ["", "Y_h"]}[y]
    node = helper.make_node(
        kind, names, outputs, name=name, hidden_size=UNITS, direction=direction, layout=layout, **attributes
    )
    shape = [1, STEPS, FEATURES] if layout else [STEPS, 1, FEATURES]
    # (steps, directions, 1, units) and (1, steps, directions, units) are rows of steps either way.
    constants["shape"] = np.array([0, -1] if y == "Y" and not layout else [STEPS, -1] if y == "Y" else [1, -1], np.int64)
    end = helper.make_node("Reshape", [y, "shape"], ["y"])
    model(name, [node, end], constants, shape, ["y"])
    return lambda x: x[None] if layout else x[:, None]


def by_hand():
    x = sequences()
    hard = {"activations": ["HardSigmoid", "Tanh", "Tanh"], "activation_alpha": [0.2], "activation_beta": [0.5]}
    both = {
        "activations": ["HardSigmoid", "Tanh", "Tanh", "HardSigmoid", "Tanh", "Tanh"],
        "activation_alpha": [0.2, 1 / 6],
        "activation_beta": [0.5, 0.5],
    }
    for name, kind, gates, options in [
        ("peepholes", "LSTM", 4, {"peepholes": True, "initial": True}),
        ("peepholes_both", "LSTM", 4, {"peepholes": True, "direction": "bidirectional", "initial": True}),
        ("hard_lstm", "LSTM", 4, hard),
        ("hard_lstm_both", "LSTM", 4, {"direction": "bidirectional", **both}),
        ("hard_gru", "GRU", 3, {"activations": ["HardSigmoid", "Tanh"], "linear_before_reset": 0, "initial": True}),
        ("gru_before", "GRU", 3, {"linear_before_reset": 0, "direction": "reverse"}),
        ("gru_after", "GRU", 3, {"linear_before_reset": 1, "direction": "bidirectional", "y": "Y_h"}),
        ("rnn_sigmoid", "RNN", 1, {"activations": ["Sigmoid"], "initial": True}),
        ("rnn_hard", "RNN", 1, {"activations": ["HardSigmoid"], "activation_alpha": [0.25], "direction": "reverse"}),
        ("lstm_reverse_end", "LSTM", 4, {"direction": "reverse", "y": "Y_h"}),
    ]:
        golden(name, x, recurrent(name, kind, gates, **options))
    layout_one(x)
    values(x)
    reversed_by_slice(x)
    external(x)
    norms(x)
    pairs(x)


def layout_one(x):
    """Batch first. ONNX Runtime runs (time, batch, features) alone: its output of the same weights is the same."""
    for name, options in {"layout_one": {"direction": "bidirectional", "initial": True}, "layout_one_end": {"y": "Y_h"}}.items():
        global RNG
        RNG = np.random.default_rng(5)
        feed = recurrent(name, "LSTM", 4, **options)
        golden(name, x, feed)
        RNG = np.random.default_rng(5)
        recurrent(name, "LSTM", 4, layout=1, **options)


def values(x):
    """Weights in every field and type that a tensor has."""
    names, constants = cell("LSTM", 4)
    half = constants["R"].astype(np.float16)
    tensors = {
        "W": helper.make_tensor("W", TensorProto.FLOAT, constants["W"].shape, constants["W"].ravel()),
        "R16": helper.make_tensor("R16", TensorProto.FLOAT16, half.shape, half.ravel()),
        "B64": helper.make_tensor("B64", TensorProto.DOUBLE, constants["B"].shape, constants["B"].astype(np.float64).ravel()),
        "V": numpy_helper.from_array(weights(UNITS, 3).astype(np.float16), "V"),
        "d": numpy_helper.from_array(weights(3).astype(np.float64), "d"),
    }
    nodes = [
        helper.make_node("Cast", ["R16"], ["R"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["B64"], ["B"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["V"], ["v"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["d"], ["e"], to=TensorProto.FLOAT),
        helper.make_node("LSTM", names, ["", "Y_h"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["Y_h", "axes"], ["h"]),
        helper.make_node("Gemm", ["h", "v", "e"], ["z"], alpha=0.5, beta=2.0),
        helper.make_node("HardSigmoid", ["z"], ["y"], alpha=0.3),
    ]
    model("values", nodes, {**tensors, "axes": np.array([0], np.int64)}, ["T", "B", FEATURES], ["y"])
    golden("values", x, lambda x: x[:, None])


def reversed_by_slice(x):
    """A layer that walks forward over a sequence that is turned round, and its output turned back."""
    names, constants = cell("GRU", 3)
    numbers = {"start": [-1], "stop": [-(2**63)], "axis": [0], "step": [-1], "one": [1]}
    constants |= {n: np.array(v, np.int64) for n, v in numbers.items()}
    nodes = [
        helper.make_node("Slice", ["x", "start", "stop", "axis", "step"], ["r"]),
        helper.make_node("GRU", ["r", *names[1:]], ["Y"], hidden_size=UNITS, linear_before_reset=1),
        helper.make_node("Squeeze", ["Y", "one"], ["s"]),
        helper.make_node("Slice", ["s", "start", "stop", "axis", "step"], ["b"]),
        helper.make_node("Concat", ["b", "x"], ["y"], axis=-1),
    ]
    model("reversed", nodes, constants, [STEPS, 1, FEATURES], ["y"])
    golden("reversed", x, lambda x: x[:, None])


def external(x):
    """Weights in a file beside the model."""
    feed = recurrent("external", "LSTM", 4)
    made = onnx.load(OUT / "external.onnx")
    (OUT / "external.bin").unlink(missing_ok=True)
    onnx.save(made, OUT / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=100)
    golden("external", x, feed)


def norms(x):
    """Batch normalization of each step, layer normalization in two other forms, a table by one of the features."""
    names, constants = cell("RNN", 1, inputs=FEATURES)
    constants |= {
        "scale": weights(UNITS), "mean": weights(UNITS), "var": np.abs(weights(UNITS)) + 0.5, "off": weights(UNITS),
        "gain": weights(UNITS), "eps": np.array(1e-3, np.float32), "two": np.array(2, np.float32),
        "last": np.array([-1], np.int64), "one": np.array([1], np.int64), "row": np.array([-1, UNITS], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("RNN", names, ["Y"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["Y", "one"], ["s"]),
        helper.make_node("Reshape", ["s", "row"], ["f"]),
        helper.make_node("BatchNormalization", ["f", "scale", "off", "mean", "var"], ["b"], epsilon=1e-3),
        helper.make_node("ReduceMean", ["b", "last"], ["m"]),
        helper.make_node("Sub", ["b", "m"], ["c"]),
        helper.make_node("Mul", ["c", "c"], ["q"]),
        helper.make_node("ReduceMean", ["q", "last"], ["v"]),
        helper.make_node("Add", ["v", "eps"], ["ve"]),
        helper.make_node("Sqrt", ["ve"], ["d"]),
        helper.make_node("Reciprocal", ["d"], ["i"]),
        helper.make_node("Mul", ["i", "gain"], ["g"]),
        helper.make_node("Mul", ["b", "g"], ["bg"]),
        helper.make_node("Mul", ["m", "g"], ["mg"]),
        helper.make_node("Sub", ["off", "mg"], ["o"]),
        helper.make_node("Add", ["bg", "o"], ["y"]),
    ]
    model("norms", nodes, constants, [STEPS, 1, FEATURES], ["y"])
    golden("norms", x, lambda x: x[:, None])


def pairs(x):
    """Features of the input taken apart: a table by one, a scale for the others; a constant minus a value; a mean of three."""
    rows = x.copy()
    rows[..., 0] = np.arange(rows[..., 0].size).reshape(rows.shape[:2]) % 7
    names, constants = cell("GRU", 3, inputs=FEATURES)
    constants |= {
        "table": weights(7, 4), "gain": weights(4), "V": weights(4, 5), "first": np.array(0, np.int64),
        "parts": np.array([1, 4], np.int64), "one": np.array(1, np.float32), "axes": np.array([1], np.int64),
    }  # fmt: skip
    nodes = [
        helper.make_node("Split", ["x", "parts"], ["a", "b"], axis=2),
        helper.make_node("Gather", ["a", "first"], ["i"], axis=2),
        helper.make_node("Cast", ["i"], ["j"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "j"], ["e"]),
        helper.make_node("Mul", ["b", "gain"], ["g"]),
        helper.make_node("Sub", ["one", "g"], ["n"]),
        helper.make_node("Mean", ["e", "n", "b"], ["m"]),
        helper.make_node("MatMul", ["m", "V"], ["z"]),
        helper.make_node("Tanh", ["z"], ["t"]),
        helper.make_node("GRU", ["t", *names[1:]], ["Y"], hidden_size=UNITS),
        helper.make_node("Squeeze", ["Y", "axes"], ["s"]),
        helper.make_node("Neg", ["s"], ["y"]),
    ]
    model("pairs", nodes, constants, ["T", 1, FEATURES], ["y"])
    golden("pairs", rows, lambda x: x[:, None])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    OUT.mkdir(parents=True, exist_ok=True)
    by_hand()
    if "--by-hand" not in sys.argv:
        exported()
