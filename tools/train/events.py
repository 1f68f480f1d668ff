"""Trains tests/models/events: end-to-end memory networks of one, two and three hops that answer questions about a log.

    pip install -r tools/train/requirements.txt && python tools/train/events.py

After Sukhbaatar et al. 2015: the memory has a key `A m` and a value `C m` of each entry for each hop, and what a hop finds is
added to what it has asked; learned scores by age stand for the temporal encoding. Unlike there a layer with a ReLU makes the
next hop's query of that sum: whether to look for somebody or for anybody else depends on the question. And each hop is told
while it is trained which entry it has to look up, which the paper does without.
"""

import collections
import json
import random

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from common import ROOT, save_events
from event_log import ANSWERS, FACT, QUESTION, SLOTS, asked, samples

OUT = ROOT / "tests" / "models" / "events"
WIDTH = 48


class Memory(nn.Module):
    def __init__(self, hops):
        super().__init__()
        self.hops = hops
        self.question = nn.Linear(len(QUESTION), WIDTH, bias=False)
        for k in range(1, hops + 1):
            if k > 1:
                self.add_module(f"next{k}", nn.Linear(WIDTH, WIDTH))
            self.add_module(f"keys{k}", nn.Linear(len(FACT), WIDTH, bias=False))
            self.add_module(f"values{k}", nn.Linear(len(FACT), WIDTH, bias=False))
            # Newest first. Training finds the order faster where later entries win from the start.
            self.register_parameter(f"ages{k}", nn.Parameter(-0.5 * torch.arange(SLOTS).float()))
        self.answer = nn.Linear(WIDTH, len(ANSWERS))

    def forward(self, question, facts, counts):
        """Answers, and the scores of each hop. Facts are (batch, SLOTS, features), the newest first."""
        missing = torch.arange(SLOTS)[None] >= counts[:, None]
        u = self.question(question)
        looked = []
        for k in range(1, self.hops + 1):
            if k > 1:
                u = torch.relu(self.get_submodule(f"next{k}")(u))
            scores = torch.einsum("bd,bsd->bs", u, self.get_submodule(f"keys{k}")(facts))
            scores = (scores + self.get_parameter(f"ages{k}")).masked_fill(missing, -torch.inf)
            looked.append(scores)
            found = torch.einsum("bs,bsd->bd", scores.softmax(1), self.get_submodule(f"values{k}")(facts))
            u = u + found
        return self.answer(u), looked


def hot(indices, width, kind=np.uint8):
    row = np.zeros(width, kind)
    row[indices] = 1
    return row


def tensors(questions):
    """Questions, facts with the newest first, their number, answers, and ages of supporting entries, the last repeated."""
    facts = np.zeros((len(questions), SLOTS, len(FACT)), np.uint8)
    for rows, (log, *_) in zip(facts, questions):
        for row, entry in zip(rows, reversed(log[-SLOTS:])):
            row[entry.hot()] = 1
    question = np.stack([hot(asked(kind, names), len(QUESTION)) for _, kind, names, *_ in questions])
    counts = np.array([min(SLOTS, len(log)) for log, *_ in questions])
    answers = np.array([ANSWERS.index(answer) for *_, answer, _ in questions])
    ages = np.array([(support + support[-1:] * 2)[:3] for *_, support in questions])
    return [torch.from_numpy(v) for v in (question, facts, counts, answers, ages)]


