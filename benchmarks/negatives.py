"""Images without a number: how often one is read all the same.

pip install scikit-image
python benchmarks/negatives.py --models general svhn > benchmarks/results/negatives.md

Photographs are windows of those that come with scikit-image, 80 to 800 pixels wide. Words are drawn from
letters alone, in typefaces that no generated training image is set in. The same seed makes the same.
"""

from __future__ import annotations

import argparse
import string
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from digitspot import Reader
from digitspot.synth.typefaces import TEST_TYPEFACES, font_of_height
from digitspot.types import ImageArray

PHOTOS = (
    "astronaut", "brick", "camera", "cell", "chelsea", "coffee", "coins", "grass", "gravel", "horse",
    "hubble_deep_field", "ihc", "moon", "motorcycle_left", "motorcycle_right", "phantom",
    "retina", "rocket",
)  # fmt: skip
"""Of scikit-image; none of them shows a number. Those of text and of diagrams are left out."""
LETTERS = "".join(sorted(set(string.ascii_letters) - set("IOQlo")))
"""I, O, Q, l and o are digits in many typefaces."""


def photographs(rng: np.random.Generator, num: int) -> Iterator[ImageArray]:
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    paths = sorted(
        path for path in folder.iterdir() if path.stem in PHOTOS and path.suffix in (".png", ".jpg")
    )
    photos = [Image.open(path).convert("RGB") for path in paths]
    for _ in range(num):
        photo = photos[rng.integers(len(photos))]
        side = int(np.exp(rng.uniform(np.log(80), np.log(min(photo.size)))))
        height = int(side * rng.uniform(0.4, 1.0))
        left, top = int(rng.integers(photo.width - side + 1)), int(rng.integers(photo.height - height + 1))
        yield np.asarray(photo.crop((left, top, left + side, top + height)))


def words(rng: np.random.Generator, num: int) -> Iterator[ImageArray]:
    for _ in range(num):
        font = font_of_height(TEST_TYPEFACES[rng.integers(len(TEST_TYPEFACES))], int(rng.integers(12, 60)))
        lines = []
        for _ in range(int(rng.integers(1, 5))):
            row = [
                "".join(rng.choice(list(LETTERS), rng.integers(2, 9))) for _ in range(int(rng.integers(1, 4)))
            ]
            lines.append(" ".join(row))
        text = "\n".join(lines)
        ground, ink = rng.integers(0, 256, 3), rng.integers(0, 256, 3)
        ink = np.where(abs(ground.mean() - ink.mean()) < 60, 255 - ground, ink)
        left, top, right, bottom = ImageDraw.Draw(Image.new("RGB", (1, 1))).multiline_textbbox(
            (0, 0), text, font
        )
        around = rng.integers(4, 60, 2)
        size = int(right - left + 2 * around[0]), int(bottom - top + 2 * around[1])
        image = Image.new("RGB", size, tuple(ground.tolist()))
        ImageDraw.Draw(image).multiline_text(
            (around[0] - left, around[1] - top), text, tuple(ink.tolist()), font
        )
        image = image.rotate(
            float(rng.normal(0, 4)), Image.Resampling.BICUBIC, fillcolor=tuple(ground.tolist())
        )
        yield np.asarray(image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.5))))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["general"])
    parser.add_argument("--images", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| images | " + " | ".join(f"{name}: above 0.5 | above 0.9" for name in options.models) + " |")
    print("| --- |" + " --- | --- |" * len(options.models))
    readers = [Reader.load(name) for name in options.models]
    for kind, make in (("photographs", photographs), ("words", words)):
        images = list(make(np.random.default_rng(options.seed), options.images))
        cells = []
        for reader in readers:
            readings = list(reader.read_many(images))
            sure = np.array([each.probability if each.text else 0.0 for each in readings])
            cells += [f"{(sure > limit).mean():.3f}" for limit in (0.5, 0.9)]
        print(f"| {options.images} {kind} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
