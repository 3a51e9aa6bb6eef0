"""What a model reads in each domain, and how sure it may be believed.

for D in houses meters displays jerseys signs; do
    digitspot data synth MADE/$D --domain $D --images 100 --seed 41 --boxes loose \\
        --valid-fraction 0 --test-fraction 1
done
python benchmarks/domains.py SVHN/test.json ODOMETERS/test.json MADE/*/test.json

Each label file is a domain: COCO labels beside the folder of their images. Where images have a `region`
(x, y, width, height), they are read with it, and once more whole. Intervals are Wilson's, 95 %.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from digitspot import Reader
from digitspot.labels.coco import read_labels

SURE = 0.9


def answers(model: str, path: Path, regions: bool) -> Iterator[tuple[bool, float]]:
    """Yield for each image whether it is read rightly, and the probability of the number; without one, 0."""
    reader = Reader.load(model)
    images = json.loads(path.read_text())["images"]
    given = {each["id"]: each["region"] for each in images if regions}
    for image in read_labels(path, clip=False).images:
        if image.image_id in given:
            reader = reader.with_options(region=tuple(given[image.image_id]))
        reading = reader.read(path.with_suffix("") / image.file_name)
        yield reading.text == image.number, reading.probability if reading.text else 0.0


def row(model: str, domain: str, found: list[tuple[bool, float]]) -> str:
    right = np.array([each for each, _ in found])
    sure = right[np.array([probability for _, probability in found]) > SURE]
    low, high = binomtest(int(right.sum()), len(right)).proportion_ci(method="wilson")
    of_these = f"{sure.mean():.3f}" if len(sure) else ""
    cells = [model, domain, f"{len(right):,}", f"{right.mean():.3f} [{low:.3f}, {high:.3f}]"]
    return "| " + " | ".join([*cells, f"{len(sure):,}", of_these]) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("labels", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["general", "svhn"])
    options = parser.parse_args()
    print("# What the models of the package read\n\nWritten by `benchmarks/domains.py`.\n")
    print(f"| model | domain | images | right | above {SURE} | of these right |\n| --- |" + " --- |" * 5)
    for model in options.models:
        together = []
        for path in options.labels:
            has_regions = all("region" in each for each in json.loads(path.read_text())["images"])
            for regions in (True, False) if has_regions else (False,):
                what = ", region given" if regions else ", whole" if has_regions else ""
                found = list(answers(model, path, regions))
                together += found
                print(row(model, path.parent.name + what, found), flush=True)
        print(row(model, "all", together), flush=True)


if __name__ == "__main__":
    main()
