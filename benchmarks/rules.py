"""What rules do to readings: SVHN's `valid` as it is and with 0.4 of its resolution.

python benchmarks/rules.py --data SVHN --model svhn

Rules are true for each image: its length, ten known numbers (the others are of other images), or a range of
60. In the last row the true number is not among the ten: every correction is wrong there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

import digitspot.reading.rules as module
from digitspot import Reader
from digitspot.images import decode_image
from digitspot.labels.coco import find_split, read_labels
from digitspot.reading import Rules, read_number
from digitspot.types import Detections, ImageArray, Reading

LOW_RESOLUTION = 0.4


def reduced(image: ImageArray) -> ImageArray:
    size = [max(8, round(side * LOW_RESOLUTION)) for side in image.shape[1::-1]]
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BILINEAR))


def rules_of(kind: str, number: str, others: Sequence[str], rng: np.random.Generator) -> Rules:
    if kind == "length":
        return Rules(length=len(number))
    if kind == "range":
        below = int(rng.integers(60))
        return Rules(at_least=max(0, int(number) - below), at_most=int(number) + 60 - below)
    known = [each for each in rng.permutation(others).tolist() if each != number]
    return Rules(known=frozenset(known[:10] if kind == "known, all wrong" else [number, *known[:9]]))


def row(name: str, readings: Sequence[Reading], numbers: Sequence[str]) -> str:
    is_right = np.array([each.text == number for each, number in zip(readings, numbers, strict=True)])
    decided = np.array([each.decision for each in readings])
    cells = []
    for decision in ("accepted", "corrected"):
        of = is_right[decided == decision]
        cells.append(f"{len(of)}, {of.mean():.3f}" if len(of) else "0")
    sure = np.clip([each.probability for each in readings], 1e-6, 1 - 1e-6)
    loss = -np.log(np.where(is_right, sure, 1 - sure))[decided != "abstained"].mean()
    return f"| {name} | {' | '.join(cells)} | {is_right.mean():.3f} | {loss:.3f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="svhn")
    parser.add_argument("--elsewhere", type=float, nargs="+", default=[module.ELSEWHERE])
    options = parser.parse_args()
    reader, split = Reader.load(options.model), find_split(options.data, "valid")
    labelled = [each for each in read_labels(split.labels_path).images if each.number]
    found: list[Detections] = []
    for each in labelled:
        image = decode_image(split.images_dir / each.file_name)
        found += reader.runtime.detect([image, reduced(image)])
    numbers = [each.number or "" for each in labelled for _ in range(2)]
    others = sorted(set(numbers))
    print(f"`benchmarks/rules.py`, `{options.model}`, {len(numbers)} readings.\n")
    print("| ELSEWHERE: rules | accepted, right | corrected, right | right of all | log-loss |")
    print("| --- " * 5 + "|")
    print(row("none", [read_number(each, reader.settings) for each in found], numbers))
    for elsewhere in options.elsewhere:
        module.ELSEWHERE = elsewhere
        for kind in ("length", "range", "known", "known, all wrong"):
            rng = np.random.default_rng(0)
            readings = [
                read_number(each, reader.settings, rules_of(kind, number, others, rng))
                for each, number in zip(found, numbers, strict=True)
            ]
            print(row(f"{elsewhere:g}: {kind}", readings, numbers), flush=True)


if __name__ == "__main__":
    main()