def train(model, data, generator, steps=7000, size=256, rate=6e-3):
    """The answers are learned, and where each hop has to look, of questions that need no more entries than there are hops."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    for step in range(steps):
        rows = torch.randint(len(data[0]), (size,), generator=generator)
        question, facts, counts, answers, ages = (v[rows] for v in data)
        optimizer.zero_grad()
        logits, looked = model(question.float(), facts.float(), counts)
        loss = nn.functional.cross_entropy(logits, answers)
        few = (ages[:, model.hops :] == ages[:, model.hops - 1 : model.hops]).all(1)
        for k, scores in enumerate(looked):
            loss = loss + 0.3 * nn.functional.cross_entropy(scores[few], ages[few, k])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % 500 == 0:
            print(f"{model.hops} hops, step {step}: loss {loss.item():.4f}", flush=True)


@torch.no_grad()
def judge(model, data, questions):
    """Accuracy of all, by the number of supporting entries, and by kind."""
    right = []
    for part in zip(*(v.split(2000) for v in data)):
        question, facts, counts, answers, _ = part
        right += (model(question.float(), facts.float(), counts)[0].argmax(1) == answers).tolist()
    hits = collections.defaultdict(list)
    for (_, kind, _, _, support), hit in zip(questions, right):
        for group in ("all", f"{len(support)} entries", f"{kind} ({len(support)})"):
            hits[group].append(hit)
    return {group: float(np.mean(h)) for group, h in sorted(hits.items())}


def layers(hops):
    """The map: stream 0 asks, stream 1 tells."""
    lines = [f"labels = {json.dumps(ANSWERS)}"]
    part = lambda kind, keys: lines.append(
        f"\n[[{kind}]]\n" + "\n".join(f"{k.strip('_')} = {json.dumps(v)}" for k, v in keys)
    )
    entry = lambda **keys: part("layer", keys.items())
    for name, features in (("ask", QUESTION), ("tell", FACT)):
        part("stream", {"name": name, "features": len(features)}.items())
    entry(name="question", kind="linear", from_=["ask"])
    u = "question"
    for k in range(1, hops + 1):
        if k > 1:
            entry(name=f"next{k}", activation="relu", from_=[u])
            u = f"next{k}"
        entry(name=f"keys{k}", kind="linear", from_=["tell"])
        entry(name=f"values{k}", kind="linear", from_=["tell"])
        entry(
            name=f"hop{k}", kind="attention", score="dot", window=SLOTS, ages=f"ages{k}", from_=[u, f"keys{k}", f"values{k}"]
        )
        entry(name=f"sum{k}", kind="sum", from_=[u, f"hop{k}"])
        u = f"sum{k}"
    entry(name="answer", activation="softmax", from_=[u])
    return "\n".join(lines) + "\n"


def events(log, kind, names, answer, _):
    """Every entry of the log, then the question."""
    told = [(1, hot(entry.hot(), len(FACT), np.int16), -1) for entry in log]
    return told + [(0, hot(asked(kind, names), len(QUESTION), np.int16), ANSWERS.index(answer))]


def main():
    torch.manual_seed(4)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(4)
    rng = random.Random(4)
    train_set = samples(rng, 60_000)
    test_set = samples(rng, 6000)
    known, test = tensors(train_set), tensors(test_set)
    OUT.mkdir(parents=True, exist_ok=True)
    report = {}
    save_events(
        OUT / "test.npz", [events(*s) for s in test_set[:1000]], support=np.array([len(s[4]) for s in test_set[:1000]])
    )
    save_events(OUT / "calibration.npz", [events(*s) for s in train_set[:200]])
    names = {"question": QUESTION, "entry": FACT, "answer": ANSWERS}
    (OUT / "names.json").write_text(json.dumps(names, indent=1) + "\n")
    for hops in (3, 2, 1):
        model = Memory(hops)
        train(model, known, generator)
        report[f"{hops} hops"] = judge(model, test, test_set)
        print(json.dumps(report[f"{hops} hops"], indent=1), flush=True)
        stem = OUT / f"events{hops}"
        save_file(model.state_dict(), stem.with_suffix(".safetensors"))
        stem.with_suffix(".toml").write_text(
            "# Stream 0 takes a question, stream 1 an entry of the log, both multi-hot: the names are in names.json.\n"
            + layers(hops)
        )
        question, facts, counts, *_ = (v[:1000] for v in test)
        with torch.no_grad():
            logits, looked = model(question.float(), facts.float(), counts)
        weights = torch.stack(looked, 1)[:100].softmax(2)
        np.savez_compressed(OUT / f"framework{hops}.npz", logits=logits.numpy(), weights=weights.numpy())
        (OUT / "accuracy.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
