"""How many copies of images are found again, by what was done to them, and what it costs.

    python benchmarks/repeats.py --data SVHN

The copies are of images of the data set, and are looked for among all of it.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.repeats import Fingerprint, find_repeats, fingerprint

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def coded(image: Image.Image, quality: int) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert("RGB")


def cut(image: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """Cut up to a share of width and height off each side."""
    left, top, right, bottom = rng.random(4) * share
    width, height = image.size
    box = (int(width * left), int(height * top), width - int(width * right), height - int(height * bottom))
    return image.crop(box)


def halved(image: Image.Image) -> Image.Image:
    return image.resize((max(8, image.width // 2), max(8, image.height // 2)), Image.Resampling.LANCZOS)


CHANGES: dict[str, Change] = {
    "JPEG, quality 50": lambda image, rng: coded(image, 50),
    "JPEG, quality 20": lambda image, rng: coded(image, 20),
    "half the size": lambda image, rng: halved(image),
    "each side cut by 0 to 4 %": lambda image, rng: cut(image, 0.04, rng),
    "each side cut by 0 to 8 %": lambda image, rng: cut(image, 0.08, rng),
    "cut by 0 to 4 %, half the size, JPEG 60": lambda image, rng: coded(halved(cut(image, 0.04, rng)), 60),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--copies", type=int, default=400)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    splits = [split for split in ("train", "valid", "test") if (args.data / f"{split}.json").is_file()]
    rows = [(split, image) for split in splits for image in read_labels(args.data / f"{split}.json").images]
    paths = [args.data / split / image.file_name for split, image in rows]
    start = time.process_time()
    prints = [fingerprint(decode_image(path)) for path in paths]
    print(f"{len(paths):,} images decoded and reduced in {time.process_time() - start:.1f} s of one core")
    start = time.process_time()
    own = find_repeats(prints)
    print(f"compared in {time.process_time() - start:.1f} s: {len(own)} pairs of their own")
    same = sum(rows[pair.first][1].number == rows[pair.second][1].number for pair in own)
    across = sum(rows[pair.first][0] != rows[pair.second][0] for pair in own)
    print(f"{same} of them labelled with the same number, {across} across splits")
    chosen = rng.permutation(len(paths))[: args.copies].tolist()
    print("| copies | found | others named |\n| --- | --- | --- |")
    for name, change in CHANGES.items():
        copies: list[Fingerprint] = []
        for row in chosen:
            copy = change(Image.fromarray(decode_image(paths[row])), rng)
            copies.append(fingerprint(np.asarray(copy, np.uint8)))
        pairs = {(pair.first, pair.second) for pair in find_repeats([*prints, *copies])}
        pairs -= {(pair.first, pair.second) for pair in own}
        right = {(row, len(prints) + number) for number, row in enumerate(chosen)}
        print(f"| {name} | {len(pairs & right) / len(right):.3f} | {len(pairs - right)} |", flush=True)


if __name__ == "__main__":
    main()
