"""How many planted faults of labels `digitspot data check` ranks first, with out-of-fold predictions.

    python benchmarks/suspicious.py --data SVHN --output FOLDER --weights best.pt

A copy of the data set's labels, its images linked, gets wrong classes, dropped boxes and shifted boxes,
each in another image. A box is shifted by 20 to 40 % of its own width across or of its height down, to
either side. Models are trained on the copy, as by a user who does not know of the faults.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from digitspot.config import load_recipe
from digitspot.evaluation.suspicions import Suspect, find_suspects, write_suspects
from digitspot.folds import predict_out_of_fold
from digitspot.labels.coco import find_split, read_labels, write_labels
from digitspot.labels.labels import LabelledImage
from digitspot.preview import suspect_sheets

KINDS = ("class", "dropped", "shifted")
SHIFT = (0.2, 0.4)
SHARES = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
NUM_DRAWN = 60
NUM_VALID = 200
"""Images that each model is validated on, once."""


def plant(image: LabelledImage, kind: str, rng: np.random.Generator) -> LabelledImage:
    """Return an image with one fault of a kind in its labels."""
    place = int(rng.integers(len(image.labels)))
    if kind == "class":
        labels = image.labels.copy()
        labels[place] = 1 + (labels[place] - 1 + rng.integers(1, 10)) % 10
        return replace(image, labels=labels)
    if kind == "dropped":
        keep = np.arange(len(image.labels)) != place
        columns = {name: getattr(image, name)[keep] for name in ("boxes", "labels", "areas", "crowd")}
        return replace(image, **columns)
    boxes = image.boxes.copy()
    axis = int(rng.integers(2))
    side = boxes[place, axis + 2] - boxes[place, axis]
    boxes[place, axis::2] += side * rng.uniform(*SHIFT) * rng.choice([-1, 1])
    return replace(image, boxes=boxes)


def faulty_copy(data: Path, split: str, output: Path, num: int, seed: int) -> dict[int, str]:
    """Write a data set whose `train` is a split of another with faults; return their kinds by image id."""
    rng = np.random.default_rng(seed)
    source = find_split(data, split)
    labels = read_labels(source.labels_path)
    boxed = [row for row, image in enumerate(labels.images) if len(image.labels)]
    chosen = rng.permutation(boxed)[: num * len(KINDS)].tolist()
    kinds = dict(zip(chosen, np.repeat(KINDS, num).tolist(), strict=True))
    images = [
        plant(image, kinds[row], rng) if row in kinds else image for row, image in enumerate(labels.images)
    ]
    output.mkdir(parents=True, exist_ok=True)
    for name, there in (("train", source.images_dir), ("valid", data / "valid")):
        if not (output / name).exists():
            (output / name).symlink_to(there.resolve())
    write_labels(labels.with_images(tuple(images)), output / "train.json")
    valid = read_labels(data / "valid.json")
    write_labels(valid.with_images(valid.images[:NUM_VALID]), output / "valid.json")
    return {labels.images[row].image_id: kind for row, kind in kinds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="models, answers and lists; goes on there")
    parser.add_argument("--recipe", type=Path, default=Path(__file__).with_suffix(".yaml"))
    parser.add_argument("--weights", default="none", help="where each model starts")
    parser.add_argument("--faults", type=int, default=200, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    planted = faulty_copy(args.data, "train", args.output / "data", args.faults, args.seed)
    (args.output / "planted.json").write_text(json.dumps(planted))
    recipe = load_recipe(args.recipe)
    config = replace(recipe, model=replace(recipe.model, weights=args.weights))
    found = predict_out_of_fold(args.output / "data", config, 2, args.output / "check")
    labels = read_labels(args.output / "data" / "train.json")
    suspects = find_suspects(labels.images, found)
    write_suspects(args.output / "suspects.csv", suspects)
    for name, chosen in (
        ("first.png", suspects[:NUM_DRAWN]),
        ("own.png", [each for each in suspects if each.image.image_id not in planted][:NUM_DRAWN]),
    ):
        sheets = suspect_sheets(chosen, args.output / "data" / "train", 6, lambda done, total: None)
        sheets[0].save(args.output / name)
    report(suspects, planted)


def report(suspects: Sequence[Suspect], planted: dict[int, str]) -> None:
    """Print what is found among the first shares of the list, and what is expected of them."""
    kinds = np.array([planted.get(each.image.image_id, "") for each in suspects])
    probabilities = np.array([each.probability for each in suspects])
    names = " | ".join(f"{kind} found" for kind in KINDS)
    print(f"| first | images | faulty | of all faulty | {names} | expected faulty |")
    print("| --- " * (5 + len(KINDS)) + "|")
    for share in SHARES:
        top = kinds[: round(share * len(kinds))]
        recalls = " | ".join(f"{(top == kind).sum() / (kinds == kind).sum():.3f}" for kind in KINDS)
        recall, expected = (top != "").sum() / (kinds != "").sum(), probabilities[: len(top)].sum()
        print(
            f"| {share:.0%} | {len(top)} | {(top != '').mean():.3f} | {recall:.3f} | {recalls} "
            f"| {expected:.0f} |"
        )
    print()
    top = suspects[: round(0.08 * len(suspects))]
    for kind in (*KINDS, ""):
        said = Counter(
            each.suspicions[0].kind if each.suspicions else "-"
            for each in top
            if planted.get(each.image.image_id, "") == kind
        )
        print(f"among the first 8 %, {kind or 'nothing planted'}: {dict(said.most_common())}")


if __name__ == "__main__":
    main()
