"""Numbers in 12-megapixel scenes: how many are read, and how long it takes.

python benchmarks/scenes.py svhn --data SVHN

A scene is a photograph or texture of scikit-image (`pip install scikit-image`), mirrored and repeated to
4000 x 3000 pixels. A photograph of the split is pasted into it, its digits 20 to 60 pixels high. Scenes
without a number have nothing pasted. The same seed makes the same scenes.
"""

from __future__ import annotations

import argparse
import io
import resource
import time
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.labels.labels import LabelledImage
from digitspot.reader import Reader

WIDTH, HEIGHT = 4000, 3000
DIGIT_HEIGHTS = (20, 60)
BACKGROUNDS = {
    "test": ("brick", "grass", "gravel", "astronaut", "chelsea", "coffee", "rocket", "motorcycle_left"),
    "valid": ("camera", "coins", "moon", "retina", "hubble_deep_field", "motorcycle_right"),
}
"""Other ones for `valid`, on which things are chosen."""


def background(rng: np.random.Generator, split: str) -> Image.Image:
    import skimage.data

    folder = Path(skimage.data.__file__).parent
    names = BACKGROUNDS[split]
    [path] = folder.glob(f"{names[rng.integers(len(names))]}.*")
    photo = Image.open(path).convert("RGB")
    factor = rng.uniform(1, 3)
    photo = photo.resize(
        (round(photo.width * factor), round(photo.height * factor)), Image.Resampling.BICUBIC
    )
    block = np.asarray(photo)
    block = np.concatenate([block, block[:, ::-1]], axis=1)
    block = np.concatenate([block, block[::-1]], axis=0)
    rows = (np.arange(HEIGHT) + rng.integers(len(block))) % len(block)
    columns = (np.arange(WIDTH) + rng.integers(block.shape[1])) % block.shape[1]
    return Image.fromarray(block[rows][:, columns])


def paste(rng: np.random.Generator, scene: Image.Image, folder: Path, image: LabelledImage) -> None:
    photo = Image.fromarray(decode_image(folder / image.file_name))
    height = float((image.boxes[:, 3] - image.boxes[:, 1]).mean())
    factor = np.exp(rng.uniform(*np.log(DIGIT_HEIGHTS))) / height
    size = max(8, round(photo.width * factor)), max(8, round(photo.height * factor))
    photo = photo.resize(size, Image.Resampling.BICUBIC, reducing_gap=3.0)
    mask = Image.new("L", size, 0)
    border = max(1, min(size) // 20)
    mask.paste(255, (border, border, size[0] - border, size[1] - border))
    mask = mask.filter(ImageFilter.GaussianBlur(border / 2))
    position = int(rng.integers(WIDTH - size[0])), int(rng.integers(HEIGHT - size[1]))
    scene.paste(photo, position, mask)


def as_jpeg(scene: Image.Image) -> bytes:
    file = io.BytesIO()
    scene.save(file, "JPEG", quality=92)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--split", choices=sorted(BACKGROUNDS), default="test")
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--empty", type=int, default=100)
    parser.add_argument("--threads", type=int, default=None)
    options = parser.parse_args()
    reader = Reader.load(options.model, threads=options.threads)
    labels = read_labels(options.data / f"{options.split}.json", clip=False)
    rng = np.random.default_rng(17)
    fits = [each for each in labels.images if len(each.boxes)]
    chosen = rng.choice(len(fits), options.images, replace=False)
    right, found, seconds = 0, 0, []
    for index in chosen:
        scene = background(rng, options.split)
        paste(rng, scene, options.data / options.split, fits[index])
        data = as_jpeg(scene)
        start = time.perf_counter()
        each = reader.read_all(data)
        seconds.append(time.perf_counter() - start)
        right += bool(each) and each[0].reading.text == fits[index].number
        found += any(read.reading.text == fits[index].number for read in each)
    sure = 0
    for _ in range(options.empty):
        each = reader.read_all(as_jpeg(background(rng, options.split)))
        sure += bool(each) and each[0].reading.probability > 0.5
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("# Scenes\n")
    print(f"`scenes.py {options.model.name} --split {options.split}`, 4000 x 3000 pixels, JPEG.\n")
    print("| | |\n| --- | --- |")
    print(f"| numbers read | {right} of {options.images}, {right / max(1, options.images):.3f} |")
    print(f"| among all numbers of the scene | {found / max(1, options.images):.3f} |")
    print(f"| scenes without a number, answered above 0.5 | {sure} of {options.empty} |")
    if seconds:
        print(f"| seconds, median and most | {np.median(seconds):.2f}, {max(seconds):.2f} |")
    print(f"| peak memory, with the making of scenes | {peak:.0f} MiB |")


if __name__ == "__main__":
    main()
