"""Trains a PyTorch GRU on a watch's motion sensor, step by step: python train.py FOLDER, with the cellstate checkout's folder."""

import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

DATA = Path(sys.argv[1]) / "tests/models/watch"
LABELS = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]  # seven exercises of the shoulder

torch.manual_seed(1)
torch.set_num_threads(1)


def load(name):
    """Recordings (steps, 6) in counts of an MPU-6050, and the exercise of each."""
    data = np.load(DATA / name)
    return np.split(data["x"], np.cumsum(data["lengths"])[:-1]), data["y"]


class Exercise(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = torch.nn.GRU(6, 16, batch_first=True)
        self.fc = torch.nn.Linear(16, len(LABELS))

    def forward(self, x):
        return self.fc(self.gru(x)[0])  # an answer after every sample


train, labels = load("calibration.npz")
counts = np.concatenate(train)
mean, std = counts.mean(0), counts.std(0)
tensor = lambda r: torch.from_numpy(((r - mean) / std).astype(np.float32))

model = Exercise()
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.05)
x, y = tensor(np.stack(train)), torch.from_numpy(labels).long()[:, None].expand(-1, 120)
for epoch in range(60):
    for rows in torch.randperm(len(x)).split(16):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x[rows]).flatten(0, 1), y[rows].flatten()).backward()
        optimizer.step()

later, later_labels = load("later.npz")
with torch.no_grad():
    right = [model(tensor(r)[None])[0].argmax(1).numpy() == k for r, k in zip(later, later_labels)]
print(f"accuracy later in time, every step: {np.concatenate(right).mean():.4f}")

save_file(model.state_dict(), "exercise.safetensors")
row = lambda values: ", ".join(f"{v:.9g}" for v in values)
Path("model.toml").write_text(
    f"labels = {LABELS}\n\n[[layer]]\nname = 'gru'\n\n[[layer]]\nname = 'fc'\nactivation = 'softmax'\n\n"
    "[input]  # model input = raw count * scale + offset\n"
    f"names = ['ax', 'ay', 'az', 'gx', 'gy', 'gz']\nscale = [{row(1 / std)}]\noffset = [{row(-mean / std)}]\n".replace("'", '"')
)
