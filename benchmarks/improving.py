"""What `digitspot improve` gains from 200 corrected pictures of a kind that the model reads badly.

python benchmarks/improving.py > benchmarks/results/improving.md

The kind is handwriting: digits of 43 people from scikit-learn (`pip install scikit-learn`), written in rows
on paper. The first half of the digits makes the corrected pictures, the second half 200 others to test on.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image, ImageFilter
from scipy.stats import binomtest

from digitspot.labels.coco import read_labels
from digitspot.reader import Reader

INKS = ((30, 40, 110), (20, 20, 24), (120, 30, 40))


def row(
    rng: np.random.Generator, digits: np.ndarray, names: np.ndarray
) -> tuple[Image.Image, list[list[int]], list[int]]:
    """Return an image with a number, the boxes of its digits as corners, and what they are."""
    height = int(rng.integers(24, 56))
    ink = Image.new("L", (8 * height, 3 * height), 0)
    left, boxes, labels = float(height), [], []
    for index in rng.integers(len(digits), size=rng.integers(2, 6)):
        size = round(height * rng.uniform(0.85, 1.1))
        pixels = (digits[index] * 15.9).astype(np.uint8)
        drawn = Image.fromarray(pixels).resize((size, size), Image.Resampling.BICUBIC)
        drawn = drawn.point(lambda value: min(255, max(0, 2 * value - 90)))
        box = drawn.getbbox()
        if box is None:
            continue
        drawn = drawn.crop(box)
        top = height + round(rng.uniform(-0.12, 0.12) * height)
        ink.paste(drawn, (round(left), top))
        boxes.append([round(left), top, round(left) + drawn.width, top + drawn.height])
        labels.append(int(names[index]))
        left += drawn.width + rng.uniform(0.08, 0.3) * height
    width = round(left + height)
    paper = rng.uniform(190, 250) + rng.normal(0, 1, (3 * height, width, 1)) * rng.uniform(1, 6)
    paper = np.repeat(paper, 3, axis=2) * rng.uniform(0.9, 1.0, 3)
    alpha = np.asarray(ink.crop((0, 0, width, 3 * height)), np.float32)[..., None] / 255
    mixed = paper * (1 - alpha) + alpha * np.array(INKS[rng.integers(len(INKS))])
    image = Image.fromarray(mixed.clip(0, 255).astype(np.uint8))
    return image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 1.2))), boxes, labels


def make(folder: Path, name: str, num: int, half: slice, seed: int) -> None:
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    given = load_digits()
    (folder / name).mkdir(parents=True)
    images, annotations = [], []
    for number in range(1, num + 1):
        image, boxes, labels = row(rng, given.images[half], given.target[half])
        file_name = f"{number}.png"
        image.save(folder / name / file_name)
        images.append({"id": number, "file_name": file_name, "width": image.width, "height": image.height})
        annotations += [
            {
                "id": len(annotations) + index,
                "image_id": number,
                "category_id": label,
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
            for index, ((left, top, right, bottom), label) in enumerate(zip(boxes, labels, strict=True), 1)
        ]
    categories = [{"id": digit, "name": str(digit)} for digit in range(10)]
    labels_file = {"images": images, "annotations": annotations, "categories": categories}
    (folder / f"{name}.json").write_text(json.dumps(labels_file))


def right(model: str, folder: Path) -> int:
    truth = read_labels(folder / "test.json").images
    paths = [folder / "test" / image.file_name for image in truth]
    read = Reader.load(model).read_many(paths)
    return sum(each.text == image.number for each, image in zip(read, truth, strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--model", default="general")
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, "train", options.number, slice(0, 900), 1)
        make(folder, "test", 200, slice(900, None), 2)
        output = folder / "improved.onnx"
        command = ["improve", str(folder), "--model", options.model, "--output", str(output)]
        start = time.monotonic()
        subprocess.run([sys.executable, "-m", "digitspot", *command], stdout=subprocess.DEVNULL, check=True)
        minutes = (time.monotonic() - start) / 60
        print("# Improving\n")
        print(f"`improving.py --number {options.number} --model {options.model}`, {minutes:.1f} minutes.\n")
        print("| handwriting, 200 others | right | 95 % |\n| --- | --- | --- |")
        for label, model in ((options.model, options.model), ("improved", str(output))):
            number = right(model, folder)
            interval = binomtest(number, 200).proportion_ci(method="wilson")
            print(f"| {label} | {number / 200:.3f} | [{interval.low:.3f}, {interval.high:.3f}] |")


if __name__ == "__main__":
    main()
