"""`digitspot evaluate`: score answers against labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from digitspot.commands.options import parse, print_json, print_table
from digitspot.data.coco import read_json, read_labels, read_numbers, read_results
from digitspot.data.seen import Seen, unseen
from digitspot.errors import DataError
from digitspot.evaluation.answers import Scores, evaluate_answers
from digitspot.files import writing_whole
from digitspot.predict import NUMBERS, RESULTS, SEEN
from digitspot.progress import stderr
from digitspot.reading import ReadingSettings


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """COCO's twelve figures, AP of each digit, and how many numbers are exactly right, with intervals.

    digitspot evaluate answers --labels ../data/test.json
    """

    answers: Annotated[Path, tyro.conf.Positional]
    """A folder with pred.json and pred.csv, or one COCO results file."""
    labels: Path
    """The true labels, COCO detection format."""
    numbers: Path | None = None
    """pred.csv, where it is not beside pred.json; without any, numbers are read from the boxes."""
    image_ids: Path | None = None
    """A JSON list of image ids: only these are compared."""
    only_unseen: bool = False
    """Leave out pictures that the model was trained on, such as those of a merged `valid`; else they are
    refused. trained-on.txt beside the answers names them."""
    resamples: int = 1000
    """Bootstrap resamples over images for the intervals; 0 does without."""
    level: float = 0.95
    """Level of the intervals."""
    json: bool = False
    """Print JSON instead of a table."""
    save: Path | None = None
    """Also write the JSON to this file."""


def run(arguments: list[str]) -> None:
    """Evaluate."""
    options = parse(EvaluateOptions, "evaluate", arguments)
    results, numbers = _answer_files(options)
    labels = read_labels(options.labels, clip=False)
    answers = read_numbers(numbers) if numbers else None
    image_ids = _image_ids(options.image_ids) if options.image_ids else None
    if answers is None:
        stderr().print(f"no {NUMBERS}: numbers are read from the boxes, {ReadingSettings()}")
    scores = evaluate_answers(
        labels,
        read_results(results, labels),
        answers,
        image_ids=unseen(_seen(results.with_name(SEEN)), labels, image_ids, options.only_unseen),
        num_resamples=options.resamples,
        level=options.level,
    )
    if options.save:
        with writing_whole(options.save) as file:
            json.dump(scores.to_dict(), file, indent=1)
    if options.json:
        print_json(scores.to_dict())
    else:
        print_scores(scores)


def print_scores(scores: Scores) -> None:
    """Print the tables of boxes and of numbers."""
    num_images = scores.numbers.num_images
    print_table(f"Boxes of {num_images} images", ("figure", "value"), scores.box_rows())
    print_table(f"Numbers of {num_images} images", ("figure", "value"), scores.number_rows())


def _answer_files(options: EvaluateOptions) -> tuple[Path, Path | None]:
    if not options.answers.is_dir():
        return options.answers, options.numbers
    results = options.answers / RESULTS
    if not results.exists():
        raise DataError(f"{options.answers} holds no {RESULTS}", hint="`digitspot predict` writes one.")
    beside = options.answers / NUMBERS
    return results, options.numbers or (beside if beside.exists() else None)


def _seen(path: Path) -> Seen:
    """Return what the model of the answers was trained on; nothing where they do not say."""
    return Seen.from_text(path.read_text(encoding="utf-8"), path) if path.exists() else Seen()


def _image_ids(path: Path) -> list[int]:
    document: Any = read_json(path)
    if not isinstance(document, list) or not all(type(item) is int for item in document):
        raise DataError(f"{path} is not a JSON list of image ids")
    return document
