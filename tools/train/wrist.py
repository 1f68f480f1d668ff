"""Trains tests/models/wrist: the watch model on the accelerometer alone, in the counts of an LSM303AGR.

    pip install -r tools/train/requirements.txt && python tools/train/wrist.py
"""

from common import ROOT, counts
from watch import prepare, write

OUT = ROOT / "tests" / "models" / "wrist"


def to_counts(g):
    """12 bits at +-8 g, in 16: 4 mg are 16 counts."""
    return (counts(g * 250).clip(-2048, 2047) * 16).astype("int16")


def main():
    model, _, report, splits, names = prepare(3, to_counts)
    del splits["unseen"]  # its accuracy is in the report
    head = "# Raw counts are int16 of an LSM303AGR at +-8 g; the model was trained on standardized counts.\n"
    write(OUT, "wrist", head, model, report, splits, names)


if __name__ == "__main__":
    main()
