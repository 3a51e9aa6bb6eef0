"""A sheet of images whose number a model reads wrongly, the surest mistakes first.

python benchmarks/failures.py general LABELS.json ... --output docs/models/general-failures.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

from digitspot import Reader
from digitspot.images import decode_image
from digitspot.labels.coco import read_labels
from digitspot.overlays import contact_sheet, draw_overlay


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--each", type=int, default=2, help="mistakes of each label file")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    reader = Reader.load(options.model)
    drawn = []
    for path in options.labels:
        images = read_labels(path, clip=False).images
        files = [path.with_suffix("") / image.file_name for image in images]
        wrong = [
            (read, file, image.number)
            for read, file, image in zip(reader.read_whole(files), files, images, strict=True)
            if read.reading.text != image.number
        ]
        wrong.sort(key=lambda each: -each[0].reading.probability)
        print(f"{path}: {len(wrong)} of {len(images)} wrong")
        for read, file, number in wrong[: options.each]:
            drawn.append(draw_overlay(decode_image(file), read.reading, read.detections, number))
    options.output.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(drawn, columns=4).save(options.output)


if __name__ == "__main__":
    main()
