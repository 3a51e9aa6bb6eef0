"""Our repeats against imagehash, and our label faults against cleanlab, on one data set.

    pip install imagehash cleanlab
    python benchmarks/libraries.py --data SVHN/test --labels SVHN/test.json --answers ANSWERS

ANSWERS is what `digitspot predict` writes for these images with a model that was not trained on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.answers import read_answers
from digitspot.evaluation.suspicions import find_suspects
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelSet
from digitspot.labels.repeats import find_repeats, fingerprint
from digitspot.types import NUM_DIGITS, Detections, DoubleArray, ImageArray
from repeats import CHANGES
from suspicious import KINDS, plant

FRACTIONS = (0.02, 0.05, 0.1)
"""Of the images that a person looks at, the most suspicious first."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--answers", type=Path, required=True)
    args = parser.parse_args()
    labels = read_labels(args.labels)
    compare_repeats([decode_image(args.data / name) for name in labels.file_names])
    compare_faults(labels, read_answers(args.answers, labels).detections)


def compare_repeats(images: Sequence[ImageArray], num_copies: int = 400) -> None:
    """Print how many changed copies are found, and how many other pairs are named."""
    import imagehash

    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(images))[:num_copies].tolist()
    copies = {
        name: [np.asarray(change(Image.fromarray(images[row]), rng), np.uint8) for row in chosen]
        for name, change in CHANGES.items()
    }
    print("| copies | " + " | ".join(["ours", *(f"phash, {most} bits" for most in (4, 8, 12))]) + " |")
    start = time.process_time()
    prints = [fingerprint(image) for image in images]
    hashes = np.array([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in images])
    print(f"reduced in {time.process_time() - start:.1f} s")
    for name, changed in copies.items():
        right = {(row, len(images) + number) for number, row in enumerate(chosen)}
        pairs = {
            (each.first, each.second)
            for each in find_repeats([*prints, *map(fingerprint, changed)])
            if each.second >= len(images)
        }
        cells = [f"{len(pairs & right) / len(right):.3f} ({len(pairs - right)})"]
        new = np.array([imagehash.phash(Image.fromarray(image)).hash.ravel() for image in changed])
        distance = (hashes[:, None, :] != new[None]).sum(axis=2)  # [I, C]
        for most in (4, 8, 12):
            near = distance <= most
            found = sum(near[row, number] for number, row in enumerate(chosen))
            cells.append(f"{found / len(right):.3f} ({near.sum() - found})")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def compare_faults(labels: LabelSet, found: dict[int, Detections], num: int = 50) -> None:
    """Print which fraction of planted faults is among the most suspicious images."""
    from cleanlab.object_detection.rank import get_label_quality_scores

    rng = np.random.default_rng(0)
    images = list(labels.images)
    kinds: dict[int, str] = {}
    for place, row in enumerate(rng.permutation(len(images))[: num * len(KINDS)].tolist()):
        kinds[row] = KINDS[place % len(KINDS)]
        images[row] = plant(images[row], kinds[row], rng)
    quality = get_label_quality_scores(
        [{"bboxes": image.boxes, "labels": image.labels - 1} for image in images],
        [by_digit(found.get(image.image_id, Detections.empty())) for image in images],
        verbose=False,
    )
    rows = {image.image_id: row for row, image in enumerate(images)}
    orders = {
        "ours": [rows[each.image.image_id] for each in find_suspects(images, found)],
        "cleanlab": np.argsort(quality, kind="stable").tolist(),
    }
    print("| images looked at | faults | " + " | ".join(orders) + " |")
    for fraction in FRACTIONS:
        for kind in KINDS:
            seen = [set(order[: int(fraction * len(images))]) for order in orders.values()]
            wrong = {row for row, each in kinds.items() if each == kind}
            cells = [f"{len(each & wrong) / len(wrong):.2f}" for each in seen]
            print(f"| {fraction:.0%} | {kind} | {' | '.join(cells)} |")


def by_digit(found: Detections) -> list[DoubleArray]:
    """Return the boxes and scores of each digit, `[N, 5]`, as cleanlab takes them."""
    rows = np.column_stack([found.boxes, found.scores]).astype(np.float64)
    return [rows[found.labels == digit + 1] for digit in range(NUM_DIGITS)]


if __name__ == "__main__":
    main()
