"""Images to train on for large scenes: numbers of a data set, small, in photographs without a number.

python benchmarks/scene_tiles.py --data SVHN --photographs FOLDER --model svhn --output TILES

Half of the images show a number of `train`, its photograph pasted into a window of one without a number.
The others are windows alone: most of them those in which the model is surest to see a digit. Photographs
that `scenes.py` and `negatives.py` measure on, those of scikit-image, must not be among them.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from digitspot.images import decode_image, list_images
from digitspot.labels.coco import read_labels, write_labels
from digitspot.labels.labels import LabelledImage
from digitspot.reader import Reader
from digitspot.types import FloatArray

HEIGHTS, ASPECTS, REDUCED = (112, 161), (1.0, 2.2), (0.5, 6.0)
"""Of a window: its height, its width over that, and pixels of the photograph for one of it."""
LONGEST = 2_600
"""Pixels of a photograph's longer side; larger ones are reduced."""
DIGIT_HEIGHTS = (14, 45)
MOST_BUSY = 5
"""Of up to so many windows the one with the strongest edges takes the number."""
CANDIDATES, HARD = 6, 0.75
"""Windows to choose from for one that is kept, and the fraction of those that are kept for their digits."""
AS_BRIGHT = 0.3
"""Fraction of numbers that are made about as bright as what is around them."""
MOST_TRIES = 100
AT_ONCE = 1_000
"""Windows that are in memory at a time."""


class Windows:
    """Windows of photographs, at random."""

    def __init__(self, photographs: Sequence[Image.Image], rng: np.random.Generator) -> None:
        self.photographs, self.rng = photographs, rng

    def draw(self) -> Image.Image:
        rng = self.rng
        height = int(rng.integers(*HEIGHTS))
        width = int(height * rng.uniform(*ASPECTS))
        for _ in range(MOST_TRIES):
            photo = self.photographs[rng.integers(len(self.photographs))]
            reduced = np.exp(rng.uniform(*np.log(REDUCED)))
            w, h = int(width * reduced), int(height * reduced)
            if w < photo.width and h < photo.height:
                left, top = int(rng.integers(photo.width - w)), int(rng.integers(photo.height - h))
                box = (left, top, left + w, top + h)
                return photo.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=2)
        raise SystemExit(
            f"no window of {width} x {height} pixels in {MOST_TRIES} photographs: give larger ones"
        )

    def draw_busy(self) -> Image.Image:
        windows = [self.draw() for _ in range(int(self.rng.integers(1, MOST_BUSY + 1)))]
        return max(windows, key=_edges)


def _edges(window: Image.Image) -> float:
    grey = np.asarray(window.convert("L"), np.float32)
    return float(np.abs(np.diff(grey, axis=0)).mean() + np.abs(np.diff(grey, axis=1)).mean())


def with_number(
    windows: Windows, photo: Image.Image, boxes: FloatArray
) -> tuple[Image.Image, FloatArray] | None:
    """Paste a photograph into a window, its number small and whole; return that and the moved boxes.

    None where the number is too wide for every window.
    """
    rng = windows.rng
    heights = boxes[:, 3] - boxes[:, 1]
    for _ in range(MOST_TRIES):
        window = windows.draw_busy()
        factor = np.exp(rng.uniform(*np.log(DIGIT_HEIGHTS))) / heights.mean()
        low, high = boxes[:, :2].min(0) * factor, boxes[:, 2:].max(0) * factor
        if (high - low < 0.9 * np.array(window.size)).all():
            break
    else:
        return None
    size = max(8, round(photo.width * factor)), max(8, round(photo.height * factor))
    photo = photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    if rng.random() < AS_BRIGHT:
        pixels, around = np.asarray(photo, np.float32), np.asarray(window, np.float32).mean((0, 1))
        pixels = pixels + (around - pixels.mean((0, 1))) * rng.uniform(0.3, 1)
        photo = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    free = min(*low, *(size - high))
    border = max(1, int(min(min(size) * np.exp(rng.uniform(*np.log((0.01, 0.12)))), free)))
    mask = Image.new("L", size, 0)
    mask.paste(255, (border, border, size[0] - border, size[1] - border))
    mask = mask.filter(ImageFilter.GaussianBlur(border * rng.uniform(0.2, 0.7)))
    least = (1 - low).astype(int)
    most = np.maximum(least + 1, (np.array(window.size) - high).astype(int))
    left, top = rng.integers(least, most).tolist()
    window.paste(photo, (left, top), mask)
    return window, (boxes * factor + [left, top, left, top]).astype(np.float32)


def hard_windows(windows: Windows, reader: Reader, num: int) -> list[Image.Image]:
    """Draw windows, and keep the ones in which digits are seen, with some others."""
    kept: list[Image.Image] = []
    while len(kept) < num:
        keep = min(AT_ONCE // CANDIDATES, num - len(kept))
        drawn = [windows.draw() for _ in range(CANDIDATES * keep)]
        found = reader.single_look.detect([np.asarray(each) for each in drawn])
        order = np.argsort([-each.scores.max(initial=0) for each in found], kind="stable")
        num_hard = round(HARD * keep)
        others = windows.rng.choice(order[num_hard:], keep - num_hard, replace=False)
        kept += [drawn[index] for index in (*order[:num_hard], *others)]
    return kept


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    photographs = []
    for path in list_images(options.photographs).paths:
        photographs.append(Image.fromarray(decode_image(path)))
        photographs[-1].thumbnail((LONGEST, LONGEST))
    windows = Windows(photographs, rng)
    labels = read_labels(options.data / "train.json")
    numbers = [each for each in labels.images if len(each.boxes)]
    folder = options.output / "train"
    folder.mkdir(parents=True)
    kept: list[LabelledImage] = []

    def keep(image: Image.Image, of: LabelledImage) -> None:
        name = f"{len(kept) + 1}.png"
        image.save(folder / name)
        kept.append(replace(of, image_id=len(kept) + 1, file_name=name, size_hw=(image.height, image.width)))

    while len(kept) < options.images // 2:
        of = numbers[rng.integers(len(numbers))]
        photo = Image.fromarray(decode_image(options.data / "train" / of.file_name))
        made = with_number(windows, photo, of.boxes)
        if made is not None:
            image, boxes = made
            areas = (boxes[:, 2:] - boxes[:, :2]).prod(1).astype(np.float64)
            keep(image, replace(of, boxes=boxes, areas=areas))
    nothing = replace(
        numbers[0], boxes=np.zeros((0, 4), np.float32), labels=np.zeros(0, np.int64), areas=np.zeros(0),
        crowd=np.zeros(0, bool),
    )  # fmt: skip
    for window in hard_windows(windows, Reader.load(options.model), options.images // 2):
        keep(window, nothing)
    write_labels(labels.with_images(kept), options.output / "train.json")
    print(f"{len(kept)} images in {options.output}")


if __name__ == "__main__":
    main()
